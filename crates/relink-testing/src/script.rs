//! What the server does with each connection, in order of arrival: built in code or read from TOML.

use std::{fmt::Display, time::Duration};

use serde::{Deserialize, Serialize};

use crate::reading::{self, from_tables};
use crate::step::{Answer, Opening, Payload, Problem, Step};

/// What happens to each connection, in order of arrival.
///
/// The first connection gets the first entry, and so on; [`AfterLast`] defines what comes after the
/// last one. A script without entries echoes. One [`Connection`] converts into a script that
/// repeats it.
///
/// # As TOML
///
/// `then` is one of `"repeat-last"` (default), `"repeat"`, `"echo"`, `"refuse"`. `deflate = true`
/// compresses messages with clients that offer it (permessage-deflate). Each
/// `[[connection]]` has `steps`, and each step has an action, `do`. Durations are strings such as
/// `"500ms"` or `"1m 30s"`, from 1 ms to 24 h.
///
/// | `do` | fields | what happens |
/// |------|--------|--------------|
/// | `accept` | `subprotocol` | The handshake succeeds. Implied if the list does not begin with a step that replaces it. The subprotocol is sent whether the client offered it or not; left out: the first one offered; `""`: none. |
/// | `refuse` | `status`, `retry_after`, `location` | Instead of `accept`: this HTTP status (200 to 599), with these headers. |
/// | `garbage` | | Instead of `accept`: bytes that are not HTTP. |
/// | `blackhole` | | Instead of `accept`: nothing is read, nothing answered, the socket stays open. |
/// | `send` | `text` or `base64` | Sends a message. |
/// | `expect` | `text` or `base64` | Waits for exactly this message; others are only logged. |
/// | `echo` | `for` | Sends every message back; without `for` until the peer leaves. |
/// | `wait` | `for` | Reads, answers pings, sends nothing. |
/// | `ping` | | Sends a ping. |
/// | `silent` | `for` | Reads nothing, answers nothing, not even pings; without `for` until the peer leaves. |
/// | `close` | `code`, `reason` | Sends a close frame, waits up to 1 s for the answer, ends the socket. Any code from 1000 to 4999 but 1005, 1006 and 1015, even one that has no meaning. |
/// | `close-no-code` | | The same with an empty close frame. |
/// | `drop` | | Ends the socket (FIN) without a close frame. As the very first step: before the handshake. |
/// | `reset` | | Resets the socket (RST). As the very first step: before the handshake. |
///
/// After the last step, if the connection is still up, messages are echoed until the peer leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct Script {
    #[serde(default)]
    then: AfterLast,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    deflate: bool,
    #[serde(default, rename = "connection", skip_serializing_if = "Vec::is_empty")]
    connections: Vec<Connection>,
}

from_tables!(Script);

/// What happens to connections beyond the end of the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AfterLast {
    /// The last entry again, each time. The default: a script of one entry is a server that always
    /// does that.
    #[default]
    RepeatLast,
    /// The whole list again, from its start.
    Repeat,
    /// They are accepted and echoed.
    Echo,
    /// They are refused with HTTP status 503.
    Refuse,
}

impl Script {
    /// No entries yet: such a script accepts and echoes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Every connection is accepted, every message sent back.
    #[must_use]
    pub fn echo() -> Self {
        Self::new()
    }

    /// Every connection is accepted and closed at once with this code and reason.
    #[must_use]
    pub fn close_with(code: u16, reason: impl Into<String>) -> Self {
        Connection::new().close(code, reason).into()
    }

    /// Every connection is refused during the handshake: with a plain status (`503`), or a
    /// [`Refusal`] with headers.
    #[must_use]
    pub fn refuse(refusal: impl Into<Refusal>) -> Self {
        Connection::refuse(refusal).into()
    }

    /// Every connection finds an open socket and never an answer.
    #[must_use]
    pub fn blackhole() -> Self {
        Connection::blackhole().into()
    }

    /// Adds what happens to the next connection.
    #[must_use]
    pub fn connection(mut self, connection: Connection) -> Self {
        self.connections.push(connection);
        self
    }

    /// Sets what happens to connections beyond the list; default [`AfterLast::RepeatLast`].
    #[must_use]
    pub fn then(mut self, then: AfterLast) -> Self {
        self.then = then;
        self
    }

    /// Sets whether messages are compressed with clients that offer it (permessage-deflate, RFC
    /// 7692); `false` by default.
    #[must_use]
    pub fn deflate(mut self, deflate: bool) -> Self {
        self.deflate = deflate;
        self
    }

    pub(crate) fn has_deflate(&self) -> bool {
        self.deflate
    }

    /// Reads and checks a script.
    ///
    /// # Errors
    ///
    /// [`ScriptError::Toml`] with line and column if this is not a script, [`ScriptError::Value`]
    /// if a step asks for something that is not allowed.
    pub fn from_toml(text: &str) -> Result<Self, ScriptError> {
        let script = reading::script(text).map_err(|message| ScriptError::Toml { message })?;
        script.validate()?;
        Ok(script)
    }

    /// Checks every step. A server does this before it starts.
    ///
    /// # Errors
    ///
    /// [`ScriptError::Value`] for the first step that asks for something that is not allowed.
    pub fn validate(&self) -> Result<(), ScriptError> {
        let mut connections = self.connections.iter().zip(1..);
        connections.try_for_each(|(connection, number)| connection.validate(number))
    }

    /// The entry for the connection that arrives after `served` others.
    pub(crate) fn entry(&self, served: usize) -> Connection {
        let count = self.connections.len();
        let listed = |index: usize| self.connections.get(index).cloned().unwrap_or_default();
        if served < count {
            return listed(served);
        }
        match self.then {
            AfterLast::RepeatLast => listed(count.saturating_sub(1)),
            AfterLast::Repeat => listed(served.checked_rem(count).unwrap_or(0)),
            AfterLast::Echo => Connection::new(),
            AfterLast::Refuse => Connection::refuse(503),
        }
    }
}

impl From<Connection> for Script {
    fn from(connection: Connection) -> Self {
        Self::new().connection(connection)
    }
}

/// What happens to one connection, step by step; see [`Script`] for what each step does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct Connection {
    #[serde(default)]
    steps: Vec<Step>,
}

from_tables!(Connection);

/// How it begins.
impl Connection {
    /// The handshake succeeds; the first subprotocol the client offers is agreed to.
    #[must_use]
    pub fn new() -> Self {
        Self::beginning(Step::Accept { subprotocol: None })
    }

    /// The handshake succeeds and names this subprotocol, whether it was offered or not; an empty
    /// one: none at all.
    #[must_use]
    pub fn with_subprotocol(subprotocol: impl Into<String>) -> Self {
        Self::beginning(Step::Accept { subprotocol: Some(subprotocol.into()) })
    }

    /// The handshake is refused: with a plain status (`503`), or a [`Refusal`] with headers.
    #[must_use]
    pub fn refuse(refusal: impl Into<Refusal>) -> Self {
        Self::beginning(Step::Refuse(refusal.into()))
    }

    /// The handshake is answered with bytes that are not HTTP.
    #[must_use]
    pub fn garbage() -> Self {
        Self::beginning(Step::Garbage {})
    }

    /// The socket opens and nothing is ever read or answered.
    #[must_use]
    pub fn blackhole() -> Self {
        Self::beginning(Step::Blackhole {})
    }

    /// The socket is reset (RST) before the handshake.
    #[must_use]
    pub fn reset_at_once() -> Self {
        Self::beginning(Step::Reset {})
    }

    /// The socket is ended (FIN) before the handshake.
    #[must_use]
    pub fn drop_at_once() -> Self {
        Self::beginning(Step::Drop {})
    }

    fn beginning(step: Step) -> Self {
        Self { steps: vec![step] }
    }
}

/// Further steps.
impl Connection {
    /// Sends a text message.
    #[must_use]
    pub fn send_text(self, text: impl Into<String>) -> Self {
        self.step(Step::Send(Payload::Text(text.into())))
    }

    /// Sends a binary message.
    #[must_use]
    pub fn send_binary(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.step(Step::Send(Payload::Binary(bytes.into())))
    }

    /// Waits for exactly this text message; others are only logged.
    #[must_use]
    pub fn expect_text(self, text: impl Into<String>) -> Self {
        self.step(Step::Expect(Payload::Text(text.into())))
    }

    /// Waits for exactly this binary message; others are only logged.
    #[must_use]
    pub fn expect_binary(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.step(Step::Expect(Payload::Binary(bytes.into())))
    }

    /// Sends every message back until exactly this text message comes, which is only logged.
    #[must_use]
    pub fn echo_until_text(self, text: impl Into<String>) -> Self {
        self.step(Step::EchoUntil(Payload::Text(text.into())))
    }

    /// Sends every message back until exactly this binary message comes, which is only logged.
    #[must_use]
    pub fn echo_until_binary(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.step(Step::EchoUntil(Payload::Binary(bytes.into())))
    }

    /// Sends every message back for this long. (Without a limit: the steps end, and echoing is what
    /// follows.)
    #[must_use]
    pub fn echo_for(self, time: Duration) -> Self {
        self.step(Step::Echo { time: Some(time) })
    }

    /// Reads and answers pings for this long, and sends nothing.
    #[must_use]
    pub fn wait(self, time: Duration) -> Self {
        self.step(Step::Wait { time })
    }

    /// Sends a ping.
    #[must_use]
    pub fn ping(self) -> Self {
        self.step(Step::Ping {})
    }

    /// Reads nothing and answers nothing for this long; then takes up what has piled up.
    #[must_use]
    pub fn silent_for(self, time: Duration) -> Self {
        self.step(Step::Silent { time: Some(time) })
    }

    /// Reads nothing and answers nothing until the peer leaves.
    #[must_use]
    pub fn silent(self) -> Self {
        self.step(Step::Silent { time: None })
    }

    /// Sends a close frame and ends the socket once it is answered, or after 1 s.
    ///
    /// Codes from 1000 to 4999, including undefined ones: a client has to survive those, too. Not
    /// 1005, 1006 and 1015, which are never sent: see
    /// [`close_without_code`](Self::close_without_code), [`drop_socket`](Self::drop_socket) and
    /// [`reset`](Self::reset). The reason is at most 123 bytes long.
    #[must_use]
    pub fn close(self, code: u16, reason: impl Into<String>) -> Self {
        self.step(Step::Close { code, reason: reason.into() })
    }

    /// Sends a close frame without a code, which the peer reports as 1005.
    #[must_use]
    pub fn close_without_code(self) -> Self {
        self.step(Step::CloseNoCode {})
    }

    /// Ends the socket (FIN) without a close frame.
    #[must_use]
    pub fn drop_socket(self) -> Self {
        self.step(Step::Drop {})
    }

    /// Resets the socket (RST).
    #[must_use]
    pub fn reset(self) -> Self {
        self.step(Step::Reset {})
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// What happens to the handshake, and the steps after it.
    pub(crate) fn opening(&self) -> (Opening<'_>, &[Step]) {
        let first = self.steps.split_first();
        first
            .and_then(|(first, rest)| Some((first.opening()?, rest)))
            .unwrap_or((Opening::Answer(Answer::Accept { subprotocol: None }), &self.steps))
    }

    fn validate(&self, connection: usize) -> Result<(), ScriptError> {
        let mut before: Option<&Step> = None;
        for (step, number) in self.steps.iter().zip(1..) {
            step.check(before)
                .map_err(|problem| ScriptError::value(connection, number, step, problem))?;
            before = Some(step);
        }
        Ok(())
    }
}

/// An HTTP answer that is not an upgrade. A bare status converts into one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    #[serde(deserialize_with = "reading::status")]
    pub(crate) status: u16,
    #[serde(
        default,
        deserialize_with = "reading::text_or_seconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) retry_after: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) location: Option<String>,
}

impl Refusal {
    /// With this status, from 200 to 599: 401, 429 and 503 are the usual ones, 302 redirects, 200
    /// is the status of a login page in front of the server.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self { status, retry_after: None, location: None }
    }

    /// With a `Retry-After` header: a number of seconds or an HTTP date.
    #[must_use]
    pub fn retry_after(self, value: impl Display) -> Self {
        Self { retry_after: Some(value.to_string()), ..self }
    }

    /// With a `Location` header, for redirects.
    #[must_use]
    pub fn location(self, url: impl Into<String>) -> Self {
        Self { location: Some(url.into()), ..self }
    }
}

impl From<u16> for Refusal {
    fn from(status: u16) -> Self {
        Self::new(status)
    }
}

/// Why a script cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScriptError {
    /// The text is not TOML, or not a script.
    #[error("this is not a script: {message}")]
    #[non_exhaustive]
    Toml {
        /// What is wrong, with line and column.
        message: String,
    },
    /// A step asks for something that is not allowed.
    #[error(
        "connection {connection}, step {step} ({name}): `{field}` is {value}; allowed is {allowed}"
    )]
    #[non_exhaustive]
    Value {
        /// Which connection of the script, from 1.
        connection: usize,
        /// Which of its steps, from 1; an `accept` that the builder put first counts.
        step: usize,
        /// What the step does, as in TOML.
        name: &'static str,
        /// Which field of the step.
        field: &'static str,
        /// The value found there, shortened if it is long.
        value: String,
        /// What may be there.
        allowed: String,
    },
}

impl ScriptError {
    fn value(connection: usize, step: usize, of: &Step, problem: Problem) -> Self {
        let Problem { field, value, allowed } = problem;
        Self::Value { connection, step, name: of.name(), field, value, allowed }
    }
}
