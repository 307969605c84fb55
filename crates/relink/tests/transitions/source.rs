//! What the code itself declares, so that something added there cannot be forgotten here.

use std::fs;
use std::path::Path;

/// The variants of an enum in `src`, by name.
pub(crate) fn variants_of(name: &str, file: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file);
    let text = fs::read_to_string(&path).expect("the crate's own source");
    let start = format!("pub enum {name} {{\n");
    let (_, body) = text.split_once(&start).unwrap_or_else(|| panic!("no enum {name} in {file}"));
    let (body, _) = body.split_once("\n}\n").expect("an enum ends");
    let names: Vec<String> = body
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(|letter: char| letter.is_ascii_uppercase()))
        .map(|line| line.chars().take_while(char::is_ascii_alphanumeric).collect())
        .collect();
    assert!(!names.is_empty(), "no variants of {name} found in {file}");
    names
}
