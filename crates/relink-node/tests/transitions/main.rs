//! What each input does to a reader of a stream, to a member's seat, and to a connection, generated
//! from the code and compared with the committed table.
//!
//! A real node is brought into every state and passed every input that can come there.
//! `docs/transitions-node.txt` says what happens; `just diagram` writes it.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "most actions and frames are called by their own names"
)]

mod connection;
mod node_probe;
mod reader;
mod render;
mod seat;

use std::fs;
use std::path::Path;

use render::{Chapter, OVER};

#[test]
fn the_committed_table_is_what_the_code_does() {
    let chapters = [connection::chapter(), reader::channel(), reader::session(), seat::chapter()];
    let generated = render::render(&chapters);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/transitions-node.txt");
    if std::env::var_os("RELINK_UPDATE").is_some_and(|value| value == "1") {
        return fs::write(&path, generated).expect("the file can be written");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
    let differs = committed.lines().zip(generated.lines()).position(|(old, new)| old != new);
    let line = differs.unwrap_or(committed.lines().count().min(generated.lines().count()));
    assert!(
        committed == generated,
        "docs/transitions-node.txt differs from line {}: {:?}; `just diagram` updates it",
        line + 1,
        generated.lines().nth(line)
    );
}

#[test]
fn every_state_that_is_reached_has_a_section() {
    for Chapter { title, states, .. } in
        [connection::chapter(), reader::channel(), reader::session(), seat::chapter()]
    {
        let names: Vec<&str> = states.iter().map(|state| state.name).collect();
        for row in states.iter().flat_map(|state| &state.rows) {
            let is_known = names.contains(&row.next) || row.next == OVER;
            assert!(is_known, "{title}: {} leads to {}", row.input, row.next);
        }
    }
}
