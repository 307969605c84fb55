//! `relink schedule`: the same seed prints the same page.

use crate::support::{Relink, file_name};

fn page(args: &[&str]) -> String {
    let ended = Relink::run(["schedule"].into_iter().chain(args.iter().copied()));
    assert_eq!(ended.status, Some(0), "{}", ended.err());
    ended.out()
}

#[test]
fn a_page_for_the_defaults() {
    assert_eq!(page(&["--seed", "3"]), DEFAULTS.trim_start_matches('\n').trim_end());
}

const DEFAULTS: &str = "
attempt  shortest   longest   example     after
      1    0.00 s    1.00 s    0.43 s    0.43 s  ─●─
      2    0.75 s    1.50 s    0.92 s    1.35 s   ●─
      3    1.50 s    3.00 s    1.67 s    3.01 s    ─●──
      4    3.00 s    6.00 s    5.51 s    8.52 s       ───●─
      5    6.00 s   12.00 s    9.28 s   17.80 s           ─────●────
      6   10.00 s   20.00 s   17.72 s   35.53 s                 ────────────●───
      7   10.00 s   20.00 s   18.87 s   54.39 s                 ─────────────●──
      8   10.00 s   20.00 s   16.30 s   70.69 s                 ─────────●──────
      9   10.00 s   20.00 s   11.45 s   82.14 s                 ──●─────────────
     10   10.00 s   20.00 s   10.15 s   92.29 s                 ●───────────────
                                                 0                       20.00 s

A hint from the server, or a close code with a floor, can make a delay longer.
Seed 3: --seed 3 draws this example again.
";

#[test]
fn the_same_as_json() {
    let page = page(&["--seed", "3", "--json", "--attempts", "2"]);
    assert_eq!(page.lines().collect::<Vec<_>>(), JSON);
}

const JSON: [&str; 2] = [
    r#"{"attempt":1,"shortest_ms":0,"longest_ms":1000,"example_ms":426,"after_ms":426,"seed":3}"#,
    r#"{"attempt":2,"shortest_ms":750,"longest_ms":1500,"example_ms":919,"after_ms":1346,"seed":3}"#,
];

#[test]
fn it_fits_a_narrow_terminal() {
    let config = file_name(
        "days.toml",
        "link.backoff = { cap = '30d', curve = { fixed = { delay = '30d' } } }\n",
    );
    for args in [vec![], vec!["--attempts", "1000"], vec!["--config", &config, "--attempts", "40"]]
    {
        for line in page(&args).lines() {
            assert!(line.chars().count() <= 80, "{line}");
            assert!(!line.contains('\x1b'), "colors have no place in a pipe: {line:?}");
        }
    }
}

#[test]
fn on_a_narrower_one_the_picture_shrinks_and_then_columns_go() {
    for (columns, last, has_picture) in
        [(79, "after", true), (60, "after", true), (50, "after", false), (40, "example", false)]
    {
        let ended = Relink::run_at(columns, ["schedule", "--seed", "3", "--max-attempts", "3"]);
        assert!(ended.out.iter().all(|line| line.chars().count() <= columns), "{}", ended.out());
        assert!(ended.out[0].ends_with(last), "{}", ended.out());
        assert_eq!(ended.out().contains('●'), has_picture, "{}", ended.out());
        assert!(ended.out().split_whitespace().any(|word| word == "(budget.max_attempts)."));
    }
}

#[test]
fn it_ends_where_relink_gives_up() {
    let text = page(&["--max-attempts", "3"]);
    let attempts = text.lines().filter(|line| line.contains('●')).count();
    assert_eq!(attempts, 3);
    assert!(text.contains("gives up: 3 attempts failed"), "{text}");

    let config = file_name("elapsed.toml", "link.budget.max_elapsed = '10s'\n");
    let text = page(&["--config", &config, "--seed", "1"]);
    assert!(text.contains("After 10s without a link it gives up"), "{text}");
}

#[test]
fn the_seed_that_it_names_draws_the_same_again() {
    let text = page(&[]);
    let seed =
        text.rsplit("--seed ").next().and_then(|rest| rest.split(' ').next()).expect("a seed");
    assert_eq!(page(&["--seed", seed]), text);
}

#[test]
fn every_profile_has_its_schedule() {
    let starts = |page: String| -> Vec<String> {
        let column = |line: &str| line.split_whitespace().nth(1).unwrap_or_default().to_owned();
        page.lines().skip(1).take_while(|line| line.contains(" s ")).map(column).collect()
    };
    let schedule = |profile: &str| starts(page(&["--profile", profile, "--seed", "1"]));
    assert_eq!(schedule("deepstream"), ["0.00", "2.00", "4.00", "6.00", "8.00"]);
    assert_eq!(schedule("deepstream_7"), ["0.00", "4.00", "8.00", "12.00", "16.00"]);
    assert_eq!(schedule("serverpod"), ["1.00", "2.00", "4.00", "8.00", "16.00"]);
    assert_eq!(schedule("metered")[..3], ["0.40", "0.80", "1.60"]);
    assert_eq!(schedule("managed_websocket")[..3], ["1.00", "2.00", "4.00"]);
    assert_eq!(schedule("managed_websocket_prose"), schedule("managed_websocket"));
    assert_eq!(schedule("agora_rtm")[..3], ["0.00", "0.75", "1.50"]);
    // A file and a flag override a profile as they override the default.
    let flags = ["--profile", "deepstream", "--max-attempts", "2"];
    assert!(page(&flags).contains("gives up: 2 attempts failed"));
}
