//! The variants that the code declares, so that new ones cannot be forgotten in the table.

use std::fs;
use std::path::Path;

/// The variants of an enum of the link, by name.
pub(crate) fn variants_of(name: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/link");
    let files = fs::read_dir(&folder).expect("the crate's own source");
    let text: String =
        files.filter_map(|file| fs::read_to_string(file.expect("a file").path()).ok()).collect();
    let start = format!("pub enum {name} {{\n");
    let (_, body) = text.split_once(&start).unwrap_or_else(|| panic!("no enum {name} in src/link"));
    let (body, _) = body.split_once("\n}\n").expect("an enum ends");
    let names: Vec<String> = body
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(|letter: char| letter.is_ascii_uppercase()))
        .map(|line| line.chars().take_while(char::is_ascii_alphanumeric).collect())
        .collect();
    assert!(!names.is_empty(), "no variants of {name} found");
    names
}
