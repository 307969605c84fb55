//! The matrix: 74 requirements, each with its tests. `docs/conformance.md` is written from it and
//! compared.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

const UPDATE: &str = "RELINK_UPDATE=1 cargo test -p relink-profiles --test conformance";

/// A requirement: its number, what it says, what relink does, where the real system differs from
/// its documentation.
struct Requirement {
    id: &'static str,
    says: &'static str,
    does: &'static str,
    differs: &'static str,
}

include!("requirements.in");

/// The name of a test that proves a requirement begins with its number: `d05_…` is D5.
fn prefix(id: &str) -> String {
    let (letter, number) = id.split_at(1);
    let number: u8 = number.parse().unwrap();
    format!("{}{number:02}_", letter.to_lowercase())
}

/// The tests of this suite, by the number in their names.
fn tests() -> BTreeMap<String, Vec<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut tests = BTreeMap::<String, Vec<String>>::new();
    for file in
        files.into_iter().filter(|file| file.extension().is_some_and(|ending| ending == "rs"))
    {
        let module = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(file).unwrap();
        for (line, next) in text.lines().zip(text.lines().skip(1)) {
            let Some(name) = next.strip_prefix("fn ").filter(|_| line == "#[test]") else {
                continue;
            };
            let name = name.split('(').next().unwrap();
            if let Some(id) = SYSTEMS
                .iter()
                .flat_map(|(_, _, all)| *all)
                .find(|row| name.starts_with(&prefix(row.id)))
            {
                tests.entry(id.id.to_owned()).or_default().push(format!("{module}::{name}"));
            }
        }
    }
    tests
}

#[test]
fn every_requirement_has_a_test_that_carries_its_number() {
    let tests = tests();
    let mut without = Vec::new();
    let mut all = 0;
    for (system, _, requirements) in SYSTEMS {
        println!("{system}");
        for requirement in *requirements {
            all += 1;
            let count = tests.get(requirement.id).map_or(0, Vec::len);
            println!(
                "  {:>4}  {count:>2} {}  {}",
                requirement.id,
                if count == 1 { "test " } else { "tests" },
                requirement.says
            );
            if count == 0 {
                without.push(requirement.id);
            }
        }
    }
    assert_eq!(all, 74);
    assert!(without.is_empty(), "without a test: {without:?}");
}

#[test]
fn the_matrix_in_the_documentation_is_this_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/conformance.md");
    let generated = document(&tests());
    if std::env::var_os("RELINK_UPDATE").is_some() {
        fs::write(&path, &generated).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "docs/conformance.md is not what the tests say; update it: {UPDATE}"
    );
}

fn document(tests: &BTreeMap<String, Vec<String>>) -> String {
    let mut text = "# Five systems, requirement by requirement\n\n\
        What the documentation of five real systems asks for, what relink does about it, and where the real system differs from its\n\
        own documentation. Each requirement has tests in virtual time, on the profile of its system, in\n\
        `crates/relink/tests/conformance`; their names begin with its number. Generated from there by `just diagram`; `cargo test`\n\
        compares.\n"
        .to_owned();
    for (system, about, requirements) in SYSTEMS {
        write!(text, "\n## {system}\n\n{about}\n\n").unwrap();
        text.push_str("| | requirement | what relink does | the real system | tests |\n| --- | --- | --- | --- | --- |\n");
        for Requirement { id, says, does, differs } in *requirements {
            let tests: Vec<_> =
                tests.get(*id).into_iter().flatten().map(|name| format!("`{name}`")).collect();
            let differs = if differs.is_empty() { "—" } else { differs };
            writeln!(text, "| {id} | {says} | {does} | {differs} | {} |", tests.join("<br>"))
                .unwrap();
        }
    }
    text
}
