//! The program `banner` in a real terminal, as a person uses it. Needs tmux; `just terminal` runs
//! it.

mod tmux;

use std::path::Path;
use std::time::Duration;

use relink_testing::{Connection, EventKind, Refusal, Script, Server};
use tmux::Tmux;

/// Far longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(20);

const RED: u8 = 1;
const GREEN: u8 = 2;
const YELLOW: u8 = 3;

/// The pictures drawn so far, a JSON object each.
fn drawn(path: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path).expect("the program writes it");
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON object")).collect()
}

/// Waits until this many connections were accepted.
fn accepted(server: &Server, count: usize) {
    let met = server.wait_for_blocking(
        |events| {
            events.iter().filter(|event| matches!(event.kind, EventKind::Accepted { .. })).count()
                >= count
        },
        LIMIT,
    );
    met.expect("the program connects");
}

#[test]
fn m15_m16_m17_a_person_sees_no_flicker_then_a_banner_then_retries_and_is_told_the_end() {
    let server = Server::spawn_thread(Script::echo()).expect("a free port");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let log = folder.join(format!("drawn-{}.jsonl", std::process::id()));
    let program = env!("CARGO_BIN_EXE_banner");
    let flags = "--grace 1500ms --stuck-after 4s --first-attempt 100ms --stable-after 100ms";
    let command = format!(
        "{program} {flags} --drawn {} {}; printf 'exit status %d\\n' $?; read -r line",
        log.display(),
        server.url()
    );
    let terminal = Tmux::start(&command);
    terminal.wait_for("● connected");
    terminal.press("m");
    terminal.wait_for("← hello 1");

    // A short drop: it is back before the grace is over, and a message can be sent.
    assert_eq!(server.kill_all(), 1);
    accepted(&server, 2);
    terminal.press("m");
    terminal.wait_for("← hello 2");
    let so_far = drawn(&log);
    assert!(so_far.iter().all(|picture| picture["banner"] == false), "no banner: {so_far:?}");
    let connected = so_far.iter().skip_while(|picture| picture["status"] != "connected");
    assert_eq!(connected.count(), 1, "and nothing else that flickers: {so_far:?}");

    // A long one: the server answers that it will take a while.
    let busy = Script::new().connection(Connection::refuse(Refusal::new(503).retry_after(120)));
    server.set_script(busy).expect("a good script");
    assert_eq!(server.kill_all(), 1);
    terminal.wait_for("Reconnecting: next attempt in 1");
    assert!(terminal.has_dot(YELLOW));
    terminal.press("m");
    terminal.wait_for("→ hello 3 (waits for the connection)");
    terminal.wait_for("Press r to retry now.");
    terminal.wait_for("Still trying to reconnect: next attempt in 1");

    // It works again, and a person does not wait for two minutes.
    server.set_script(Script::echo()).expect("a good script");
    terminal.press("r");
    terminal.wait_for("← hello 3");
    let back = terminal.wait_for("● connected");
    assert!(
        !back.contains("econnect:") && !back.contains("Press r"),
        "the banner is gone:\n{back}"
    );
    assert!(terminal.has_dot(GREEN));

    // The end, and the advice.
    assert_eq!(server.close_all(4020, "kicked"), 1);
    let end = terminal.wait_for("Disconnected: admin_disconnect (close code 4020).");
    assert!(end.contains("ask them before coming back"), "{end}");
    assert!(terminal.has_dot(RED));
    let last = drawn(&log).pop().expect("something was drawn");
    assert_eq!((&last["color"], &last["ended"]), (&"bad".into(), &"admin_disconnect".into()));
    terminal.press("q");
    let after = terminal.wait_for("exit status 0");
    assert!(after.contains("3 messages sent, 3 received"), "{after}");
    assert_eq!(
        server.connections(),
        4,
        "the short drop, the refusal, the retry; none after the end"
    );
    std::fs::remove_file(log).expect("it is there");
}

#[test]
fn quitting_closes_the_link_in_good_order() {
    let server = Server::spawn_thread(Script::echo()).expect("a free port");
    let terminal =
        Tmux::start(&format!("{} {}; read -r line", env!("CARGO_BIN_EXE_banner"), server.url()));
    terminal.wait_for("● connected");
    terminal.press("q");
    terminal.wait_for("0 messages sent, 0 received");
    let closed = |event: &relink_testing::ServerEvent| {
        matches!(event.kind, EventKind::PeerClosed { code: Some(1000), .. })
    };
    let met = server.wait_for_blocking(|events| events.iter().any(closed), LIMIT);
    met.expect("a close frame with 1000");
}
