//! `--json`: one object a line. A stable interface, described in `docs/json-lines.md` and tested.

use std::ops::RangeInclusive;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use relink::link::StatusChange;
use relink::session::{Answer, DropReason, Member, PresenceEvent, Problem, SendErrorKind, Text};
use relink::{Channel, CloseCode, Event, Message, Receipt};
use relink_profiles::StateChange;
use serde::Serialize;

use super::stdin::{Refusal, Unfit};
use crate::output::Line;
use crate::text::{cause, millis, symbol};

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
    ProfileState {
        from: &'static str,
        to: &'static str,
        reason: Option<&'static str>,
    },
    Dial {
        attempt: u32,
        url: String,
    },
    Connected {
        is_reconnect: bool,
    },
    Message {
        #[serde(flatten)]
        place: Place<'a>,
        #[serde(flatten)]
        content: Content<'a>,
    },
    Sent {
        id: u64,
    },
    Acknowledged {
        id: u64,
    },
    Rejected {
        id: Receipt,
        #[serde(flatten)]
        problem: Trouble<'a>,
    },
    TooLarge {
        id: Receipt,
        size: usize,
    },
    Refused {
        line: u64,
        why: &'static str,
        detail: String,
        #[serde(flatten)]
        size: Option<Size>,
    },
    Withheld {
        #[serde(flatten)]
        place: Place<'a>,
        #[serde(flatten)]
        problem: Trouble<'a>,
    },
    InDoubt {
        id: u64,
    },
    Resumed {
        complete: bool,
    },
    ResumeRefused {
        #[serde(flatten)]
        problem: Trouble<'a>,
    },
    Subscribed {
        channel: &'a str,
        complete: bool,
    },
    Unsubscribed {
        channel: &'a str,
        #[serde(flatten)]
        problem: Trouble<'a>,
        retry_in_ms: Option<u64>,
    },
    Joined(Present<'a>),
    Updated(Present<'a>),
    Left(Present<'a>),
    StayBegan(Present<'a>),
    StayEnded(Present<'a>),
    Dropped {
        id: u64,
        why: DropReason,
        #[serde(flatten)]
        size: Option<Size>,
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
    EndpointsFailed {
        answers: Vec<Said>,
    },
    Closed {
        reason: &'static str,
        code: Option<CloseCode>,
    },
}

/// The position of a message; empty if it has no channel.
#[derive(Serialize, Default)]
struct Place<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
}

/// The size of something too large, and the limit.
#[derive(Serialize)]
struct Size {
    size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<usize>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Content<'a> {
    Text(&'a str),
    Base64(String),
}

/// A symbol for programs, a sentence for people.
#[derive(Serialize)]
struct Trouble<'a> {
    problem: &'a str,
    detail: &'a str,
}

/// The last answer of an endpoint.
#[derive(Serialize)]
struct Said {
    url: String,
    reason: String,
}

/// A member of a channel.
#[derive(Serialize)]
struct Present<'a> {
    channel: &'a str,
    user: &'a str,
    join: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<&'a str>,
}

impl<'a> From<&'a Message> for Content<'a> {
    fn from(message: &'a Message) -> Self {
        match message {
            Message::Text(text) => Self::Text(text.as_str()),
            Message::Binary(bytes) => Self::Base64(BASE64_STANDARD.encode(bytes)),
        }
    }
}

impl<'a> From<&'a Problem> for Trouble<'a> {
    fn from(Problem { name, detail }: &'a Problem) -> Self {
        Self { problem: name, detail }
    }
}

impl From<&Answer> for Said {
    fn from(Answer { address, reason, detail }: &Answer) -> Self {
        Self { url: address.to_string(), reason: cause(*reason, detail) }
    }
}

impl<'a> Present<'a> {
    fn new(channel: &'a Channel, Member { user, join, info }: &'a Member) -> Self {
        Self { channel: channel.as_str(), user, join, info: info.as_ref().map(Text::as_str) }
    }
}

/// The lines for an event; none if it is of no use to programs. They are created one at a time: an
/// event may have a million messages.
pub(crate) fn lines(at: Duration, event: &Event) -> impl Iterator<Item = Line> {
    receipts(event).filter_map(move |id| what(event, id)).map(move |what| line(at, what))
}

/// The receipts of an event, one for each line. Any other event has one line, and ignores the
/// number.
fn receipts(event: &Event) -> RangeInclusive<u64> {
    if let Event::Sent { first, last }
    | Event::Acknowledged { first, last }
    | Event::InDoubt { first, last, .. }
    | Event::Dropped { first, last, .. } = event
    {
        first.0..=last.0
    } else {
        0..=0
    }
}

fn line(at: Duration, what: What<'_>) -> Line {
    let told = Told { t: millis(at), what };
    // It has text and numbers only, which always fit JSON.
    Line::Out(serde_json::to_string(&told).unwrap_or_default())
}

/// The line for a line of stdin that is not sent.
pub(crate) fn refused(at: Duration, Refusal { line: number, why }: &Refusal) -> Line {
    let size = if let Unfit::Refused(SendErrorKind::TooLarge { size, limit, .. }) = *why {
        Some(Size { size, limit: Some(limit) })
    } else {
        None
    };
    line(at, What::Refused { line: *number, why: why.name(), detail: why.to_string(), size })
}

/// The line for a change under a profile's own names.
pub(crate) fn in_other_words(at: Duration, change: StateChange) -> Line {
    let StateChange { from, to, reason, .. } = change;
    line(at, What::ProfileState { from, to, reason })
}

/// The content of the line for an event; if it has several messages, for the one with this number.
fn what(event: &Event, id: u64) -> Option<What<'_>> {
    Some(match event {
        Event::State { from, to, reason } => {
            let (from, to) = (from.status(), to.status());
            if from == to {
                return None;
            }
            What::State { from: from.name(), to: to.name(), reason: symbol(*reason) }
        }
        Event::Dialing { attempt, address } => {
            What::Dial { attempt: *attempt, url: address.to_string() }
        }
        Event::Connected { is_reconnect } => What::Connected { is_reconnect: *is_reconnect },
        Event::Message(message) => {
            What::Message { place: Place::default(), content: message.into() }
        }
        Event::Publication { channel, position, message } => {
            let place = Place { channel: Some(channel.as_str()), offset: Some(position.offset) };
            What::Message { place, content: message.into() }
        }
        Event::Sent { .. } => What::Sent { id },
        Event::Acknowledged { .. } => What::Acknowledged { id },
        Event::InDoubt { .. } => What::InDoubt { id },
        Event::Dropped { why, .. } => {
            let size = match *why {
                DropReason::TooLarge { size, limit } => Some(Size { size, limit }),
                DropReason::Overflow | DropReason::Expired | DropReason::Closed | _ => None,
            };
            What::Dropped { id, why: *why, size }
        }
        Event::Rejected { receipt, problem, .. } => {
            What::Rejected { id: *receipt, problem: problem.into() }
        }
        Event::TooLarge { receipt, size } => What::TooLarge { id: *receipt, size: *size },
        Event::Withheld { channel, position, problem } => {
            let place = Place {
                channel: channel.as_ref().map(Channel::as_str),
                offset: Some(position.offset),
            };
            What::Withheld { place, problem: problem.into() }
        }
        Event::Resumed { complete } => What::Resumed { complete: *complete },
        Event::ResumeRefused { problem } => What::ResumeRefused { problem: problem.into() },
        Event::Subscribed { channel, complete } => {
            What::Subscribed { channel: channel.as_str(), complete: *complete }
        }
        Event::Unsubscribed { channel, problem, retry_in } => What::Unsubscribed {
            channel: channel.as_str(),
            problem: problem.into(),
            retry_in_ms: retry_in.map(millis),
        },
        Event::Presence { channel, change } => match change {
            PresenceEvent::Joined(member) => What::Joined(Present::new(channel, member)),
            PresenceEvent::Updated(member) => What::Updated(Present::new(channel, member)),
            PresenceEvent::Left(member) => What::Left(Present::new(channel, member)),
            PresenceEvent::StayBegan(member) => What::StayBegan(Present::new(channel, member)),
            PresenceEvent::StayEnded(member) => What::StayEnded(Present::new(channel, member)),
        },
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
        Event::GoingAway { retry_after } => {
            What::GoingAway { retry_after_ms: millis(*retry_after) }
        }
        Event::StatusChange(StatusChange::Stuck(true)) => What::Stuck,
        Event::Missed { count } => What::Missed { count: *count },
        Event::EndpointsFailed { answers } => {
            What::EndpointsFailed { answers: answers.iter().map(Said::from).collect() }
        }
        Event::Closed { reason } => What::Closed { reason: reason.name(), code: reason.code() },
        Event::StatusChange(_) | _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use relink::{Failure, Reason};

    use super::*;

    fn told(event: &Event) -> Vec<String> {
        let text = |line| {
            if let Line::Out(text) = line { text } else { panic!("{line:?} is not for stdout") }
        };
        lines(Duration::from_millis(1_234), event).map(text).collect()
    }

    #[test]
    fn what_nobody_read_in_time_is_counted() {
        let told = told(&Event::Missed { count: 7 });
        assert_eq!(told, [r#"{"t":1234,"event":"missed","count":7}"#]);
    }

    #[test]
    fn what_every_endpoint_said_is_one_line() {
        let answer = |address: &str, status, detail: &str| Answer {
            address: address.into(),
            reason: Reason::Failed(Failure::Http { status, retry_after: None }),
            detail: detail.to_owned(),
        };
        let answers = vec![
            answer("wss://ann:secret@a.example/?secret", 404, "the server answered 404 Not Found"),
            answer("wss://b.example/", 410, "the server answered 410 Gone"),
        ];
        let url = answers[0].address.to_string();
        assert!(!url.contains("secret"), "{url}");
        let told = told(&Event::EndpointsFailed { answers });
        let first = format!(r#"{{"url":"{url}","reason":"the server answered 404 Not Found"}}"#);
        let second = r#"{"url":"wss://b.example/","reason":"the server answered 410 Gone"}"#;
        assert_eq!(
            told,
            [format!(r#"{{"t":1234,"event":"endpoints_failed","answers":[{first},{second}]}}"#)]
        );
    }

    #[test]
    fn a_range_of_messages_is_told_one_by_one_and_never_held_as_a_whole() {
        // The full range of numbers: only requested lines are created.
        let (first, last) = (Receipt(1), Receipt(u64::MAX));
        let expired = DropReason::Expired;
        let ranges = [
            ("sent", Event::Sent { first, last }),
            ("acknowledged", Event::Acknowledged { first, last }),
            ("in_doubt", Event::InDoubt { first, last, messages: Vec::new() }),
            ("dropped", Event::Dropped { first, last, why: expired, messages: Vec::new() }),
        ];
        for (name, range) in ranges {
            let some: Vec<_> = lines(Duration::ZERO, &range).take(3).collect();
            for (line, id) in some.iter().zip(1..) {
                let Line::Out(line) = line else { panic!("{line:?}") };
                assert!(
                    line.starts_with(&format!(r#"{{"t":0,"event":"{name}","id":{id}"#)),
                    "{line}"
                );
            }
            assert_eq!(some.len(), 3, "{name}");
        }
    }

    #[test]
    fn a_message_that_is_too_large_is_told_with_its_size_and_the_limit() {
        let dropped = |limit| Event::Dropped {
            first: Receipt(3),
            last: Receipt(3),
            why: DropReason::TooLarge { size: 20, limit },
            messages: Vec::new(),
        };
        let start = r#"{"t":1234,"event":"dropped","id":3,"why":"too_large","size":20"#;
        assert_eq!(told(&dropped(Some(10))), [format!(r#"{start},"limit":10}}"#)]);
        assert_eq!(told(&dropped(None)), [format!("{start}}}")]);
    }
}
