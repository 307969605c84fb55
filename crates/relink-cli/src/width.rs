//! The width of the output, and the wrapping of text.

use std::io;

/// Longer lines are hard to read, however wide the terminal is.
const MOST: usize = 80;
/// On a narrower terminal, lines are cut.
const LEAST: usize = 40;

/// The width of the terminal on stdout, or the value of `COLUMNS` if stdout is not a terminal: 40
/// to 80 columns.
pub(crate) fn columns() -> usize {
    let terminal = terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| width.0.into());
    let named = || std::env::var("COLUMNS").ok()?.parse().ok();
    terminal.or_else(named).unwrap_or(MOST).clamp(LEAST, MOST)
}

/// Breaks a text into lines of at most `width` characters, at spaces.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last().map_or(0, |line| line.chars().count());
        let fits = line == 0 || line + 1 + word.chars().count() <= width;
        if !fits {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_broken_at_spaces_and_keeps_its_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("an-endless-word and", 5), ["an-endless-word", "and"]);
        assert_eq!(wrap("", 5), [""]);
    }
}
