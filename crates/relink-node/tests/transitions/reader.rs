//! A reader of a stream: a channel's, and a session's own.

use relink::CloseCode;
use relink::session::Problem;
use relink_node::{Full, NodeConfig, StoreEvent, StoreRequest, StoreResponse, Stream};
use relink_v1::ClientFrame;

use crate::node_probe::{ID, NodeProbe, at, failed, is_read, lobby, new_session, read};
use crate::render::{Chapter, Input, OVER, Spot};

pub(crate) fn channel() -> Chapter {
    let about = "\
A connection that subscribes to a channel, or does not. It has read up to 1:2 if it has read anything. News are the
store's word that something was published; what lies between two of them is read from the store.";
    Chapter::new("A reader of a channel", about, &CHANNEL, &CHANNEL_INPUTS, channel_state)
}

pub(crate) fn session() -> Chapter {
    let about = "\
A connection in the stream of its own session, from the store's word that the session is its own. What is lost here
is lost for good, so that the session ends with 4100 and the client begins a new one.";
    Chapter::new("A reader of its session's stream", about, &SESSION, &SESSION_INPUTS, own_state)
}

const CHANNEL: [Spot; 8] = [
    ("not subscribed", || NodeProbe::welcome(NodeConfig::default())),
    ("waits for permission", || subscribed(Some(2))),
    ("seeks, to begin", || allowed(Some(2))),
    ("seeks, to begin now", || allowed(None)),
    ("live", live),
    ("seeks what follows", behind),
    ("seeks, to begin anew", || {
        let mut probe = behind();
        probe.answer(is_lookup, read(at(2, 2), None));
        probe
    }),
    ("paused", paused),
];

const CHANNEL_INPUTS: [Input; 21] = [
    ("client: subscribe", |it| subscribe(it, None)),
    ("client: subscribe after 1:1", |it| subscribe(it, Some(1))),
    ("client: unsubscribe", |it| {
        it.say(ClientFrame::Unsubscribe { channel: lobby() });
        true
    }),
    ("application: allowed", |it| it.authorize(Ok(()))),
    ("application: refused", |it| it.authorize(Err(Problem::new("not_authorized", "no")))),
    ("store: nothing more", |it| it.answer(is_lookup, read(at(1, 2), Some(&[])))),
    ("store: all of it", |it| it.answer(is_lookup, read(at(1, 4), Some(&[3, 4])))),
    ("store: a part of it", |it| it.answer(is_lookup, read(at(1, 9), Some(&[3, 4])))),
    ("store: lost", |it| it.answer(is_lookup, read(at(1, 9), None))),
    ("store: another epoch", |it| it.answer(is_lookup, read(at(2, 1), None))),
    ("store: full for the user", |it| it.answer(is_lookup, Ok(StoreResponse::Full(Full::User)))),
    ("store: full", |it| it.answer(is_lookup, Ok(StoreResponse::Full(Full::Store)))),
    ("store: fails", |it| it.answer(is_lookup, failed())),
    ("news: 1:2 again", |it| it.published(Stream::Channel(lobby()), at(1, 2))),
    ("news: 1:3", |it| it.published(Stream::Channel(lobby()), at(1, 3))),
    ("news: 1:5", |it| it.published(Stream::Channel(lobby()), at(1, 5))),
    ("news: 2:1", |it| it.published(Stream::Channel(lobby()), at(2, 1))),
    ("news: lagged", |it| it.news(StoreEvent::Lagged)),
    ("socket has room", NodeProbe::unstick),
    ("closed, 1000", |it| it.close(CloseCode::NORMAL)),
    ("lost, 1006", |it| it.close(CloseCode::ABNORMAL)),
];

const SESSION: [Spot; 4] = [
    ("waits for the welcome", || resuming(NodeConfig::default())),
    ("live", || resumed(NodeConfig::default())),
    ("seeks what follows", || {
        let mut probe = resumed(NodeConfig::default());
        probe.published(probe.own_stream(), at(1, 4));
        probe
    }),
    ("paused", || {
        let mut probe = resumed(tight());
        fill(&mut probe);
        probe.published(probe.own_stream(), at(1, 3));
        probe
    }),
];

const SESSION_INPUTS: [Input; 13] = [
    ("store: nothing more", |it| it.answer(is_read, read(at(1, 2), Some(&[])))),
    ("store: all of it", |it| it.answer(is_read, read(at(1, 4), Some(&[3, 4])))),
    ("store: a part of it", |it| it.answer(is_read, read(at(1, 9), Some(&[3, 4])))),
    ("store: lost", |it| it.answer(is_read, read(at(1, 9), None))),
    ("store: no such session", |it| it.answer(is_read, Ok(StoreResponse::Unknown))),
    ("store: fails", |it| it.answer(is_read, failed())),
    ("news: 1:2 again", |it| it.published(it.own_stream(), at(1, 2))),
    ("news: 1:3", |it| it.published(it.own_stream(), at(1, 3))),
    ("news: 1:5", |it| it.published(it.own_stream(), at(1, 5))),
    ("news: lagged", |it| it.news(StoreEvent::Lagged)),
    ("socket has room", NodeProbe::unstick),
    ("closed, 1000", |it| it.close(CloseCode::NORMAL)),
    ("lost, 1006", |it| it.close(CloseCode::ABNORMAL)),
];

fn is_lookup(request: &StoreRequest) -> bool {
    matches!(request, StoreRequest::Read { stream: Stream::Channel(_), limit, .. } if *limit > 1)
}

/// One message fills the outbound queue.
fn tight() -> NodeConfig {
    NodeConfig::default().with_max_outbound_bytes(1)
}

fn subscribe(probe: &mut NodeProbe, since: Option<u64>) -> bool {
    let since = since.map(|offset| at(1, offset));
    let (channel, token, presence) = (lobby(), None, None);
    probe.say(ClientFrame::Subscribe { channel, since, token, presence });
    true
}

fn subscribed(since: Option<u64>) -> NodeProbe {
    let mut probe = NodeProbe::welcome(NodeConfig::default());
    subscribe(&mut probe, since);
    probe
}

fn allowed(since: Option<u64>) -> NodeProbe {
    let mut probe = subscribed(since);
    probe.authorize(Ok(()));
    probe
}

fn live() -> NodeProbe {
    let mut probe = allowed(Some(2));
    probe.answer(is_lookup, read(at(1, 2), Some(&[])));
    probe
}

fn behind() -> NodeProbe {
    let mut probe = live();
    probe.published(Stream::Channel(lobby()), at(1, 4));
    probe
}

fn fill(probe: &mut NodeProbe) {
    probe.is_stuck = true;
    probe.say(ClientFrame::Heartbeat { nonce: 1, sent: 0 });
}

fn paused() -> NodeProbe {
    let mut probe = NodeProbe::welcome(tight());
    subscribe(&mut probe, Some(2));
    probe.authorize(Ok(()));
    probe.answer(is_lookup, read(at(1, 2), Some(&[])));
    fill(&mut probe);
    probe.published(Stream::Channel(lobby()), at(1, 3));
    probe
}

fn resuming(config: NodeConfig) -> NodeProbe {
    let mut probe = NodeProbe::new(config);
    probe.hello(Some(at(1, 2)));
    probe.identified();
    probe.answer(|it| matches!(it, StoreRequest::Resume { .. }), new_session(1));
    probe
}

fn resumed(config: NodeConfig) -> NodeProbe {
    let mut probe = resuming(config);
    probe.answer(is_read, read(at(1, 2), Some(&[])));
    probe
}

fn channel_state(probe: &NodeProbe) -> &'static str {
    let [_, reader, _] = probe.node.states(ID, &Stream::Channel(lobby()));
    state(reader.as_deref(), "not subscribed")
}

fn own_state(probe: &NodeProbe) -> &'static str {
    let [_, reader, _] = probe.node.states(ID, &probe.own_stream());
    state(reader.as_deref(), OVER)
}

fn state(reader: Option<&str>, none: &'static str) -> &'static str {
    let Some(reader) = reader else { return none };
    let names = [
        ("Start", "waits for permission"),
        ("Waiting", "waits for the welcome"),
        ("Seeking { after: None, greet: First", "seeks, to begin now"),
        ("greet: First", "seeks, to begin"),
        ("greet: Lost", "seeks, to begin anew"),
        ("greet: Silent", "seeks what follows"),
        ("Live", "live"),
        ("Paused", "paused"),
    ];
    names.iter().find(|(part, _)| reader.contains(part)).map(|(_, name)| *name).expect("a state")
}
