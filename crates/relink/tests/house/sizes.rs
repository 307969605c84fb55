//! Files and functions stay small enough to be read at once.

use crate::source::{code, everything};

const MOST_LINES_OF_A_FILE: usize = 400;
const MOST_LINES_OF_A_FUNCTION: usize = 60;

/// Longer, because each reads as a table: a `match` with an arm for each variant, or a value with a
/// line for each field.
const TABLES: [(&str, &str); 10] = [
    ("relink-cli/src/connect/human.rs", "lines"),
    ("relink-cli/src/connect/json.rs", "what"),
    ("relink-driver/src/trace.rs", "event"),
    ("relink-node/src/node/responses.rs", "use_response"),
    ("relink-server/src/history/redis/mod.rs", "ask"),
    ("relink-sim/src/fuzz/draw.rs", "link_config"),
    ("relink-sim/src/model.rs", "expected"),
    ("relink-sim/src/model/rules.rs", "heard"),
    ("relink-sim/src/peer.rs", "carry_out"),
    ("relink-sim/src/world/application.rs", "hear_event"),
];

#[test]
fn each_file_has_at_most_four_hundred_lines_of_code() {
    let mut long = Vec::new();
    for (file, text) in everything() {
        let lines = code(&text).len();
        if lines > MOST_LINES_OF_A_FILE {
            long.push(format!("{file} has {lines} lines of code"));
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn each_function_has_at_most_sixty_lines_of_code() {
    let mut long = Vec::new();
    for (file, text) in everything() {
        for (name, lines) in functions(&text) {
            if lines > MOST_LINES_OF_A_FUNCTION && !TABLES.contains(&(&file, name)) {
                long.push(format!("{file}: {name} has {lines} lines of code"));
            }
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}

/// The functions of a file that rustfmt has laid out, with their lines of code, from `fn` to the
/// brace below it.
fn functions(text: &str) -> Vec<(&str, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut functions = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some((before, rest)) = line.split_once("fn ") else { continue };
        let qualifies =
            |word: &str| matches!(word, "pub" | "pub(crate)" | "pub(super)" | "const" | "async");
        if !before.split_whitespace().all(qualifies) || line.ends_with(['}', ';']) {
            continue;
        }
        let indent = &line[..line.len() - line.trim_start().len()];
        let is_end = |line: &&str| {
            line.strip_prefix(indent)
                .is_some_and(|rest| rest == "}" || rest.ends_with(";") && !rest.starts_with(' '))
        };
        let Some(length) = lines[index..].iter().position(is_end) else { continue };
        let name = rest.split(['(', '<']).next().expect("a first part");
        functions.push((name, code(&lines[index..=index + length].join("\n")).len()));
    }
    functions
}

#[test]
fn functions_are_measured_from_their_first_line_to_their_brace() {
    let text = "
impl A {
    pub const fn two() -> [u8; 2] {
        // a remark
        [1, 2]
    }

    fn short(&self) {}
}

async fn seven<T>(
    a: T,
    b: T,
) -> T {
    if true {
        a
    }
    b
}
";
    assert_eq!(functions(text), [("two", 3), ("seven", 9)]);
}
