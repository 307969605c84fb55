//! The table as text.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::node_probe::NodeProbe;

/// The state of something that has ended.
pub(crate) const OVER: &str = "over";

/// One kind of thing that has states.
pub(crate) struct Chapter {
    pub(crate) title: &'static str,
    pub(crate) about: &'static str,
    pub(crate) states: Vec<State>,
}

pub(crate) struct State {
    pub(crate) name: &'static str,
    pub(crate) rows: Vec<Row>,
}

pub(crate) struct Row {
    pub(crate) input: &'static str,
    pub(crate) next: &'static str,
    pub(crate) does: String,
}

/// Hands in an input, if it can come now. Returns false if it cannot.
pub(crate) type Input = (&'static str, fn(&mut NodeProbe) -> bool);

/// The name of a state, and a function that makes a node in it.
pub(crate) type Spot = (&'static str, fn() -> NodeProbe);

impl Chapter {
    pub(crate) fn new(
        title: &'static str,
        about: &'static str,
        spots: &[Spot],
        inputs: &[Input],
        name: fn(&NodeProbe) -> &'static str,
    ) -> Self {
        let state = |(expected, make): &Spot| {
            assert_eq!(name(&make()), *expected, "{title}");
            let row = |(input, give): &Input| {
                let mut probe = make();
                probe.take_words();
                let came = give(&mut probe);
                let (next, does) = (name(&probe), probe.take_words());
                came.then_some(Row { input, next, does })
            };
            State { name: expected, rows: inputs.iter().filter_map(row).collect() }
        };
        Self { title, about, states: spots.iter().map(state).collect() }
    }
}

pub(crate) fn render(chapters: &[Chapter]) -> String {
    let mut text = String::from(INTRO);
    for Chapter { title, about, states } in chapters {
        let _ = write!(text, "\n\n{title}\n{}\n\n{about}\n", "=".repeat(title.len()));
        for State { name, rows } in states {
            let _ = writeln!(text, "\n## {name}");
            let mut idle = Vec::new();
            let mut effects: Vec<(&str, &str)> = Vec::new();
            let mut inputs: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
            for Row { input, next, does } in rows {
                let next = if next == name { "same" } else { *next };
                if next == "same" && does.is_empty() {
                    idle.push(*input);
                    continue;
                }
                let effect = (next, does.as_str());
                if !effects.contains(&effect) {
                    effects.push(effect);
                }
                inputs.entry(effect).or_default().push(input);
            }
            for effect in effects {
                let (next, does) = effect;
                let names = wrapped(&inputs[&effect], INPUT);
                for (index, names) in names.iter().enumerate() {
                    let (next, does) = if index == 0 { (next, does) } else { ("", "") };
                    let line = format!("{names:INPUT$} | {next:NEXT$} | {does}");
                    let _ = writeln!(text, "{}", line.trim_end());
                }
            }
            if !idle.is_empty() {
                let names = wrapped(&idle, INPUT);
                for (index, names) in names.iter().enumerate() {
                    let nothing = if index == 0 { "nothing" } else { "" };
                    let _ = writeln!(text, "{}", format!("{names:INPUT$} | {nothing}").trim_end());
                }
            }
        }
    }
    text
}

fn wrapped(names: &[&str], width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for (index, name) in names.iter().enumerate() {
        let comma = if index + 1 < names.len() { ";" } else { "" };
        let word = format!("{name}{comma}");
        let line = lines.last_mut().expect("never empty");
        if line.is_empty() {
            *line = word;
        } else if line.chars().count() + 1 + word.chars().count() > width {
            lines.push(format!("  {word}"));
        } else {
            *line = format!("{line} {word}");
        }
    }
    lines
}

const INPUT: usize = 50;
const NEXT: usize = 28;

const INTRO: &str = "\
What each input does to what a node keeps of its clients, state by state.

Generated from the code by `just diagram`; `cargo test` compares. A change of behavior is a change of this file.

  input          `client:` is a frame, `application:` and `store:` are answers to what was asked before, `news:` is
                 what the store tells by itself; an input that cannot come in a state is left out
  next state     `same` if it stays
  does           what is asked, sent and told, in order";
