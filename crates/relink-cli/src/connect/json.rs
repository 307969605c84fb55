//! `--json`: one object a line. An interface; `docs/json-lines.md` describes it, and the tests hold it.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use relink::{CloseCode, DropReason, Event, Message, Receipt, Shown};
use serde::Serialize;

use crate::output::Line;
use crate::words::{cause, symbol};

/// One line.
#[derive(Serialize)]
struct Told<'a> {
    /// Milliseconds since the start.
    t: u64,
    #[serde(flatten)]
    what: What<'a>,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum What<'a> {
    State {
        from: &'static str,
        to: &'static str,
        reason: &'static str,
    },
    Dial {
        attempt: u32,
        url: String,
    },
    Connected {
        is_reconnect: bool,
    },
    #[serde(rename = "message")]
    Text {
        text: &'a str,
    },
    #[serde(rename = "message")]
    Binary {
        base64: String,
    },
    Sent {
        id: u64,
    },
    Dropped {
        id: Receipt,
        why: DropReason,
    },
    Disconnected {
        code: CloseCode,
        reason: String,
        will_reconnect: bool,
        retry_in_ms: Option<u64>,
    },
    AttemptFailed {
        attempt: u32,
        reason: String,
        will_retry: bool,
        retry_in_ms: Option<u64>,
    },
    TokenError {
        consecutive_failures: u32,
    },
    GoingAway {
        retry_after_ms: u64,
    },
    Stuck,
    Missed {
        count: u64,
    },
    Closed {
        reason: &'static str,
        code: Option<CloseCode>,
    },
}

/// The lines that tell of an event; none where a program has no use for it.
pub(crate) fn lines(at: Duration, event: &Event) -> Vec<Line> {
    let line = |what| {
        let told = Told { t: millis(at), what };
        // Text and numbers: there is nothing that JSON could not hold.
        Line::Out(serde_json::to_string(&told).unwrap_or_default())
    };
    if let Event::Sent { first: Receipt(first), last: Receipt(last) } = event {
        return (*first..=*last).map(|id| line(What::Sent { id })).collect();
    }
    what(event).map(line).into_iter().collect()
}

fn what(event: &Event) -> Option<What<'_>> {
    Some(match event {
        Event::State { from, to, reason } => {
            let (from, to) = (from.status(), to.status());
            if from == to {
                return None;
            }
            What::State { from: from.name(), to: to.name(), reason: symbol(*reason) }
        }
        Event::Dialing { attempt, address } => What::Dial { attempt: *attempt, url: address.to_string() },
        Event::Connected { is_reconnect } => What::Connected { is_reconnect: *is_reconnect },
        Event::Message(Message::Text(text)) => What::Text { text: text.as_str() },
        Event::Message(Message::Binary(bytes)) => What::Binary { base64: BASE64_STANDARD.encode(bytes) },
        Event::Dropped { receipt, why, .. } => What::Dropped { id: *receipt, why: *why },
        Event::Disconnected { code, detail, reason, retry_in } => What::Disconnected {
            code: *code,
            reason: cause(*reason, detail),
            will_reconnect: retry_in.is_some(),
            retry_in_ms: retry_in.map(millis),
        },
        Event::AttemptFailed { attempt, reason, detail, retry_in } => What::AttemptFailed {
            attempt: *attempt,
            reason: cause(*reason, detail),
            will_retry: retry_in.is_some(),
            retry_in_ms: retry_in.map(millis),
        },
        Event::TokenError { consecutive_failures, .. } => {
            What::TokenError { consecutive_failures: *consecutive_failures }
        }
        Event::GoingAway { retry_after } => What::GoingAway { retry_after_ms: millis(*retry_after) },
        Event::Shown(Shown::Stuck(true)) => What::Stuck,
        Event::Missed { count } => What::Missed { count: *count },
        Event::Closed { reason } => What::Closed { reason: reason.name(), code: reason.code() },
        Event::Sent { .. } | Event::Shown(_) | _ => return None,
    })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_read_in_time_is_counted() {
        let told = lines(Duration::from_millis(1_234), &Event::Missed { count: 7 });
        assert_eq!(told, [Line::Out(r#"{"t":1234,"event":"missed","count":7}"#.to_owned())]);
    }
}
