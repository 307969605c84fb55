//! The links in the pages lead to files that exist.

use std::fs;
use std::path::PathBuf;

use crate::source::{crates, read};

#[test]
fn each_link_of_a_page_to_a_file_leads_to_one() {
    let mut broken = Vec::new();
    let pages = pages();
    assert!(pages.len() > 20, "the pages were not found: {pages:?}");
    for page in pages {
        for target in targets(&read(&page)) {
            let file = target.split('#').next().expect("a first part");
            let folder = page.parent().expect("a page is in a folder");
            if !file.is_empty() && !folder.join(file).exists() {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// The Markdown files at the root, in `docs` and its guide, and of each crate.
fn pages() -> Vec<PathBuf> {
    let root = crates().join("..");
    let crates = fs::read_dir(crates()).expect("the crates").map(|it| it.expect("readable").path());
    let folders =
        [root.clone(), root.join("docs"), root.join("docs/guide")].into_iter().chain(crates);
    let files = folders.filter(|folder| folder.is_dir()).flat_map(|folder| {
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("readable").path())
    });
    files.filter(|file| file.extension() == Some("md".as_ref())).collect()
}

/// Where the links of a text lead that stay in this repository.
fn targets(text: &str) -> Vec<&str> {
    let links = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    let definitions = text.lines().filter(|line| line.starts_with('['));
    let defined = definitions.filter_map(|line| line.split_once("]: ").map(|(_, target)| target));
    let targets = links.map(|(target, _)| target).chain(defined);
    targets.filter(|target| is_path(target)).collect()
}

fn is_path(target: &str) -> bool {
    !target.contains("://") && !target.contains("::") && !target.contains(char::is_whitespace)
}

#[test]
fn links_to_files_are_told_from_others() {
    let text = "[a](b.md), [c](https://d.example/), [e](f.md#g) and [`h`](i::J)";
    assert_eq!(targets(text), ["b.md", "f.md#g"]);
}
