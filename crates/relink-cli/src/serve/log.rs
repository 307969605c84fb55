//! The lines for an event, for people and for programs.

use std::collections::BTreeSet;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use relink::Message;
use relink_testing::{EventKind, ServerEvent};
use relink_v1::{ClientFrame, Codec, Encoding, SUBPROTOCOL, ServerFrame};
use serde::Serialize;
use serde_json::{Value, json};

use crate::output::Line;

/// Fields of frames that are secrets.
const SECRETS: [&str; 2] = ["token", "session"];

/// What messages are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frames {
    /// The application's own.
    None,
    /// Frames of relink.v1, on connections that agreed on it.
    RelinkV1,
    /// Metered's, on all connections.
    Metered,
}

/// Remembers which connections use frames: those of relink.v1 contain secrets.
#[derive(Debug)]
pub(super) struct Teller {
    is_json: bool,
    frames: Frames,
    framed: BTreeSet<usize>,
}

impl Teller {
    pub(super) fn new(is_json: bool, frames: Frames) -> Self {
        Self { is_json, frames, framed: BTreeSet::new() }
    }

    /// The first line: the server's URL.
    pub(super) fn listening(&self, url: &str) -> Vec<Line> {
        if self.is_json {
            let more = json!({ "url": url });
            return vec![Told { t: 0, connection: None, event: "listening", more }.line()];
        }
        let (more, or) = match self.frames {
            Frames::None => ("", ""),
            Frames::RelinkV1 => ("", ", or with `--protocol relink.v1`"),
            Frames::Metered => (" --profile metered", ""),
        };
        vec![
            Line::Out(format!("listening on {url}")),
            Line::note(format!("try `relink connect {url}{more}`{or}; Ctrl-C ends this")),
        ]
    }

    pub(super) fn line(&mut self, event: &ServerEvent) -> Line {
        let ServerEvent { connection, kind, .. } = event;
        if let EventKind::Accepted { subprotocol, .. } = kind {
            let agreed = match self.frames {
                Frames::None => false,
                Frames::RelinkV1 => subprotocol.as_deref() == Some(SUBPROTOCOL),
                Frames::Metered => true,
            };
            if agreed {
                self.framed.insert(*connection);
            }
        }
        let frame = if self.framed.contains(connection) { frame(self.frames, kind) } else { None };
        if kind.is_end() {
            self.framed.remove(connection);
        }
        match (frame, self.is_json) {
            (Some((from, frame)), true) => {
                Told::new(event, "frame", json!({ "from": from, "frame": frame })).line()
            }
            (Some((from, frame)), false) => Line::Out(people(event, from, &frame)),
            (None, true) => {
                let (name, more) = describe(kind);
                Told::new(event, name, more).line()
            }
            (None, false) => Line::Out(event.to_string()),
        }
    }
}

/// The sender of a frame, and the frame without its secrets; `null` if it is not a frame.
#[expect(clippy::wildcard_enum_match_arm, reason = "what is no message is no frame")]
fn frame(frames: Frames, kind: &EventKind) -> Option<(&'static str, Value)> {
    let (from, message) = match kind {
        EventKind::Text(text) => ("client", Message::from(text.as_str())),
        EventKind::Binary(bytes) => ("client", Message::from(bytes.clone())),
        EventKind::UpstreamText(text) => ("server", Message::from(text.as_str())),
        EventKind::UpstreamBinary(bytes) => ("server", Message::from(bytes.clone())),
        _ => return None,
    };
    if frames == Frames::Metered {
        return Some((
            from,
            message.as_text().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default(),
        ));
    }
    let json = if from == "client" {
        ClientFrame::decode(&message).map(|(frame, _)| frame.encode(Encoding::Json))
    } else {
        ServerFrame::decode(&message).map(|(frame, _)| frame.encode(Encoding::Json))
    };
    let mut frame =
        json.ok().and_then(|json| serde_json::from_str(json.as_text()?).ok()).unwrap_or_default();
    hide(&mut frame);
    Some((from, frame))
}

fn hide(value: &mut Value) {
    if let Value::Object(fields) = value {
        SECRETS.iter().for_each(|secret| drop(fields.remove(*secret)));
        fields.values_mut().for_each(hide);
    }
}

/// With the arrows of `docs/protocol.md`.
fn people(event: &ServerEvent, from: &str, frame: &Value) -> String {
    let arrow = if from == "client" { "→" } else { "←" };
    let frame = if frame.is_null() { "not a frame".to_owned() } else { frame.to_string() };
    format!("{:>9.3}s  #{}  {arrow} {frame}", event.at.as_secs_f64(), event.connection)
}

/// One event as `docs/serve-script.md` describes it. Of a request only the path is printed: the
/// rest may be secret.
#[derive(Serialize)]
struct Told {
    /// Milliseconds since the server started.
    t: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<usize>,
    event: &'static str,
    #[serde(flatten)]
    more: Value,
}

impl Told {
    fn new(
        ServerEvent { at, connection, .. }: &ServerEvent,
        event: &'static str,
        more: Value,
    ) -> Self {
        let t = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
        Self { t, connection: Some(*connection), event, more }
    }

    fn line(&self) -> Line {
        // It has text and numbers only, which always fit JSON.
        Line::Out(serde_json::to_string(self).unwrap_or_default())
    }
}

fn describe(kind: &EventKind) -> (&'static str, Value) {
    match kind {
        EventKind::Arrived => ("arrived", json!({})),
        EventKind::Accepted { request, subprotocol, .. } => {
            ("accepted", json!({ "path": request.path(), "subprotocol": subprotocol }))
        }
        EventKind::Blackholed => ("blackholed", json!({})),
        EventKind::Silent => ("silent", json!({})),
        EventKind::Text(text) => ("message", json!({ "text": text })),
        EventKind::Binary(bytes) => ("message", json!({ "base64": BASE64_STANDARD.encode(bytes) })),
        // Printed as frames.
        EventKind::UpstreamText(_) | EventKind::UpstreamBinary(_) => ("other", json!({})),
        EventKind::Ping(_) => ("ping", json!({})),
        EventKind::Pong(_) => ("pong", json!({})),
        EventKind::AdmissionError => ("too_many", json!({})),
        EventKind::Refused { status, request, .. } => {
            ("refused", json!({ "status": status, "path": request.path() }))
        }
        EventKind::AnsweredGarbage { request, .. } => {
            ("answered_garbage", json!({ "path": request.path() }))
        }
        EventKind::HandshakeFailed { why, .. } => ("handshake_failed", json!({ "why": why })),
        EventKind::Closed { code, reason, answered } => {
            ("closed", json!({ "code": code, "reason": reason, "answered": answered }))
        }
        EventKind::Reset => ("reset", json!({})),
        EventKind::Dropped => ("dropped", json!({})),
        EventKind::PeerClosed { code, reason } => {
            ("peer_closed", json!({ "code": code, "reason": reason }))
        }
        EventKind::PeerLost { why, .. } => ("peer_lost", json!({ "why": why })),
        EventKind::ProtocolError { why, .. } => ("protocol_error", json!({ "why": why })),
        _ => ("other", json!({})),
    }
}
