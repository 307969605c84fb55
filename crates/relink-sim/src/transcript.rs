//! The transcript, one line each: the actions of the link, and the events of the application.

use std::fmt;

use relink::session::Frame;
use relink::time::HumanDuration;
use relink::{CloseFrame, Event, Instant, Message};

/// The number of last lines shown for a failed scenario, unless the format's precision gives
/// another.
const MOST_SHOWN: usize = 60;

/// The lines of a scenario, and how many of them it has spoken of.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    lines: Vec<(Instant, String)>,
    expected: usize,
}

impl Transcript {
    pub(crate) fn note(&mut self, now: Instant, line: impl Into<String>) {
        self.lines.push((now, line.into()));
    }

    /// The lines that were not spoken of yet; from now on they were.
    pub(crate) fn take(&mut self) -> Vec<&str> {
        let from = std::mem::replace(&mut self.expected, self.lines.len());
        self.lines[from..].iter().map(|(_, line)| line.as_str()).collect()
    }
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = self.lines.len().saturating_sub(f.precision().unwrap_or(MOST_SHOWN));
        if before > 0 {
            writeln!(f, "… {before} lines before these")?;
        }
        self.lines[before..].iter().try_for_each(|(at, line)| {
            writeln!(f, "{:>10.3} s  {line}", at.since_origin().as_secs_f64())
        })
    }
}

/// A frame that the link sent.
pub(crate) fn frame(frame: &Frame) -> String {
    match frame {
        Frame::Message(message) => self::message(message),
        Frame::Ping(_) => "ping".into(),
        Frame::Pong(_) => "pong".into(),
        Frame::Close(close) => format!("close {}", self::close(close)),
    }
}

/// The content of a close frame.
pub(crate) fn close(close: &CloseFrame) -> String {
    format!("{} {}", close.code, close.reason).trim_end().into()
}

/// An event, unless another line has it already; states and notices are left to
/// [`take_events`](super::Sim::take_events).
pub(crate) fn event(event: &Event) -> Option<String> {
    Some(match event {
        Event::Connected { is_reconnect } => {
            if *is_reconnect { "connected again" } else { "connected" }.into()
        }
        Event::Message(message) => format!("received {}", self::message(message)),
        Event::Sent { first, last } if first == last => format!("sent {first}"),
        Event::Sent { first, last } => format!("sent {first} to {last}"),
        Event::Dropped { first, last, why, .. } if first == last => {
            format!("dropped {first}: {}", why.name())
        }
        Event::Dropped { first, last, why, .. } => {
            format!("dropped {first} to {last}: {}", why.name())
        }
        Event::Disconnected { code, reason, retry_in, .. } => {
            format!("lost ({code}): {reason}{}", retry(*retry_in))
        }
        Event::AttemptFailed { attempt, reason, retry_in, .. } => {
            format!("attempt {attempt} failed: {reason}{}", retry(*retry_in))
        }
        Event::TokenError { consecutive_failures, .. } => {
            format!("token error {consecutive_failures}")
        }
        Event::GoingAway { retry_after } => {
            format!("going away, back in {}", HumanDuration(*retry_after))
        }
        Event::EndpointsFailed { answers } => {
            let answers: Vec<_> = answers.iter().map(ToString::to_string).collect();
            format!("every endpoint refuses: {}", answers.join("; "))
        }
        Event::Closed { reason } => format!("closed: {reason}"),
        Event::State { .. } | Event::Dialing { .. } | Event::StatusChange(_) => return None,
        Event::Publication { channel, position, message } => {
            format!("received {} on {channel} at {}", self::message(message), position.offset)
        }
        Event::Acknowledged { first, last } if first == last => format!("acknowledged {first}"),
        Event::Acknowledged { first, last } => format!("acknowledged {first} to {last}"),
        Event::Rejected { receipt, problem, .. } => format!("rejected {receipt}: {}", problem.name),
        Event::TooLarge { receipt, size } => format!("too large {receipt}: {size} bytes"),
        Event::Withheld { channel, position, problem } => {
            let place = channel.as_ref().map_or_else(|| "the session".into(), ToString::to_string);
            format!("withheld on {place} at {}: {}", position.offset, problem.name)
        }
        Event::InDoubt { first, last, .. } if first == last => format!("in doubt {first}"),
        Event::InDoubt { first, last, .. } => format!("in doubt {first} to {last}"),
        Event::Resumed { complete } => format!("resumed{}", gap(*complete)),
        Event::ResumeRefused { problem } => format!("resume refused: {}", problem.name),
        Event::Subscribed { channel, complete } => {
            format!("subscribed to {channel}{}", gap(*complete))
        }
        Event::Unsubscribed { channel, problem, retry_in } => {
            format!("not subscribed to {channel}: {}{}", problem.name, retry(*retry_in))
        }
        Event::Presence { channel, change } => format!("presence on {channel}: {change:?}"),
        Event::Missed { count } => format!("{count} events missed"),
        other => format!("{other:?}"),
    })
}

fn message(message: &Message) -> String {
    match message {
        Message::Text(text) => format!("text {:?}", text.as_str()),
        Message::Binary(bytes) => format!("{} bytes", bytes.len()),
    }
}

fn gap(complete: bool) -> &'static str {
    if complete { "" } else { " with a gap" }
}

fn retry(retry_in: Option<std::time::Duration>) -> String {
    retry_in.map_or_else(String::new, |delay| format!("; next attempt in {}", HumanDuration(delay)))
}
