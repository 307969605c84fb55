//! The workspace's own source, read as text.

use std::fs;
use std::path::{Path, PathBuf};

/// The lines that are code: no comments, no blank lines, nothing under `#[cfg(test)]`.
pub(crate) fn code(text: &str) -> Vec<&str> {
    let mut lines = text.lines().map(str::trim);
    let mut code = Vec::new();
    while let Some(line) = lines.next() {
        if line.starts_with("/*") {
            // To the end of the comment, which may be on the same line.
            let mut comment = line;
            while !comment.ends_with("*/") {
                let Some(next) = lines.next() else { break };
                comment = next;
            }
        } else if line == "#[cfg(test)]" {
            let mut depth = 0_i32;
            for line in lines.by_ref() {
                depth += count(line, '{') - count(line, '}');
                if depth == 0 && (line.ends_with('}') || line.ends_with(';')) {
                    break;
                }
            }
        } else if !line.is_empty() && !line.starts_with("//") {
            code.push(line);
        }
    }
    code
}

fn count(line: &str, wanted: char) -> i32 {
    i32::try_from(line.matches(wanted).count()).expect("a line of this world")
}

pub(crate) fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub(crate) fn read(file: &Path) -> String {
    fs::read_to_string(file).expect("source is text")
}

/// Each source file of each crate, by its path below `crates`.
pub(crate) fn everything() -> Vec<(String, String)> {
    let folders =
        crates().read_dir().expect("the crates").map(|entry| entry.expect("readable").path());
    let files: Vec<_> = folders.flat_map(|folder| sources(&folder.join("src"))).collect();
    assert!(files.len() > 200, "the crates' source was not found");
    let named = |file: &Path| {
        let path = file.strip_prefix(crates()).expect("below the crates");
        path.components()
            .map(|part| part.as_os_str().to_string_lossy())
            .collect::<Vec<_>>()
            .join("/")
    };
    files.iter().map(|file| (named(file), read(file))).collect()
}

/// Every Rust file in a folder and those below it.
pub(crate) fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of source") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn lines_of_code_are_counted_without_comments_blank_lines_and_tests() {
    let text = "
//! Docs.

/* a block
   of words */
use a; // a remark

/// More docs.
fn one() {
    let url = \"ws://peer\";
}

#[cfg(test)]
mod tests {
    fn two() {}
}

fn three() {}
#[cfg(test)]
use b;
";
    let counted = code(text);
    assert_eq!(
        counted,
        ["use a; // a remark", "fn one() {", "let url = \"ws://peer\";", "}", "fn three() {}"]
    );
}
