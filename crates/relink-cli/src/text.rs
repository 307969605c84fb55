//! Texts for people, and symbols for programs.

use std::borrow::Cow;
use std::time::Duration;

use relink::link::Hint;
use relink::policy::DeadReason;
use relink::{Failure, Reason};

/// The cause, as a part of a sentence: the server's reason if it gave one, else ours, with the
/// detail if it adds something.
pub(crate) fn cause(reason: Reason, detail: &str) -> String {
    let is_the_servers =
        matches!(reason, Reason::ClosedByPeer(_) | Reason::Failed(Failure::Http { .. }));
    // The system's texts for these only repeat it, with a number.
    let says_it_all =
        matches!(reason, Reason::Failed(Failure::Refused | Failure::Reset | Failure::Eof));
    if detail.is_empty() || says_it_all {
        reason.to_string()
    } else if is_the_servers {
        detail.to_owned()
    } else {
        format!("{reason}: {detail}")
    }
}

/// The symbol for a reason, in `snake_case`: a part of the JSON lines' interface.
pub(crate) const fn symbol(reason: Reason) -> &'static str {
    match reason {
        Reason::Connect => "connect",
        Reason::DelayOver => "delay_over",
        Reason::RetryNow => "retry_now",
        Reason::Hint(Hint::Online) => "hint_online",
        Reason::Hint(Hint::Offline) => "hint_offline",
        Reason::Hint(Hint::Wake) => "hint_wake",
        Reason::TokenReady => "token_ready",
        Reason::AddressReady => "address_ready",
        Reason::Opened => "opened",
        Reason::StepDone(_) => "handshake_step_done",
        Reason::Redirected => "redirected",
        Reason::TooManyRedirects => "too_many_redirects",
        Reason::TokenFailed => "token_failed",
        Reason::AddressFailed => "address_failed",
        Reason::LoginRefused => "login_refused",
        Reason::ClosedByPeer(_) => "closed_by_peer",
        Reason::Failed(failure) => failure_symbol(failure),
        Reason::TimedOut(_) => "timed_out",
        Reason::Dead(DeadReason::Heartbeat) => "heartbeat_lost",
        Reason::Dead(DeadReason::Watchdog) => "watchdog",
        Reason::Dead(DeadReason::Probe) => "probe_lost",
        Reason::Dead(DeadReason::Message) => "message_too_slow",
        Reason::Close => "close",
        Reason::Flushed => "flushed",
        Reason::DriverGone => "driver_gone",
        Reason::Hint(_) | Reason::Dead(_) | _ => "other",
    }
}

const fn failure_symbol(failure: Failure) -> &'static str {
    match failure {
        Failure::Lookup => "lookup_failed",
        Failure::Refused => "connection_refused",
        Failure::Unreachable => "network_unreachable",
        Failure::Tls => "tls_failed",
        Failure::Http { .. } => "http_status",
        Failure::HttpRedirect => "redirected",
        Failure::NotWebSocket => "not_a_websocket",
        Failure::InvalidRequest => "invalid_request",
        Failure::Gap => "messages_missing",
        Failure::Abandoned => "abandoned",
        Failure::Reset => "connection_reset",
        Failure::Eof => "connection_ended",
        Failure::Protocol(_) => "protocol_error",
        Failure::Io | _ => "io_error",
    }
}

/// A duration for display: `0.4 s`, `12 s`, `3.5 min`.
pub(crate) fn span(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let (number, unit) = match seconds {
        ..0.095 => (format!("{:.0}", seconds * 1e3), "ms"),
        ..9.95 => (format!("{seconds:.1}"), "s"),
        ..99.5 => (format!("{seconds:.0}"), "s"),
        ..5_970.0 => (format!("{:.1}", seconds / 60.0), "min"),
        _ => (format!("{:.1}", seconds / 3600.0), "h"),
    };
    format!("{} {unit}", number.trim_end_matches(".0"))
}

/// When the next attempt starts: `at once`, or `in 0.4 s`.
pub(crate) fn soon(wait: Duration) -> String {
    if wait < Duration::from_millis(10) {
        "at once".to_owned()
    } else {
        format!("in {}", span(wait))
    }
}

/// The text without control characters: a peer must not control the terminal.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    let harmless = |c: char| !c.is_control() || c == '\t';
    if text.chars().all(harmless) {
        return Cow::Borrowed(text);
    }
    text.chars()
        .map(|c| if harmless(c) { c.to_string() } else { c.escape_default().to_string() })
        .collect::<String>()
        .into()
}

/// Whole milliseconds, as JSON has them.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_said_as_people_say_them() {
        for (millis, words) in [
            (0, "0 ms"),
            (40, "40 ms"),
            (437, "0.4 s"),
            (9_940, "9.9 s"),
            (9_960, "10 s"),
            (99_000, "99 s"),
            (150_000, "2.5 min"),
            (7_200_000, "2 h"),
            (1_000, "1 s"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), words);
        }
    }

    #[test]
    fn the_peers_words_cannot_move_the_cursor() {
        assert_eq!(printable("a\x1b[2Jb\tü"), "a\\u{1b}[2Jb\tü");
        assert!(matches!(printable("plain"), Cow::Borrowed("plain")));
    }

    #[test]
    fn a_cause_says_things_once() {
        let refused = Reason::Failed(Failure::Refused);
        assert_eq!(
            cause(refused, "Connection refused (os error 111)"),
            "the connection was refused"
        );
        assert_eq!(cause(Reason::ClosedByPeer(1001.into()), "deploy"), "deploy");
        assert_eq!(
            cause(Reason::ClosedByPeer(1001.into()), ""),
            "the server closed with code 1001"
        );
        assert_eq!(
            cause(Reason::TokenFailed, "no such user"),
            "the token could not be fetched: no such user"
        );
    }
}
