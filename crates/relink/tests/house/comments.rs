//! Comments fit in the width of the code and name no requirements by number; words are spelled as
//! in America.

use crate::source::everything;

#[test]
fn no_comment_has_the_number_of_a_requirement() {
    for (file, text) in everything() {
        for line in text.lines() {
            let comment = line.split_once("//").map_or("", |(_, comment)| comment);
            assert_eq!(number(comment), None, "{file}: {line}");
        }
    }
}

#[test]
fn each_comment_is_wrapped_at_a_hundred_characters() {
    let mut long = Vec::new();
    for (file, text) in everything() {
        let mut is_example = false;
        for line in text.lines().map(str::trim_end) {
            let comment = line.trim_start();
            is_example ^= comment.starts_with("//") && comment.contains("```");
            // A table's row is one line, and an address cannot be wrapped.
            let may_be_long = is_example || comment.contains("| ") || comment.contains("://");
            if comment.starts_with("//") && !may_be_long && line.chars().count() > 100 {
                long.push(format!("{file}: {line}"));
            }
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}

/// One spelling, so that a name can be guessed.
#[test]
fn words_are_spelled_as_in_america() {
    let british = ["colour", "honour", "behaviour", "neighbour", "dialled", "dialling", "labelled"];
    for (file, text) in everything() {
        let lower = text.to_lowercase();
        let found: Vec<_> = british.into_iter().filter(|word| lower.contains(word)).collect();
        assert!(found.is_empty(), "{file}: {found:?}");
    }
}

/// A requirement's number in parentheses, alone or first of several: (D5), (I07, W10).
fn number(comment: &str) -> Option<&str> {
    comment.split('(').skip(1).find_map(|text| {
        let (inner, _) = text.split_once(')')?;
        let first = inner.split([',', ' ']).next()?;
        let digits = first.strip_prefix(|letter: char| letter.is_ascii_uppercase())?;
        let is_number =
            matches!(digits.len(), 1 | 2) && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then_some(first)
    })
}

#[test]
fn numbers_of_requirements_are_told_from_other_words() {
    assert_eq!(number(" who is online (A9)"), Some("A9"));
    assert_eq!(number("/ (see there) and (I07, W10)"), Some("I07"));
    assert_eq!(number("/ closed (1006), by HTTP (RFC 9110), (UTF8)"), None);
}
