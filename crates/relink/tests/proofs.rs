//! `docs/INVARIANTS.md`: what always holds, and the tests that prove it. Generated from the names
//! of the tests, and compared; `RELINK_UPDATE=1` (`just diagram`) writes it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

const UPDATE: &str = "RELINK_UPDATE=1 cargo test -p relink --test proofs";

/// The rules. Each number must have a test.
const RULES: [(u8, &str); 32] = [
    (
        1,
        "There is one live dial or transport at the most. What comes from an older one changes nothing.",
    ),
    (2, "There is one pending retry at the most, and after the end no deadline at all."),
    (
        3,
        "The state never says connected while no usable transport exists; the surface may, for its grace.",
    ),
    (
        4,
        "Everything is cleaned up before it is told, commands are legal at any time, and events come in the order of transitions.",
    ),
    (
        5,
        "Failures are forgotten when the link was stable for a while, or the application says so; not on open, not on close.",
    ),
    (
        6,
        "Every automatic dial has a floor above zero and a rate limit behind it; the first one after a stable link is the exception.",
    ),
    (
        7,
        "Every delay lies between floor and cap, jitter included, and is drawn anew; at the cap it still has width.",
    ),
    (8, "No attempt number, base or cap makes a delay overflow, vanish or turn negative."),
    (9, "A heartbeat belongs to one transport and starts empty with it."),
    (
        10,
        "After a jump of the clock, what has arrived counts before what is overdue, and a probe goes out before a verdict.",
    ),
    (11, "An overdue ping goes out at the next wake-up."),
    (12, "Any inbound traffic is a sign of life, and puts off no ping."),
    (
        13,
        "A close that this side begins is retried, ends no resumable session, and does not pass through the peer's table.",
    ),
    (14, "A close handshake has a deadline."),
    (15, "An error and a close of the same transport count once."),
    (16, "Every phase has a deadline of its own."),
    (
        17,
        "Retry-now replaces the wait and adds nothing; `connect` while trying does nothing; both work again after giving up.",
    ),
    (18, "Hints shorten a wait, never below floor and budget; offline is a reason to check."),
    (
        19,
        "A token is fetched once per attempt, one fetch at a time; late ones are dropped; refusals are bounded and reported.",
    ),
    (20, "A transport that opens for an attempt which failed meanwhile is closed."),
    (
        21,
        "The outbox is bounded in count and bytes. What was reported dropped is never sent. Order survives reconnects.",
    ),
    (22, "Queued messages go out after the handshake, not before, and at a pace where one is set."),
    (
        23,
        "What was handed to a transport that died is not sent again, unless acknowledgements are on: then it is, under its old number.",
    ),
    (
        24,
        "The resume position moves when the application has taken a message, and is forgotten together with the session.",
    ),
    (
        25,
        "Resume works with nothing received, more than once, and against late timeouts of the old transport.",
    ),
    (26, "Gaps and duplicates are found on both sides."),
    (27, "Changes of presence wait for the snapshot, and only net changes are told."),
    (28, "A failed subscription does not cost the link."),
    (
        29,
        "A delay that the server gives is bounded at both ends, spread, and counted against the budgets.",
    ),
    (30, "A failed first attempt follows the same policy, or an explicit other one."),
    (31, "Every end has a reason, told once and last."),
    (
        32,
        "No input, in any order, at any time, panics, blocks or loops; handling a deadline makes progress.",
    ),
];

#[test]
fn the_list_of_invariants_names_the_tests_that_prove_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let generated = document(&proofs(&root));
    let path = root.join("docs/INVARIANTS.md");
    if std::env::var_os("RELINK_UPDATE").is_some() {
        fs::write(&path, &generated).expect("docs can be written");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "docs/INVARIANTS.md is not what the tests say; update it: {UPDATE}"
    );
}

#[test]
fn every_invariant_has_a_test_that_carries_its_number() {
    let proofs = proofs(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
    for (number, rule) in RULES {
        assert!(proofs.contains_key(&number), "I{number}: {rule}");
    }
}

/// Test names by invariant, each with the file it stands in.
type Proofs = BTreeMap<u8, BTreeMap<String, Vec<String>>>;

fn proofs(root: &Path) -> Proofs {
    let mut files = Vec::new();
    collect(&root.join("crates"), &mut files);
    let mut proofs = Proofs::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a source file");
        let place = file.strip_prefix(root).expect("below the root").display().to_string();
        for line in text.lines() {
            let Some((number, name)) = proof(line) else { continue };
            let names = proofs.entry(number).or_default().entry(place.clone()).or_default();
            names.push(name.to_owned());
        }
    }
    proofs
}

/// `fn i05_flap_escalates(` is a proof of I5.
fn proof(line: &str) -> Option<(u8, &str)> {
    let declaration = line.trim_start().trim_start_matches("pub ").trim_start_matches("async ");
    let name = declaration.strip_prefix("fn ")?.split(['(', '<']).next()?;
    let (number, _) = name.strip_prefix('i')?.split_once('_')?;
    Some((number.parse().ok().filter(|_| number.len() == 2)?, name))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}

fn document(proofs: &Proofs) -> String {
    let mut text = "# What always holds\n\n\
        Each rule has been broken by a client in wide use. The tests below fail when relink breaks it. Generated from the\n\
        tests' names by `just diagram`; `cargo test` compares.\n"
        .to_owned();
    for (number, rule) in RULES {
        write!(text, "\n## I{number}\n\n{rule}\n\n").expect("text");
        for (place, names) in proofs.get(&number).into_iter().flatten() {
            let names = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            writeln!(text, "- {place}: {names}").expect("text");
        }
    }
    text
}
