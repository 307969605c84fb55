//! What the workspace may stand on, and how thin its drivers stay.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The core's dependencies, and those that `thiserror` needs while it compiles.
const ALLOWED: [&str; 9] = [
    "relink",
    "bytes",
    "rand_core",
    "thiserror",
    "thiserror-impl",
    "proc-macro2",
    "quote",
    "syn",
    "unicode-ident",
];

/// A driver dials, moves bytes and sleeps. More lines than this, and it decides something.
const MOST_DRIVER_LINES: usize = 400;

#[test]
fn the_core_stands_on_bytes_rand_core_and_thiserror_alone() {
    let tree = tree(&[]);
    let allowed: BTreeSet<String> = ALLOWED.map(String::from).into();
    assert_eq!(tree, allowed, "the dependencies of relink changed: see `cargo tree -p relink -e normal`");
}

#[test]
fn without_features_the_core_needs_no_allocator() {
    let tree = tree(&["--no-default-features"]);
    assert!(!tree.contains("bytes"), "{tree:?}");
    assert!(tree.contains("rand_core") && tree.contains("thiserror"), "{tree:?}");
}

#[test]
fn each_driver_stays_under_four_hundred_lines_of_code() {
    for driver in ["relink-tokio", "relink-async-std"] {
        let files = sources(&crates().join(driver).join("src"));
        assert!(!files.is_empty(), "{driver} has no source");
        let lines: usize = files.iter().map(|file| code(&read(file)).len()).sum();
        assert!(lines < MOST_DRIVER_LINES, "{driver} has {lines} lines of code: what does it decide?");
    }
}

#[test]
fn the_core_names_no_runtime_no_clock_and_no_socket() {
    let forbidden = [
        "tokio",
        "async_std",
        "smol",
        "std::net",
        "std::time",
        "std::thread",
        "Instant::now",
        "SystemTime",
        "getrandom",
        "thread_rng",
    ];
    let files = sources(&crates().join("relink/src"));
    assert!(files.len() > 15, "the core's source was not found");
    for file in files {
        for line in code(&read(&file)) {
            let named = forbidden.iter().find(|name| line.contains(**name));
            assert_eq!(named, None, "{}: {line}", file.display());
        }
    }
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

/// The names in `cargo tree -p relink -e normal`.
fn tree(flags: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "-p", "relink", "-e", "normal", "--prefix", "none", "--format", "{p}"])
        .args(flags)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree: {errors}");
    let names = String::from_utf8(output.stdout).expect("names are text");
    names
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| !name.is_empty())
        .map(String::from)
        .collect()
}

/// The lines that are code: no comments, no blank lines, nothing under `#[cfg(test)]`.
fn code(text: &str) -> Vec<&str> {
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

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).expect("source is text")
}

/// Every Rust file in a folder and those below it.
fn sources(folder: &Path) -> Vec<PathBuf> {
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
