//! The help.

use crate::support::{Relink, STEPS};

fn page<const N: usize>(args: [&str; N]) -> String {
    let ended = Relink::run(args);
    assert_eq!(ended.status, Some(0), "{args:?}");
    ended.out()
}

#[test]
fn every_help_has_examples() {
    assert!(page(["--help"]).contains("Examples:\n  relink demo"));
    for command in ["connect", "serve", "schedule", "completions", "man"] {
        let help = page([command, "--help"]);
        assert!(help.contains(&format!("Examples:\n  relink {command}")), "{help}");
    }
}

#[test]
fn the_help_says_what_programs_need_to_know() {
    let help = page(["connect", "--help"]);
    for word in [
        "Exit status:",
        "--json",
        "docs/json-lines.md",
        "sh -c",
        "500ms, 30s, 2m",
        "[default: 20s]",
    ] {
        assert!(help.contains(word), "{word}");
    }
    let help = page(["serve", "--help"]);
    for word in
        ["relink.v1", "--history", "redis://", "--silence", "--session-ttl", "[default: 2m]", "130"]
    {
        assert!(help.contains(word), "{word}");
    }
    for step in STEPS {
        assert!(help.contains(step), "{step}");
    }
}

/// The page of a command, on a terminal of this width.
fn page_at(width: usize, command: &[&str]) -> String {
    let args = command.join(" ");
    let ended = Relink::shell(&format!("COLUMNS={width} relink {args} --help")).end();
    assert_eq!(ended.status, Some(0), "{command:?}: {}", ended.err());
    ended.out()
}

/// Lines that end early, although the first word of the next one would have fit.
fn broken(page: &str, width: usize) -> Vec<String> {
    // Help is at most 100 wide.
    let width = width.min(100);
    let indentation = |line: &str| line.len() - line.trim_start().len();
    let lines: Vec<_> = page.lines().collect();
    let pairs = lines.windows(2).filter(|pair| {
        let (line, next) = (pair[0].trim_end(), pair[1].trim_end());
        let goes_on =
            next.trim_start().starts_with(|c: char| c.is_lowercase() || "`(-".contains(c));
        let is_command =
            ["relink ", "tail ", "echo "].iter().any(|name| next.trim_start().starts_with(name));
        let is_item = next.trim_start().starts_with('-')
            || next.trim_start().contains("  ")
            || next.contains(" = ");
        let word = next.split_whitespace().next().unwrap_or_default();
        let had_room = line.chars().count() + 1 + word.chars().count() <= width;
        !line.is_empty()
            && goes_on
            && !is_command
            && !is_item
            && had_room
            && indentation(line) == indentation(next)
    });
    pairs.map(|pair| pair.join("\n")).collect()
}

#[test]
fn paragraphs_are_wrapped_once_however_wide_the_terminal_is() {
    assert_eq!(broken("a line that was\nbroken early", 80).len(), 1);
    for width in [60, 80, 100, 120] {
        for command in [
            &[] as &[&str],
            &["demo"],
            &["connect"],
            &["serve"],
            &["schedule"],
            &["completions"],
            &["man"],
        ] {
            let page = page_at(width, command);
            assert_eq!(broken(&page, width), [""; 0], "{command:?} at {width}");
            let wide = page.lines().find(|line| line.chars().count() > width);
            assert_eq!(wide, None, "{command:?} at {width}");
        }
    }
}

#[test]
fn lists_in_the_help_are_not_wrapped_on_a_narrow_terminal() {
    for command in
        [&[] as &[&str], &["connect"], &["serve"], &["schedule"], &["completions"], &["man"]]
    {
        let page = page_at(60, command);
        // From the examples on: each line is a command, an item, or a part of a paragraph.
        let lists = page.split("Examples:").nth(1).expect("examples");
        for line in lists.lines().filter(|line| line.starts_with("  ")) {
            let starts = line.split_whitespace().next().expect("a word");
            let is_whole =
                ["relink", "tail", "echo"].contains(&starts) || starts.parse::<u32>().is_ok();
            assert!(is_whole, "{command:?}: {line}");
        }
    }
}

#[test]
fn the_version_is_the_packages() {
    assert_eq!(page(["--version"]), format!("relink {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_and_manual_pages_are_there() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(page(["completions", shell]).contains("schedule"), "{shell}");
    }
    assert!(page(["man"]).contains(".TH relink 1"));
    let dir = concat!(env!("CARGO_TARGET_TMPDIR"), "/man1");
    page(["man", "--dir", dir]);
    let connect = std::fs::read_to_string(format!("{dir}/relink-connect.1")).unwrap();
    assert!(connect.contains("token\\-command"), "{connect}");
}
