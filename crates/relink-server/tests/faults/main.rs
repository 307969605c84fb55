//! Two nodes, a handful of clients, and a network that is torn at random between them, on real
//! sockets: whatever happens, every message arrives once and in order, everywhere. Half of the clients compress
//! theirs.
//!
//! Each schedule has a seed, which a failure prints: `RELINK_SEED=17 cargo test -p relink-server
//! --test faults` runs that one alone, in every test. `RELINK_SCHEDULES` says how many there are in
//! all, 200 by default.

#![allow(clippy::unwrap_used, reason = "that is how a test fails")]
#![allow(clippy::wildcard_enum_match_arm, reason = "picks the events that it is about")]

mod member;
mod schedule;

use std::{env, sync::Arc};

use tokio::{sync::Semaphore, task::JoinSet};

use schedule::{Report, run};

/// The number of tests, among which the schedules are divided.
const TESTS: u64 = 6;
/// Schedules that each test runs at the same time: they mostly wait.
const AT_ONCE: usize = 6;

/// Runs this test's share of the schedules, and adds up what happened in them.
fn schedules(test: u64) -> Report {
    let number = |name| env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let all = number("RELINK_SCHEDULES").unwrap_or(200);
    let seeds: Vec<_> = match number("RELINK_SEED") {
        Some(seed) => vec![seed],
        None => (0..all.max(TESTS)).filter(|seed| seed % TESTS == test).collect(),
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (reports, failures) = runtime.block_on(async {
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        let mut running = JoinSet::new();
        for seed in seeds {
            let permits = Arc::clone(&permits);
            running.spawn(async move {
                let _permit = permits.acquire().await.unwrap();
                run(seed).await.map_err(|failure| format!("RELINK_SEED={seed}: {failure}"))
            });
        }
        let mut failures = Vec::new();
        let mut sum = Report::default();
        while let Some(ended) = running.join_next().await {
            match ended.expect("a schedule does not panic") {
                Ok(report) => sum.add(&report),
                Err(failure) => failures.push(failure),
            }
        }
        (sum, failures)
    });
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
    eprintln!("{reports:?}");
    reports
}

#[test]
fn i21_each_message_has_one_fate_and_order_survives_every_schedule() {
    let report = schedules(0);
    assert_eq!(report.acknowledged, report.sent);
}

#[test]
fn i22_what_is_sent_while_links_are_torn_in_the_handshake_goes_out_after_it() {
    let report = schedules(1);
    assert!(report.failed_attempts > 0 && report.acknowledged == report.sent, "{report:?}");
}

#[test]
fn i23_what_was_handed_to_a_transport_that_died_has_no_second_effect() {
    let report = schedules(2);
    assert!(report.lost > 0 && report.received == report.expected, "{report:?}");
}

#[test]
fn i24_publications_go_on_where_the_application_has_taken_them() {
    let report = schedules(3);
    assert!(report.resumed > 0 && report.received == report.expected, "{report:?}");
}

#[test]
fn i25_sessions_are_resumed_again_and_again_at_either_node() {
    let report = schedules(4);
    assert!(report.resumed > report.schedules && report.nodes_killed > 0, "{report:?}");
}

#[test]
fn i26_torn_frames_holes_and_lost_tails_leave_no_gap_and_no_duplicate() {
    let report = schedules(5);
    assert!(
        report.faults > 3 * report.schedules && report.received == report.expected,
        "{report:?}"
    );
}
