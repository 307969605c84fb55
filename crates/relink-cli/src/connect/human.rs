//! Status for people: what happened, and what relink does next. Messages are written to stdout,
//! status to stderr.

use std::fmt::Display;
use std::io::{self, IsTerminal};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use relink::link::StatusChange;
use relink::session::{Answer, DropReason, PresenceEvent, Problem};
use relink::{Channel, ClosedReason, Event, Message, Reason};

use crate::output::Line;
use crate::style::{BAD, GOOD, WAIT, paint};
use crate::text::{cause, printable, soon, span};

/// Remembers what was printed, to print it only once.
#[derive(Debug)]
pub(crate) struct Human {
    /// Whether stdout is a terminal; then control characters are removed.
    is_read: bool,
    /// Whether stdin is a terminal.
    is_typed: bool,
    dialed: bool,
    /// The number of undelivered messages at the end.
    undelivered: u64,
    loudness: Loudness,
}

/// How much is said on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Loudness {
    /// What is lost, and an end that nobody asked for.
    Quiet,
    #[default]
    Usual,
    /// Each dial and each state as well.
    Verbose,
}

impl Human {
    pub(crate) fn new(loudness: Loudness) -> Self {
        let (is_read, is_typed) = (io::stdout().is_terminal(), io::stdin().is_terminal());
        Self { is_read, is_typed, dialed: false, undelivered: 0, loudness }
    }

    /// The lines for an event, as loud as it was asked for.
    pub(crate) fn tell(&mut self, event: &Event) -> Vec<Line> {
        let mut lines = self.lines(event);
        match self.loudness {
            Loudness::Usual => {}
            Loudness::Quiet => {
                let is_bad = self.undelivered > 0 || is_loss(event);
                lines.retain(|line| is_bad || matches!(line, Line::Out(_)));
            }
            Loudness::Verbose => lines.extend(more_of(event)),
        }
        lines
    }

    /// The lines for an event; none if it is of no interest to people.
    fn lines(&mut self, event: &Event) -> Vec<Line> {
        match event {
            Event::Dialing { address, .. } if !std::mem::replace(&mut self.dialed, true) => {
                vec![Line::note(format!("connecting to {address}"))]
            }
            Event::Connected { is_reconnect: false } if self.is_typed => {
                vec![good("connected; each line you type is a message, Ctrl-D ends")]
            }
            Event::Connected { is_reconnect: false } => vec![good("connected")],
            Event::Connected { is_reconnect: true } => vec![good("connected again")],
            Event::Message(message) => self.message("", message),
            Event::Publication { channel, message, .. } => {
                self.message(&format!("{channel}: "), message)
            }
            Event::Rejected { receipt, problem, .. } => {
                vec![bad(format!("message {receipt} was refused: {}", said(problem)))]
            }
            Event::InDoubt { first, last, .. } if first == last => {
                vec![wait(format!(
                    "message {first} may or may not have arrived; it is not sent again"
                ))]
            }
            Event::InDoubt { first, last, .. } => {
                let what = format!("messages {first} to {last} may or may not have arrived");
                vec![wait(format!("{what}; they are not sent again"))]
            }
            Event::Resumed { complete: true } => {
                vec![Line::note("the session goes on, and nothing is lost")]
            }
            Event::Resumed { complete: false } => {
                vec![wait(
                    "the session goes on, but messages to it are lost: the server keeps them no longer",
                )]
            }
            Event::ResumeRefused { problem } => {
                vec![wait(format!(
                    "the session does not go on, a new one begins: {}",
                    said(problem)
                ))]
            }
            Event::Subscribed { channel, complete: true } => {
                vec![Line::note(format!("subscribed to {}", printable(channel.as_str())))]
            }
            Event::Subscribed { channel, complete: false } => vec![wait(format!(
                "subscribed to {}, but messages are lost: the server keeps them no longer",
                printable(channel.as_str())
            ))],
            Event::Unsubscribed { channel, problem, retry_in } => {
                let next = retry_in
                    .map(|wait| format!("; trying again {}", soon(wait)))
                    .unwrap_or_default();
                vec![wait(format!(
                    "not subscribed to {}: {}{next}",
                    printable(channel.as_str()),
                    said(problem)
                ))]
            }
            Event::Presence { channel, change } => presence(channel, change).into_iter().collect(),
            Event::Dropped { first, last, why: DropReason::Closed, .. } => {
                self.undelivered += last.0 - first.0 + 1;
                Vec::new()
            }
            Event::Dropped { first, last, why, .. } => {
                let (which, they) = if first == last {
                    (format!("message {first} was dropped"), "it")
                } else {
                    (format!("messages {first} to {last} were dropped"), "they")
                };
                vec![wait(match why {
                    DropReason::Expired => format!("{which}: {they} waited too long"),
                    DropReason::TooLarge { size, limit: Some(limit) } => {
                        format!(
                            "{which}: {size} bytes as it is written, and the server takes at most {limit}"
                        )
                    }
                    DropReason::TooLarge { size, limit: None } => {
                        format!("{which}: {size} bytes as it is written, too large for the server")
                    }
                    DropReason::Overflow | DropReason::Closed | _ => {
                        format!("{which}: the queue is full")
                    }
                })]
            }
            Event::TooLarge { receipt, size } => vec![wait(format!(
                "the server took a message for too large; the largest was {receipt}, with {size} bytes"
            ))],
            Event::Withheld { channel, problem, .. } => {
                let place =
                    channel.as_ref().map(|channel| format!(" on {}", printable(channel.as_str())));
                let place = place.unwrap_or_default();
                vec![wait(format!("a message{place} was left out: {}", said(problem)))]
            }
            Event::Disconnected { code, detail, reason, retry_in } => {
                let what = match (reason, detail.as_str()) {
                    (Reason::ClosedByPeer(_), "") => {
                        format!("the server closed the connection ({code})")
                    }
                    (Reason::ClosedByPeer(_), words) => {
                        format!("the server closed the connection ({code}: {})", printable(words))
                    }
                    _ => format!("the connection was lost: {}", printable(&cause(*reason, detail))),
                };
                let next = retry_in.map(|wait| format!("; connecting again {}", soon(wait)));
                vec![wait(what + &next.unwrap_or_default())]
            }
            Event::AttemptFailed { attempt, reason, detail, retry_in } => {
                let cause = cause(*reason, detail);
                let next = retry_in.map(|wait| format!("; trying again {}", soon(wait)));
                vec![wait(format!(
                    "attempt {attempt} failed: {}{}",
                    printable(&cause),
                    next.unwrap_or_default()
                ))]
            }
            Event::TokenError { consecutive_failures, .. } => vec![wait(format!(
                "{consecutive_failures} tokens in a row could not be fetched, or were refused; still trying"
            ))],
            Event::GoingAway { retry_after } => {
                vec![Line::note(format!(
                    "the server asks to be left alone for {}",
                    span(*retry_after)
                ))]
            }
            Event::StatusChange(StatusChange::Stuck(true)) => {
                vec![wait("this takes long; still trying, until Ctrl-C")]
            }
            Event::Missed { count } => {
                vec![wait(format!("{count} events are missing here: they were not read in time"))]
            }
            Event::EndpointsFailed { answers } => answers.iter().map(answer).collect(),
            Event::Closed { reason } => self.end(*reason),
            Event::State { .. }
            | Event::Dialing { .. }
            | Event::Sent { .. }
            | Event::Acknowledged { .. }
            | Event::StatusChange(_)
            | _ => Vec::new(),
        }
    }

    /// The message unchanged; on a terminal, after its channel if it has one.
    fn message(&self, channel: &str, message: &Message) -> Vec<Line> {
        match message {
            Message::Text(text) if self.is_read => {
                vec![Line::Out(printable(&format!("{channel}{}", text.as_str())).into_owned())]
            }
            Message::Text(text) => vec![Line::Out(text.as_str().to_owned())],
            Message::Binary(bytes) => vec![
                Line::note(format!("a binary message of {} bytes follows, as base64", bytes.len())),
                Line::Out(BASE64_STANDARD.encode(bytes)),
            ],
        }
    }

    fn end(&self, reason: ClosedReason) -> Vec<Line> {
        let mut lines = Vec::new();
        match self.undelivered {
            0 => {}
            1 => lines.push(wait("1 message was not sent any more")),
            many => lines.push(wait(format!("{many} messages were not sent any more"))),
        }
        lines.push(match reason {
            ClosedReason::Requested => Line::note("closed"),
            ClosedReason::GaveUp(_) => bad(format!("gave up, {reason}: {}", reason.advice())),
            ClosedReason::Stopped { .. } | ClosedReason::DriverGone => {
                bad(format!("ended for good, {reason}: {}", reason.advice()))
            }
        });
        lines
    }
}

/// Whether messages are lost, or the link, though nobody asked for it.
const fn is_loss(event: &Event) -> bool {
    matches!(
        event,
        Event::Rejected { .. }
            | Event::InDoubt { .. }
            | Event::Resumed { complete: false }
            | Event::Subscribed { complete: false, .. }
            | Event::Dropped { .. }
            | Event::Withheld { .. }
            | Event::Missed { .. }
            | Event::EndpointsFailed { .. }
            | Event::Closed { reason: ClosedReason::GaveUp(_) }
            | Event::Closed { reason: ClosedReason::Stopped { .. } | ClosedReason::DriverGone }
    )
}

/// What is said only to those who want to know more.
fn more_of(event: &Event) -> Option<Line> {
    if let Event::Dialing { attempt, address } = event {
        return Some(Line::note(format!("attempt {attempt}: dialing {address}")));
    }
    if let Event::State { from, to, .. } = event {
        let (from, to) = (from.status().name(), to.status().name());
        return (from != to).then(|| Line::note(format!("state: {from}, then {to}")));
    }
    None
}

/// A problem in the server's wording.
fn said(problem: &Problem) -> String {
    printable(&problem.to_string()).into_owned()
}

/// The last answer of an endpoint.
fn answer(Answer { address, reason, detail }: &Answer) -> Line {
    bad(format!("{address} refuses for good: {}", printable(&cause(*reason, detail))))
}

/// People want to know who is there, not how often.
fn presence(channel: &Channel, change: &PresenceEvent) -> Option<Line> {
    let (member, what, info) = match change {
        PresenceEvent::Joined(member) => (member, "is in", &member.info),
        PresenceEvent::Updated(member) => (member, "is still in", &member.info),
        PresenceEvent::Left(member) => (member, "left", &None),
        PresenceEvent::StayBegan(_) | PresenceEvent::StayEnded(_) => return None,
    };
    let words = match info {
        Some(info) => format!(": {}", info.as_str()),
        None => String::new(),
    };
    Some(Line::note(printable(&format!("{} {what} {channel}{words}", member.user)).into_owned()))
}

/// Said every time that certificates are not checked.
pub(crate) fn insecure() -> Line {
    bad(
        "--insecure: no certificate is checked, so anybody on the way can read and change all that is sent",
    )
}

fn good(text: &str) -> Line {
    Line::note(paint(GOOD, text))
}

fn wait(text: impl Display) -> Line {
    Line::note(paint(WAIT, text))
}

fn bad(text: impl Display) -> Line {
    Line::note(paint(BAD, text))
}

#[cfg(test)]
mod tests {
    use relink::Failure;

    use super::*;

    #[test]
    fn what_every_endpoint_said_is_a_line_for_each() {
        let answer = |address: &str, detail: &str| Answer {
            address: address.into(),
            reason: Reason::Failed(Failure::Http { status: 404, retry_after: None }),
            detail: detail.to_owned(),
        };
        let answers = vec![
            answer("wss://a.example/?secret", "not\x1b[2J here"),
            answer("wss://b.example/", ""),
        ];
        let lines = Human::new(Loudness::Usual).lines(&Event::EndpointsFailed { answers });
        let expected = [
            "wss://a.example/?… refuses for good: not\\u{1b}[2J here",
            "wss://b.example/ refuses for good: the server answered the handshake with an HTTP error (404)",
        ];
        assert_eq!(lines, expected.map(bad));
    }
}
