//! What a person reads first.

use crate::support::Relink;

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
    for word in ["Exit status:", "--json", "docs/json-lines.md", "sh -c", "500ms, 30s, 2m", "[default: 20s]"]
    {
        assert!(help.contains(word), "{word}");
    }
    let help = page(["serve", "--help"]);
    for word in ["relink.v1", "--history", "redis://", "--silence", "--session-ttl", "[default: 2m]", "130"] {
        assert!(help.contains(word), "{word}");
    }
    let steps =
        ["accept", "refuse", "garbage", "blackhole", "send", "expect", "echo", "wait", "ping", "silent"];
    for step in steps.into_iter().chain(["close", "close-no-code", "drop", "reset"]) {
        assert!(help.contains(step), "{step}");
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
