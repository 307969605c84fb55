//! The documents of the interfaces agree with the program.

use std::collections::BTreeSet;
use std::path::Path;

use relink_testing::Script;
use serde_json::Value;

use crate::support::STEPS;

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    std::fs::read_to_string(path).expect("the document is there")
}

/// The code blocks in this language.
fn blocks<'a>(document: &'a str, language: &str) -> Vec<&'a str> {
    let opening = format!("```{language}\n");
    let blocks = document.split(&opening).skip(1);
    blocks.map(|block| block.split("```").next().unwrap_or_default()).collect()
}

#[test]
fn every_event_is_in_the_table_and_in_an_example() {
    let document = document("json-lines.md");
    let events = document
        .split("## Events")
        .nth(1)
        .and_then(|rest| rest.split("## ").next())
        .expect("a table");
    let described: BTreeSet<_> = events
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned))
        .collect();
    let shown: BTreeSet<_> = blocks(&document, "json")
        .iter()
        .flat_map(|block| block.lines())
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{line}: {error}"))
        })
        .map(|event| event["event"].as_str().expect("a name").to_owned())
        .collect();
    assert_eq!(described, shown);
    assert_eq!(described.len(), 30);
}

#[test]
fn every_event_of_the_server_is_in_the_table() {
    let document = document("serve-script.md");
    let table = document.split("## What it prints").nth(1).expect("a table");
    let described: BTreeSet<_> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split('|').next())
        .flat_map(|names| names.split('`').skip(1).step_by(2))
        .collect();
    // The names are in one function of the program, and two are elsewhere.
    let source = include_str!("../../src/serve/log.rs");
    let named = source.split("fn describe(").nth(1).expect("the function");
    let mut told: BTreeSet<_> =
        named.split("(\"").skip(1).map(|rest| rest.split('"').next().unwrap_or_default()).collect();
    told.remove("other");
    told.extend(["listening", "frame"]);
    assert_eq!(told, described);
}

#[test]
fn every_script_in_the_document_can_be_followed() {
    let document = document("serve-script.md");
    let scripts = blocks(&document, "toml");
    assert!(scripts.len() >= 4);
    for script in &scripts {
        let parsed = Script::from_toml(script);
        assert!(parsed.is_ok(), "{parsed:?} in\n{script}");
    }
    for step in STEPS {
        assert!(
            document.contains(&format!("| `{step}` |")) || document.contains(&format!("`{step}`")),
            "{step}"
        );
        assert!(
            scripts.iter().any(|script| script.contains(&format!("do = \"{step}\""))),
            "{step}"
        );
    }
}
