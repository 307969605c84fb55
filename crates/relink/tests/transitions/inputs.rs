//! Every input, and its name in the table.

use core::time::Duration;

use relink::link::{
    AddressError, HandshakeEvent, Hint, Input, Refusal, Timer, TokenError, TokenInfo, TransportId,
};
use relink::{CloseCode, Failure, StopReason};

/// An input with its place in the table: inputs of one group that have the same effect share a row.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) group: &'static str,
    pub(crate) name: String,
    pub(crate) input: Input,
    /// How many inputs its group has.
    pub(crate) of_group: usize,
}

impl Named {
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.group == other.group && self.name == other.name
    }
}

/// Close codes: one of each row of the default policy and its gaps, then two that the table's
/// configurations add.
const CODES: [u16; 29] = [
    1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 1015,
    2999, 3000, 3003, 3999, 4000, 4001, 4002, 4003, 4010, 4012, 4020, RETRY_NOW, SWITCH,
];
/// A close code that asks for a quick return.
pub(crate) const RETRY_NOW: u16 = 4900;
/// A close code that sends the client to the next endpoint.
pub(crate) const SWITCH: u16 = 4901;

const STATUSES: [u16; 16] =
    [200, 302, 400, 401, 403, 404, 407, 408, 410, 421, 425, 429, 500, 501, 503, 999];

/// Every input; those of a transport are from this one. `nonce` is that of the pending ping.
pub(crate) fn all(id: TransportId, nonce: u32, due: Option<Timer>) -> Vec<Named> {
    let timeout = due.map_or_else(|| "no deadline".into(), timer_name);
    let mut inputs = vec![
        one("connect", Input::Connect),
        one("login", Input::Login),
        one("close", Input::close()),
        one("finish", Input::Finish { code: CloseCode::NORMAL }),
        one("flushed", Input::Flushed),
        one("retry now", Input::RetryNow),
        one("mark stable", Input::MarkStable),
        named("hint", "online", Input::Hint(Hint::Online)),
        named("hint", "offline", Input::Hint(Hint::Offline)),
        named("hint", "wake", Input::Hint(Hint::Wake)),
        one(
            "token",
            Input::Token { id, result: Ok(TokenInfo::new(Some(Duration::from_secs(600)))) },
        ),
        one("token failed", Input::Token { id, result: Err(TokenError::default()) }),
        one("address", Input::Address { id, result: Ok(()) }),
        one("address failed", Input::Address { id, result: Err(AddressError::default()) }),
        one("opened", Input::Opened { id }),
        one("received", Input::Received { id }),
        named("pong", "in answer", Input::Pong { id, nonce: Some(nonce) }),
        named("pong", "without number", Input::Pong { id, nonce: None }),
        named("pong", "late", Input::Pong { id, nonce: Some(nonce.wrapping_sub(1)) }),
    ];
    inputs.push(one("driver gone", Input::DriverGone));
    inputs.extend(signals(id));
    inputs.extend(CODES.map(|code| {
        named("closed by peer", code.to_string(), Input::PeerClosed { id, code: CloseCode(code) })
    }));
    inputs.extend(
        failures().map(|(name, failure)| named("failed", name, Input::Failed { id, failure })),
    );
    inputs.push(named("timeout", timeout, Input::Timeout));
    let groups: Vec<_> = inputs.iter().map(|named| named.group).collect();
    for named in &mut inputs {
        named.of_group = groups.iter().filter(|group| **group == named.group).count();
    }
    inputs
}

fn signals(id: TransportId) -> impl Iterator<Item = Named> {
    let refused = |code| HandshakeEvent::Refused(Refusal::As(CloseCode(code)));
    let retry_after = Duration::from_secs(60);
    [
        ("welcome", HandshakeEvent::Welcome),
        ("challenge met", HandshakeEvent::ChallengeMet),
        ("redirect", HandshakeEvent::Redirect),
        ("authenticated", HandshakeEvent::Authenticated),
        ("refused: the token", HandshakeEvent::Refused(Refusal::Token)),
        ("refused: as 4001", refused(4001)),
        ("refused: as 4010", refused(4010)),
        ("refused: for good", HandshakeEvent::Refused(Refusal::Stop(StopReason::FORBIDDEN))),
        ("going away, come back in 1m", HandshakeEvent::GoingAway { retry_after }),
    ]
    .into_iter()
    .map(move |(name, signal)| named("signal", name, Input::Handshake { id, event: signal }))
}

fn failures() -> impl Iterator<Item = (String, Failure)> {
    let named = [
        ("lookup", Failure::Lookup),
        ("refused", Failure::Refused),
        ("unreachable", Failure::Unreachable),
        ("tls", Failure::Tls),
        ("http redirect", Failure::HttpRedirect),
        ("not websocket", Failure::NotWebSocket),
        ("invalid request", Failure::InvalidRequest),
        ("reset", Failure::Reset),
        ("eof", Failure::Eof),
        ("protocol", Failure::Protocol(CloseCode::PROTOCOL_ERROR)),
        ("gap", Failure::Gap),
        ("abandoned", Failure::Abandoned),
        ("io", Failure::Io),
    ];
    let http = |status| (format!("http {status}"), Failure::Http { status, retry_after: None });
    let patient = Failure::Http { status: 503, retry_after: Some(Duration::from_secs(60)) };
    named
        .into_iter()
        .map(|(name, failure)| (name.into(), failure))
        .chain(STATUSES.map(http))
        .chain([("http 503 retry-after 1m".into(), patient)])
}

pub(crate) fn timer_name(timer: Timer) -> String {
    match timer {
        Timer::Step(step) => step.name().into(),
        Timer::Backoff
        | Timer::Token
        | Timer::Address
        | Timer::Dial
        | Timer::Ping
        | Timer::Pong
        | Timer::Watchdog
        | Timer::Message
        | Timer::Stable
        | Timer::Refresh
        | Timer::Flush
        | Timer::Close
        | Timer::Elapsed
        | Timer::Grace
        | Timer::Banner
        | Timer::Stuck
        | _ => format!("{timer:?}").to_lowercase(),
    }
}

fn one(name: &'static str, input: Input) -> Named {
    named(name, name, input)
}

fn named(group: &'static str, name: impl Into<String>, input: Input) -> Named {
    Named { group, name: name.into(), input, of_group: 1 }
}
