//! A connection, from its accept to its close.

use std::time::Duration;

use relink::{CloseCode, CloseFrame};
use relink_node::{Full, NodeConfig, NodeInput, StoreEvent, StoreRequest, StoreResponse, Stream};
use relink_v1::ClientFrame;

use crate::node_probe::{ID, NodeProbe, at, failed, is_read, lobby, new_session, read, session};
use crate::render::{Chapter, Input, OVER, Spot};

pub(crate) fn chapter() -> Chapter {
    let about = "\
A connection from its accept to its close. Who it is, which session it has, and where that is in its own stream are
found out one after the other. What is left to write after a close is not a state: it is written, or dropped.";
    Chapter::new("A connection", about, &SPOTS, &INPUTS, state)
}

const SPOTS: [Spot; 7] = [
    ("silent", || NodeProbe::new(NodeConfig::default())),
    ("is identified", || greeted(None)),
    ("begins a session", || {
        let mut probe = greeted(None);
        probe.identified();
        probe
    }),
    ("resumes a session", || {
        let mut probe = greeted(Some(1));
        probe.identified();
        probe
    }),
    ("finds its place", || {
        let mut probe = greeted(Some(1));
        probe.identified();
        probe.answer(is_resume, new_session(1));
        probe
    }),
    ("live", || NodeProbe::welcome(NodeConfig::default())),
    ("live, and told to go", || {
        let mut probe = NodeProbe::welcome(NodeConfig::default());
        message(&mut probe);
        probe.give(NodeInput::Drain);
        probe
    }),
];

const INPUTS: [Input; 28] = [
    ("client: hello", |it| hello(it, None)),
    ("client: hello, resume", |it| hello(it, Some(1))),
    ("client: message", message),
    ("client: subscribe", |it| {
        let (since, token, presence) = (None, None, None);
        it.say(ClientFrame::Subscribe { channel: lobby(), since, token, presence });
        true
    }),
    ("client: heartbeat", |it| {
        it.say(ClientFrame::Heartbeat { nonce: 1, sent: 0 });
        true
    }),
    ("client: heartbeat, one message more", |it| {
        it.say(ClientFrame::Heartbeat { nonce: 1, sent: 9 });
        true
    }),
    ("client: renew", |it| {
        it.say(ClientFrame::Renew { token: "ada".into() });
        true
    }),
    ("client: not a frame", |it| {
        it.give(NodeInput::Message { id: ID, message: "{".into() });
        true
    }),
    ("application: it is ada", NodeProbe::identified),
    ("application: the token is bad", |it| {
        let was = it.is_identifying;
        let result = Err(CloseFrame::from(CloseCode::INVALID_TOKEN));
        it.give(NodeInput::Identified { id: ID, result });
        was
    }),
    ("application: handled", NodeProbe::handled),
    ("store: a session", |it| it.answer(is_create, new_session(0))),
    ("store: the session", |it| it.answer(is_resume, new_session(1))),
    ("store: another user's", |it| {
        let Ok(StoreResponse::Session { received, rejected, generation, seats, .. }) =
            new_session(1)
        else {
            return false;
        };
        let user = "bob".into();
        it.answer(
            is_resume,
            Ok(StoreResponse::Session { user, received, rejected, generation, seats }),
        )
    }),
    ("store: no such session", |it| {
        it.answer(|it| is_resume(it) || is_read(it), Ok(StoreResponse::Unknown))
    }),
    ("store: full for the user", |it| it.answer(is_create, Ok(StoreResponse::Full(Full::User)))),
    ("store: full", |it| it.answer(is_create, Ok(StoreResponse::Full(Full::Store)))),
    ("store: the place", |it| it.answer(is_read, read(at(1, 2), Some(&[2])))),
    ("store: the place is lost", |it| it.answer(is_read, read(at(1, 9), None))),
    ("store: fails", |it| it.answer(|_| true, failed())),
    ("news: resumed elsewhere", |it| {
        let Stream::Session(session) = it.own_stream() else { return false };
        it.news(StoreEvent::Resumed { session, generation: 9 })
    }),
    ("news: ended by a kick", |it| {
        let Stream::Session(session) = it.own_stream() else { return false };
        let frame = CloseFrame::from(CloseCode::ADMIN_DISCONNECT);
        it.news(StoreEvent::Ended { session, frame })
    }),
    ("kick", |it| {
        let frame = CloseFrame::from(CloseCode::ADMIN_DISCONNECT);
        it.give(NodeInput::Kick { user: "ada".into(), frame });
        true
    }),
    ("drain", |it| {
        it.give(NodeInput::Drain);
        true
    }),
    ("10 s pass", |it| it.wait(Duration::from_secs(10))),
    ("40 s pass", |it| it.wait(Duration::from_secs(40))),
    ("closed, 1000", |it| it.close(CloseCode::NORMAL)),
    ("lost, 1006", |it| it.close(CloseCode::ABNORMAL)),
];

fn greeted(resume: Option<u64>) -> NodeProbe {
    let mut probe = NodeProbe::new(NodeConfig::default());
    hello(&mut probe, resume);
    probe
}

fn hello(probe: &mut NodeProbe, resume: Option<u64>) -> bool {
    probe.hello(resume.map(|offset| at(1, offset)));
    true
}

fn message(probe: &mut NodeProbe) -> bool {
    let (serial, channel, payload) = (Some(1), Some(lobby()), "text".into());
    probe.say(ClientFrame::Message { serial, channel, payload });
    true
}

fn is_create(request: &StoreRequest) -> bool {
    matches!(request, StoreRequest::Create { .. })
}

fn is_resume(request: &StoreRequest) -> bool {
    matches!(request, StoreRequest::Resume { .. })
}

fn state(probe: &NodeProbe) -> &'static str {
    let [stage, _, _] = probe.node.states(ID, &Stream::Session(session()));
    let Some(stage) = stage else { return OVER };
    if stage.starts_with("Silent") {
        "silent"
    } else if stage.starts_with("Live") {
        if probe.is_draining { "live, and told to go" } else { "live" }
    } else if probe.is_identifying {
        "is identified"
    } else if probe.is_asked(is_create) {
        "begins a session"
    } else if probe.is_asked(is_resume) {
        "resumes a session"
    } else {
        "finds its place"
    }
}
