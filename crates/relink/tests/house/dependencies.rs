//! The dependencies of the core, and the size of the drivers.

use std::collections::BTreeSet;
use std::process::Command;

use crate::source::{code, crates, read, sources};

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

/// What the feature `serde` adds.
const SERDE: [&str; 3] = ["serde", "serde_core", "serde_derive"];

/// A driver dials, moves bytes and sleeps. More lines than this, and it decides something.
const MOST_DRIVER_LINES: usize = 400;

#[test]
fn the_core_stands_on_bytes_rand_core_and_thiserror_alone() {
    let tree = tree(&[]);
    let allowed: BTreeSet<String> = ALLOWED.map(String::from).into();
    assert_eq!(
        tree, allowed,
        "the dependencies of relink changed: see `cargo tree -p relink -e normal`"
    );
}

#[test]
fn all_features_add_serde_alone() {
    let allowed: BTreeSet<String> = ALLOWED.into_iter().chain(SERDE).map(String::from).collect();
    assert_eq!(
        tree(&["--all-features"]),
        allowed,
        "see `cargo tree -p relink -e normal --all-features`"
    );
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
        assert!(
            lines < MOST_DRIVER_LINES,
            "{driver} has {lines} lines of code: what does it decide?"
        );
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

/// The names in `cargo tree -p relink -e normal`.
fn tree(flags: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "-p",
            "relink",
            "-e",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ])
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
