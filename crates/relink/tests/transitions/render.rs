//! The table as text: a section for each state, with similar states below each other.

use std::fmt::Write;

use relink::Verdict;
use relink::policy::{CLOSE_CODES, CloseRule, HTTP_STATUSES};
use relink::time::HumanDuration;

use crate::inputs::Named;
use crate::states::Chapter;
use crate::table::{Effect, Section};

pub(crate) fn render(chapters: &[(Chapter, Vec<Section>)]) -> String {
    let mut text = String::from(INTRO);
    title(&mut text, "Verdicts");
    text.push_str("\nThe default policy; a code that is not listed is retried.\n");
    verdicts(&mut text, "closed by peer", &CLOSE_CODES);
    verdicts(&mut text, "failed: http", &HTTP_STATUSES);
    for (chapter, sections) in chapters {
        title(&mut text, chapter.title);
        let mut groups: Vec<(Vec<&str>, String)> = Vec::new();
        let mut whole: Vec<&Section> = Vec::new();
        for section in sections {
            let body = body(section, chapter.deadlines_only);
            let by_base = whole.iter().map(|base| difference(section, base));
            let body = match by_base
                .min_by_key(String::len)
                .filter(|short| short.len() * 2 < body.len())
            {
                Some(short) => short,
                None => {
                    whole.push(section);
                    body
                }
            };
            match groups.iter_mut().find(|(_, other)| *other == body) {
                Some((headings, _)) => headings.push(&section.heading),
                None => groups.push((vec![&section.heading], body)),
            }
        }
        for (headings, body) in groups {
            let _ = write!(text, "\n## {}\n{body}", headings.join("\n## "));
        }
    }
    text
}

fn title(text: &mut String, title: &str) {
    let _ = write!(text, "\n\n{title}\n{}\n", "=".repeat(title.len()));
}

fn verdicts(text: &mut String, name: &str, rows: &[CloseRule]) {
    let _ = write!(text, "\n## {name}\n");
    for rule in rows {
        let codes = if rule.from == rule.to {
            rule.from.to_string()
        } else {
            format!("{}-{}", rule.from, rule.to)
        };
        let verdict = match rule.verdict {
            Verdict::RetrySlow { floor } => format!("retry, not before {}", HumanDuration(floor)),
            Verdict::Stop(reason) => format!("stop: {}", reason.name()),
            Verdict::Retry => "retry".into(),
            Verdict::RetryNow => "retry now".into(),
            Verdict::RefreshToken => "retry with a fresh token".into(),
            Verdict::SwitchEndpoint => "retry at the next endpoint".into(),
            other => format!("{other:?}"),
        };
        let _ = writeln!(text, "{codes:INPUT$} | {verdict:NEXT$} | {}", rule.why);
    }
}

fn body(section: &Section, deadlines_only: bool) -> String {
    let mut text: String = section.rows.iter().map(|row| lines(&row.inputs, &row.effect)).collect();
    if !deadlines_only {
        let what =
            format!("{} others, {} from another transport", section.idle.len(), section.stale);
        let _ = writeln!(text, "{what:INPUT$} | nothing");
    }
    text
}

/// Only the rows that differ from the other section.
fn difference(section: &Section, base: &Section) -> String {
    let mut text = String::new();
    let in_base =
        |input: &Named| base.rows.iter().find(|row| row.inputs.iter().any(|other| other.is(input)));
    for row in &section.rows {
        let differs = |input: &&Named| in_base(input).map(|row| &row.effect) != Some(&row.effect);
        let inputs: Vec<Named> = row.inputs.iter().filter(differs).cloned().collect();
        if !inputs.is_empty() {
            text.push_str(&lines(&inputs, &row.effect));
        }
    }
    let nothing = Effect { next: "nothing".into(), wakes: String::new(), does: String::new() };
    let mut idle = section.idle.iter().filter(|input| in_base(input).is_some()).cloned().peekable();
    while let Some(first) = idle.next() {
        let mut inputs = vec![first];
        while let Some(next) = idle.next_if(|next| next.group == inputs[0].group) {
            inputs.push(next);
        }
        text.push_str(&lines(&inputs, &nothing));
    }
    let all = if text.is_empty() { "" } else { ", but for" };
    format!("as `{}`{all}\n{text}", base.title)
}

fn lines(inputs: &[Named], effect: &Effect) -> String {
    let Effect { next, wakes, does } = effect;
    let mut text = String::new();
    for (index, names) in wrapped(inputs).iter().enumerate() {
        let (next, wakes, does) =
            if index == 0 { (&**next, &**wakes, &**does) } else { ("", "", "") };
        let line = format!("{names:INPUT$} | {next:NEXT$} | {wakes:WAKES$} | {does}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// The names of a row's inputs, in lines that fit their column.
fn wrapped(inputs: &[Named]) -> Vec<String> {
    let Named { group, of_group, .. } = &inputs[0];
    let is_all = *of_group > 1 && inputs.len() == *of_group;
    if is_all {
        return vec![format!("{group}: any")];
    }
    let mut lines =
        vec![if inputs[0].name == *group { String::new() } else { format!("{group}:") }];
    for (index, named) in inputs.iter().enumerate() {
        let comma = if index + 1 < inputs.len() { "," } else { "" };
        let word = format!("{}{comma}", named.name);
        let line = lines.last_mut().expect("never empty");
        if line.chars().count() + 1 + word.chars().count() > INPUT {
            lines.push(format!("    {word}"));
        } else {
            *line = if line.is_empty() { word } else { format!("{line} {word}") };
        }
    }
    lines
}

const INTRO: &str = "\
What each input does to a link in each state.

Generated from the code by `just diagram`; `cargo test` compares. A change of behavior is a change of this file.

  input          inputs that do the same share a row; `closed by peer` and `failed` come as every kind there is
  others         the inputs that change nothing: neither state nor deadline nor memory, and no action
  next state     `same` where it stays, `… phase` where only the phase changes
  deadline       the next one after the input, and how far off it is; `same` where it did not move
  does, tells    what the driver is asked to do and the application is told, in order; `→` is a change of state and
                 its reason; `(remembered)` is a change inside the link only

Delays are the longest that can be drawn: jitter makes them shorter. Inputs from another transport than the live one
are tried with every id that was, is or will be in use. An input comes just after the state was entered, a timeout
when it is due.";

const INPUT: usize = 46;
const NEXT: usize = 30;
const WAKES: usize = 18;
