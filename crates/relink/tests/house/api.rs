//! The names at the root of each published crate, against `docs/api`.
//!
//! After a change that is meant: `RELINK_UPDATE=1 cargo test -p relink --test house`.

use std::collections::BTreeSet;
use std::fs;

use crate::source::{crates, read};

/// Each listing, and the file whose public names it has.
const LISTINGS: [(&str, &str); 16] = [
    ("relink", "relink/src/lib.rs"),
    ("relink-link", "relink/src/link/mod.rs"),
    ("relink-policy", "relink/src/policy/mod.rs"),
    ("relink-protocol", "relink/src/session/protocol.rs"),
    ("relink-session", "relink/src/session/mod.rs"),
    ("relink-async-std", "relink-async-std/src/lib.rs"),
    ("relink-driver", "relink-driver/src/lib.rs"),
    ("relink-driver-application", "relink-driver/src/application.rs"),
    ("relink-node", "relink-node/src/lib.rs"),
    ("relink-profiles", "relink-profiles/src/lib.rs"),
    ("relink-server", "relink-server/src/lib.rs"),
    ("relink-sim", "relink-sim/src/lib.rs"),
    ("relink-testing", "relink-testing/src/lib.rs"),
    ("relink-tokio", "relink-tokio/src/lib.rs"),
    ("relink-v1", "relink-v1/src/lib.rs"),
    ("relink-wire", "relink-wire/src/lib.rs"),
];

#[test]
fn the_names_at_each_crate_root_are_those_listed() {
    let folder = crates().join("../docs/api");
    let update = std::env::var_os("RELINK_UPDATE").is_some();
    if update {
        fs::create_dir_all(&folder).expect("a folder can be made");
    }
    for (name, file) in LISTINGS {
        let found: String =
            root(&read(&crates().join(file))).into_iter().map(|name| name + "\n").collect();
        let listing = folder.join(format!("{name}.txt"));
        if update {
            fs::write(&listing, &found).expect("a listing can be written");
        }
        assert_eq!(
            fs::read_to_string(&listing).unwrap_or_default(),
            found,
            "the public names of {name} changed; if that is meant: RELINK_UPDATE=1 cargo test -p relink --test house"
        );
    }
}

/// What applications name is at the root; the rest is in its module.
#[test]
fn the_root_of_the_core_has_at_most_forty_names() {
    let names = root(&read(&crates().join("relink/src/lib.rs")));
    let names: Vec<_> = names.iter().filter(|name| name.starts_with("use ")).collect();
    assert!(names.len() <= 40, "{} names: {names:?}", names.len());
}

/// The public names that stand in a crate's `lib.rs`, each with its kind; a re-export has the kind
/// `use`.
fn root(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut lines = text.lines();
    let mut is_hidden = false;
    while let Some(line) = lines.next() {
        let Some(item) = line.strip_prefix("pub ") else {
            is_hidden = line.starts_with("#[doc(hidden)]") || (is_hidden && line.starts_with('#'));
            continue;
        };
        if std::mem::take(&mut is_hidden) {
            continue;
        }
        if let Some(tree) = item.strip_prefix("use ") {
            let mut tree = tree.to_owned();
            while !tree.ends_with(';') {
                tree.push_str(lines.next().expect("the end of the statement").trim());
            }
            let inner = tree.trim_end_matches(';');
            let (prefix, list) = inner.split_once('{').unwrap_or(("", inner));
            let leaves = list
                .trim_end_matches('}')
                .split(',')
                .map(str::trim)
                .filter(|leaf| !leaf.is_empty());
            names.extend(leaves.map(|leaf| format!("use {}", leaf_name(prefix, leaf))));
        } else {
            let item = item.trim_start_matches("const fn").trim_start_matches("async fn");
            let words = item
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .filter(|word| !word.is_empty());
            let words: Vec<&str> = words.take(2).collect();
            names.insert(words.join(" "));
        }
    }
    names
}

/// The name that one part of a `use` brings in.
fn leaf_name(prefix: &str, leaf: &str) -> String {
    let last =
        |path: &str| path.trim_end_matches("::").rsplit("::").next().unwrap_or_default().to_owned();
    match leaf.split_once(" as ") {
        Some((_, name)) => name.to_owned(),
        None if leaf == "self" => last(prefix),
        None => last(leaf),
    }
}

#[test]
fn names_are_read_from_uses_and_items() {
    let text = "
pub mod a;
mod b;
#[doc(hidden)]
pub mod c;
pub use x;
pub use y::z::{self, D, e::F as G,
    H};
pub fn i() {}
pub static J: u8 = 1;
    pub fn method() {}
";
    let expected = ["fn i", "mod a", "static J", "use D", "use G", "use H", "use x", "use z"];
    assert_eq!(root(text).into_iter().collect::<Vec<_>>(), expected);
}
