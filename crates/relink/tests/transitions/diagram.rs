//! The diagram: the table's transitions, drawn.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use relink::{Reason, State};

use crate::states::Chapter;
use crate::table::{Section, phase_name, reason_name};

/// An arrow from one box to another, for these reasons.
type Arrows = BTreeMap<(String, String), BTreeSet<String>>;

pub(crate) fn render(chapters: &[(Chapter, Vec<Section>)]) -> String {
    let steps =
        || chapters.iter().flat_map(|(_, sections)| sections).flat_map(|section| &section.rows);
    let steps = || steps().flat_map(|row| &row.steps);
    let mut coarse = Arrows::new();
    let mut fine = Arrows::new();
    for (from, to, reason) in steps() {
        for (arrows, name) in
            [(&mut coarse, status_box as fn(State) -> String), (&mut fine, phase_box)]
        {
            let (from, to) = (name(*from), name(*to));
            if from != to {
                arrows.entry((from, to)).or_default().insert(why(*reason));
            }
        }
    }
    let attempt = hoist(&mut fine);
    let mut text = String::from(INTRO);
    text.push_str("\n## States\n\n");
    text.push_str(&drawn(&coarse, &BTreeSet::new()));
    text.push_str("\n## Phases of an attempt\n\n");
    text.push_str(PHASES);
    text.push_str(&drawn(&fine, &attempt));
    text
}

fn status_box(state: State) -> String {
    capital(state.status().name())
}

/// The name of a phase, for the first link and for a reconnect alike.
fn phase_box(state: State) -> String {
    match state {
        State::Connecting(phase) | State::Reconnecting(phase) => capital(phase_name(phase)),
        State::Idle | State::Connected | State::Closing | State::Closed(_) => status_box(state),
    }
}

fn why(reason: Reason) -> String {
    match reason {
        Reason::TimedOut(_) => "timeout".into(),
        Reason::Dead(_) => "heartbeat lost".into(),
        _ => reason_name(reason),
    }
}

const ATTEMPT: &str = "Attempt";

/// Replaces arrows that leave every phase of an attempt for the same box by one that leaves the
/// attempt; returns the phases.
fn hoist(arrows: &mut Arrows) -> BTreeSet<String> {
    let outside = ["Idle", "Waiting", "Connected", "Closing", "Closed"];
    let boxes: BTreeSet<String> =
        arrows.keys().flat_map(|(from, to)| [from.clone(), to.clone()]).collect();
    let phases: BTreeSet<String> =
        boxes.iter().filter(|name| !outside.contains(&name.as_str())).cloned().collect();
    for to in boxes.difference(&phases) {
        if !phases.iter().all(|from| arrows.contains_key(&(from.clone(), to.clone()))) {
            continue;
        }
        let reasons: Vec<_> = phases
            .iter()
            .filter_map(|from| arrows.remove(&(from.clone(), to.clone())))
            .flatten()
            .collect();
        arrows.entry((ATTEMPT.into(), to.clone())).or_default().extend(reasons);
    }
    phases
}

fn drawn(arrows: &Arrows, attempt: &BTreeSet<String>) -> String {
    let mut text = String::from("```mermaid\nstateDiagram-v2\n    [*] --> Idle\n");
    let inside = |from: &str, to: &str| attempt.contains(from) && attempt.contains(to);
    if !attempt.is_empty() {
        let _ = writeln!(text, "    state {ATTEMPT} {{");
        for ((from, to), reasons) in arrows.iter().filter(|((from, to), _)| inside(from, to)) {
            let _ = writeln!(text, "        {from} --> {to}: {}", label(reasons));
        }
        text.push_str("    }\n");
    }
    for ((from, to), reasons) in arrows.iter().filter(|((from, to), _)| !inside(from, to)) {
        let _ = writeln!(text, "    {from} --> {to}: {}", label(reasons));
    }
    text.push_str("    Closed --> [*]\n```\n");
    text
}

fn label(reasons: &BTreeSet<String>) -> String {
    reasons.iter().map(String::as_str).collect::<Vec<_>>().join(" / ")
}

fn capital(name: &str) -> String {
    let (first, rest) = name.split_at(1);
    first.to_uppercase() + rest
}

const INTRO: &str = "\
# The transitions of a link

Generated from the code by `just diagram`; `cargo test` compares. [`transitions.txt`](transitions.txt) has every state
and every input, with what each does.
";

const PHASES: &str = "\
`Connecting` and `Reconnecting` go through the same phases. A plain link has no handshake: from `Dialing` it goes to
`Connected` at once. `Authorizing` exists if a token or an address is fetched; the steps after `Dialing` where they are configured.

";
