//! The transition table of [`relink::Link`], generated from the code and compared with the
//! committed one.
//!
//! A real link is brought into every state and passed every input. `docs/transitions.txt` says what
//! happens; `docs/transitions.md` draws it; a page of the guide has the tables of close codes. `just
//! diagram` writes all three.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a table names what it is about, and checks that nothing is missing"
)]

mod codes;
mod diagram;
mod inputs;
mod link_probe;
mod render;
mod source;
mod states;
mod table;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use relink::Reason;
use relink::link::Input;

use link_probe::events;
use states::Chapter;
use table::Section;

#[test]
fn the_committed_table_is_what_the_code_does() {
    compare("transitions.txt", &render::render(generated()));
}

#[test]
fn the_committed_diagram_is_what_the_code_does() {
    compare("transitions.md", &diagram::render(generated()));
}

#[test]
fn every_state_that_can_be_reached_has_a_section() {
    let chapters = generated();
    let sections: BTreeSet<_> =
        chapters.iter().flat_map(|(_, sections)| sections).map(|section| &section.name).collect();
    for (chapter, spots) in chapters.iter().map(|(chapter, _)| (chapter, &chapter.spots)) {
        for (spot, input) in
            spots.iter().flat_map(|spot| inputs_at(spot).map(move |input| (spot, input)))
        {
            let mut after = spot.probe.in_time_for(input);
            after.give(input);
            let reached = table::state_name(&after);
            assert!(
                sections.contains(&reached),
                "{}: {input:?} leads to {reached}, which has no section",
                chapter.title
            );
        }
    }
}

#[test]
fn every_kind_of_input_is_handed_in() {
    let named = inputs::all(relink::link::TransportId::default(), 1, None);
    let text: String = named.iter().map(|named| format!("{:?}\n", named.input)).collect();
    for name in ["Input", "Hint", "HandshakeEvent", "Refusal", "Failure"] {
        for variant in source::variants_of(name) {
            assert!(text.contains(&variant), "no input says {name}::{variant}");
        }
    }
}

#[test]
fn every_deadline_and_every_reason_occurs() {
    let chapters = generated();
    let rows =
        || chapters.iter().flat_map(|(_, sections)| sections).flat_map(|section| &section.rows);
    let due: BTreeSet<_> =
        rows().flat_map(|row| &row.inputs).map(|named| named.name.to_lowercase()).collect();
    for timer in source::variants_of("Timer").into_iter().filter(|timer| timer != "Step") {
        assert!(due.contains(&timer.to_lowercase()), "{timer} is never due");
    }
    for step in source::variants_of("Step") {
        assert!(due.contains(&step.to_lowercase()), "the step {step} is never late");
    }
    let reasons: String =
        rows().flat_map(|row| &row.steps).map(|(_, _, reason)| format!("{reason:?}\n")).collect();
    for reason in source::variants_of("Reason") {
        // A close that is flushed stays `Closing`, so no change of state carries this reason.
        assert!(
            reasons.contains(&reason) || reason == "Flushed",
            "no transition has the reason {reason}"
        );
    }
}

#[test]
fn a_transition_names_the_input_that_caused_it() {
    for (chapter, _) in generated() {
        for (spot, input) in
            chapter.spots.iter().flat_map(|spot| inputs_at(spot).map(move |input| (spot, input)))
        {
            let actions = spot.probe.in_time_for(input).give(input);
            for event in events(&actions) {
                let relink::link::LinkEvent::State { reason, .. } = event else { continue };
                match (input, reason) {
                    (Input::PeerClosed { code, .. }, Reason::ClosedByPeer(named)) => {
                        assert_eq!(code, named)
                    }
                    (Input::Failed { failure, .. }, Reason::Failed(named)) => {
                        assert_eq!(failure, named)
                    }
                    (Input::Hint(hint), Reason::Hint(named)) => assert_eq!(hint, named),
                    _ => {}
                }
            }
        }
    }
}

fn generated() -> &'static [(Chapter, Vec<Section>)] {
    static GENERATED: LazyLock<Vec<(Chapter, Vec<Section>)>> =
        LazyLock::new(|| states::chapters().into_iter().map(with_sections).collect());
    &GENERATED
}

fn with_sections(chapter: Chapter) -> (Chapter, Vec<Section>) {
    let sections =
        chapter.spots.iter().map(|spot| table::section(spot, chapter.deadlines_only)).collect();
    (chapter, sections)
}

fn inputs_at(spot: &states::Spot) -> impl Iterator<Item = Input> {
    inputs::all(spot.probe.id(), 1, None).into_iter().map(|named| named.input)
}

#[test]
fn the_guide_says_what_close_codes_and_statuses_mean() {
    let name = "guide/close-codes.md";
    let page = fs::read_to_string(docs().join(name)).expect("the page is committed");
    compare(name, &codes::render(&page));
}

/// Compares a committed file with the generated text, or writes it if `RELINK_UPDATE` says so.
fn compare(name: &str, generated: &str) {
    let path = docs().join(name);
    if std::env::var_os("RELINK_UPDATE").is_some_and(|value| value == "1") {
        fs::create_dir_all(docs()).expect("docs/ can be made");
        return fs::write(&path, generated).expect("the file can be written");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
    let differs = committed.lines().zip(generated.lines()).position(|(old, new)| old != new);
    let line = differs.unwrap_or(committed.lines().count().min(generated.lines().count()));
    assert!(
        committed == generated,
        "docs/{name} is not what the code does, from line {} on:\n  committed: {}\n  the code:  {}\n\
         If the change of behavior is meant, run `just diagram` (RELINK_UPDATE=1 cargo test -p relink --test \
         transitions) and commit the file.",
        line + 1,
        committed.lines().nth(line).unwrap_or("(the end)"),
        generated.lines().nth(line).unwrap_or("(the end)"),
    );
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}
