//! Secrets are in no log and in no trace. A test binary of its own, since a logger belongs to the
//! whole process.

use std::sync::{Mutex, PoisonError};

use crate::common::Capture;
use relink_testing::conformance::secrets::{MARK, secrets_reach_the_server_and_nobody_else};
use relink_tokio::Tokio;

/// Everything that goes through the `log` facade: tungstenite logs its handshake there.
static LOGGED: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {} {}", record.level(), record.target(), record.args());
        LOGGED.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    fn flush(&self) {}
}

fn logged() -> Vec<String> {
    LOGGED.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

#[test]
fn secrets_are_in_no_log_and_in_no_trace() {
    let capture = Capture::default();
    log::set_logger(&Logger).expect("the only logger");
    log::set_max_level(log::LevelFilter::Trace);
    tracing::subscriber::set_global_default(capture.clone()).expect("the only subscriber");

    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    // Asserts by itself that every secret reached the server.
    runtime.block_on(async { secrets_reach_the_server_and_nobody_else(Tokio::new()).await });

    // The capture works: what was read and written was logged, and the link traced. The handshake
    // is in no log at all.
    let has_logged = |text: &str| logged().iter().any(|line| line.contains(text));
    assert!(has_logged("tungstenite") && !has_logged("GET /feed"), "{:#?}", logged());
    let traced = capture.traced();
    let has_traced = |text: &str| traced.iter().any(|traced| traced.fields.contains(text));
    assert!(
        has_traced("/feed") && has_traced("message=lost") && has_traced("message=attempt failed")
    );

    for line in logged() {
        assert!(!line.contains(MARK), "{line}");
    }
    for line in &traced {
        assert!(!line.fields.contains(MARK), "{line:?}");
    }

    // And what it looks for, it would have found.
    log::trace!("a secret: {MARK}");
    tracing::trace!(secret = MARK);
    assert!(has_logged(MARK) && capture.traced().iter().any(|traced| traced.fields.contains(MARK)));
}
