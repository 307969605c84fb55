//! One step of a connection: its form in TOML and what it may ask for.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use tokio_tungstenite::tungstenite::{Message, http::HeaderValue};

use crate::{
    reading::{self, from_tables, time},
    script::Refusal,
};

/// The longest message a script may send, and the server takes.
pub(crate) const MESSAGE_MAX: usize = 1024 * 1024;

/// RFC 6455: a control frame carries 125 bytes, two of them are the code.
pub(crate) const REASON_MAX: usize = 123;
/// Which HTTP statuses may refuse a handshake.
pub(crate) const STATUSES: &str = "200 to 599";
/// Which codes a close frame may carry: all that are a code of some kind, but for those that stand
/// for a frame without one, or for no frame at all.
pub(crate) const CODES: &str =
    "1000 to 4999, but for 1005, 1006 and 1015, which never go over the wire";
const HEADER_MAX: usize = 1024;
const TIME_MIN: Duration = Duration::from_millis(1);
const TIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Described, one by one, at [`Script`](crate::Script). Variants without fields have braces because
/// serde lets unknown fields pass for unit variants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields, remote = "Self")]
pub(crate) enum Step {
    Accept {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subprotocol: Option<String>,
    },
    Refuse(Refusal),
    Garbage {},
    Blackhole {},
    Send(Payload),
    Expect(Payload),
    EchoUntil(Payload),
    Echo {
        #[serde(
            rename = "for",
            default,
            with = "time::optional",
            skip_serializing_if = "Option::is_none"
        )]
        time: Option<Duration>,
    },
    Wait {
        #[serde(rename = "for", with = "time")]
        time: Duration,
    },
    Ping {},
    Silent {
        #[serde(
            rename = "for",
            default,
            with = "time::optional",
            skip_serializing_if = "Option::is_none"
        )]
        time: Option<Duration>,
    },
    Close {
        #[serde(deserialize_with = "reading::code")]
        code: u16,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
    CloseNoCode {},
    Drop {},
    Reset {},
}

from_tables!(Step);

/// What happens instead of, or as, the handshake.
pub(crate) enum Opening<'a> {
    Blackhole,
    Drop,
    Reset,
    Answer(Answer<'a>),
}

/// The answer to a client's request.
pub(crate) enum Answer<'a> {
    Accept { subprotocol: Option<&'a str> },
    Refuse(&'a Refusal),
    Garbage,
}

/// What is wrong with a step.
pub(crate) struct Problem {
    pub(crate) field: &'static str,
    pub(crate) value: String,
    pub(crate) allowed: String,
}

impl Step {
    /// Its name in TOML.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Accept { .. } => "accept",
            Self::Refuse(_) => "refuse",
            Self::Garbage {} => "garbage",
            Self::Blackhole {} => "blackhole",
            Self::Send(_) => "send",
            Self::Expect(_) => "expect",
            Self::EchoUntil(_) => "echo-until",
            Self::Echo { .. } => "echo",
            Self::Wait { .. } => "wait",
            Self::Ping {} => "ping",
            Self::Silent { .. } => "silent",
            Self::Close { .. } => "close",
            Self::CloseNoCode {} => "close-no-code",
            Self::Drop {} => "drop",
            Self::Reset {} => "reset",
        }
    }

    /// What it means as the first step, if it stands in the place of the handshake there.
    pub(crate) fn opening(&self) -> Option<Opening<'_>> {
        match self {
            Self::Accept { subprotocol } => {
                Some(Opening::Answer(Answer::Accept { subprotocol: subprotocol.as_deref() }))
            }
            Self::Refuse(refusal) => Some(Opening::Answer(Answer::Refuse(refusal))),
            Self::Garbage {} => Some(Opening::Answer(Answer::Garbage)),
            Self::Blackhole {} => Some(Opening::Blackhole),
            Self::Drop {} => Some(Opening::Drop),
            Self::Reset {} => Some(Opening::Reset),
            Self::Send(_)
            | Self::Expect(_)
            | Self::EchoUntil(_)
            | Self::Echo { .. }
            | Self::Wait { .. }
            | Self::Ping {}
            | Self::Silent { .. }
            | Self::Close { .. }
            | Self::CloseNoCode {} => None,
        }
    }

    /// Does it make sense as the first step only?
    fn must_open(&self) -> bool {
        matches!(
            self,
            Self::Accept { .. } | Self::Refuse(_) | Self::Garbage {} | Self::Blackhole {}
        )
    }

    /// Is there nothing left to do after it?
    fn is_last(&self) -> bool {
        match self {
            Self::Refuse(_)
            | Self::Garbage {}
            | Self::Blackhole {}
            | Self::Echo { time: None }
            | Self::Silent { time: None }
            | Self::Close { .. }
            | Self::CloseNoCode {}
            | Self::Drop {}
            | Self::Reset {} => true,
            Self::Accept { .. }
            | Self::Send(_)
            | Self::Expect(_)
            | Self::EchoUntil(_)
            | Self::Echo { time: Some(_) }
            | Self::Wait { .. }
            | Self::Ping {}
            | Self::Silent { time: Some(_) } => false,
        }
    }

    /// Is it allowed after that one, with these values?
    pub(crate) fn check(&self, before: Option<&Self>) -> Result<(), Problem> {
        if let Some(before) = before.filter(|before| before.is_last()) {
            return Err(problem(
                "do",
                self.name(),
                format!("nothing after `{}`, which never gets to it", before.name()),
            ));
        }
        if before.is_some() && self.must_open() {
            return Err(problem("do", self.name(), "this only as the first step"));
        }
        match self {
            Self::Accept { subprotocol: Some(name) } => check_subprotocol(name),
            Self::Refuse(refusal) => check_refusal(refusal),
            Self::Send(payload) | Self::Expect(payload) | Self::EchoUntil(payload) => {
                payload.check()
            }
            Self::Wait { time }
            | Self::Echo { time: Some(time) }
            | Self::Silent { time: Some(time) } => check_time(*time),
            Self::Close { code, reason } => check_close(*code, reason),
            Self::Accept { subprotocol: None }
            | Self::Garbage {}
            | Self::Blackhole {}
            | Self::Echo { time: None }
            | Self::Ping {}
            | Self::Silent { time: None }
            | Self::CloseNoCode {}
            | Self::Drop {}
            | Self::Reset {} => Ok(()),
        }
    }
}

fn check_subprotocol(name: &str) -> Result<(), Problem> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.len() <= HEADER_MAX && name.bytes().all(is_token) {
        return Ok(());
    }
    Err(problem(
        "subprotocol",
        quoted(name),
        format!("letters, digits and !#$%&'*+-.^_`|~, at most {HEADER_MAX}, or \"\""),
    ))
}

fn check_refusal(refusal: &Refusal) -> Result<(), Problem> {
    if !(200..=599).contains(&refusal.status) {
        return Err(problem("status", refusal.status.to_string(), STATUSES));
    }
    for (field, value) in [("retry_after", &refusal.retry_after), ("location", &refusal.location)] {
        let Some(value) = value else { continue };
        if value.is_empty()
            || value.len() > HEADER_MAX
            || !value.is_ascii()
            || HeaderValue::from_str(value).is_err()
        {
            return Err(problem(
                field,
                quoted(value),
                format!("1 to {HEADER_MAX} printable ASCII characters"),
            ));
        }
    }
    Ok(())
}

fn check_time(time: Duration) -> Result<(), Problem> {
    if (TIME_MIN..=TIME_MAX).contains(&time) {
        return Ok(());
    }
    Err(problem("for", humantime::format_duration(time).to_string(), "1ms to 24h"))
}

fn check_close(code: u16, reason: &str) -> Result<(), Problem> {
    if !(1000..=4999).contains(&code) || matches!(code, 1005 | 1006 | 1015) {
        return Err(problem("code", code.to_string(), CODES));
    }
    if reason.len() > REASON_MAX {
        return Err(problem(
            "reason",
            format!("{} bytes long", reason.len()),
            format!("at most {REASON_MAX} bytes"),
        ));
    }
    Ok(())
}

fn problem(field: &'static str, value: impl Into<String>, allowed: impl Into<String>) -> Problem {
    Problem { field, value: value.into(), allowed: allowed.into() }
}

/// The value as one would write it, its beginning if it is long.
pub(crate) fn quoted(value: &str) -> String {
    const SHOWN: usize = 80;
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &value[..end]),
        None => format!("{value:?}"),
    }
}

/// The content of a message: `text = "…"` or `base64 = "…"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub(crate) enum Payload {
    Text(String),
    Binary(Vec<u8>),
}

impl Payload {
    pub(crate) fn message(&self) -> Message {
        match self {
            Self::Text(text) => Message::text(text.as_str()),
            Self::Binary(bytes) => Message::binary(bytes.clone()),
        }
    }

    fn check(&self) -> Result<(), Problem> {
        let (field, length) = match self {
            Self::Text(text) => ("text", text.len()),
            Self::Binary(bytes) => ("base64", bytes.len()),
        };
        if length <= MESSAGE_MAX {
            return Ok(());
        }
        Err(problem(field, format!("{length} bytes long"), format!("at most {MESSAGE_MAX} bytes")))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

impl TryFrom<Written> for Payload {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match (written.text, written.base64) {
            (Some(text), None) => Ok(Self::Text(text)),
            (None, Some(base64)) => match BASE64_STANDARD.decode(&base64) {
                Ok(bytes) => Ok(Self::Binary(bytes)),
                Err(error) => Err(format!(
                    "`base64` is {}, which is not standard base64: {error}",
                    quoted(&base64)
                )),
            },
            (Some(_), Some(_)) => Err("a message has `text` or `base64`, not both".to_owned()),
            (None, None) => Err("a message needs `text` or `base64`".to_owned()),
        }
    }
}

impl From<Payload> for Written {
    fn from(payload: Payload) -> Self {
        match payload {
            Payload::Text(text) => Self { text: Some(text), base64: None },
            Payload::Binary(bytes) => {
                Self { text: None, base64: Some(BASE64_STANDARD.encode(bytes)) }
            }
        }
    }
}
