//! A seat among the members of a channel, and how much of the list it was sent.

use relink::CloseCode;
use relink::session::MemberChange;
use relink_node::{Full, NodeConfig, StoreEvent, StoreRequest, StoreResponse, Stream};
use relink_v1::ClientFrame;

use crate::node_probe::{ID, NodeProbe, at, failed, lobby, member, read};
use crate::render::{Chapter, Input, Spot};

pub(crate) fn chapter() -> Chapter {
    let about = "\
A connection among the members of a channel, and how much of the list of members it has seen. The list is sent a page
at a time while the socket has room; changes while the socket is full are left out, and the list is sent once more.";
    Chapter::new("A seat among the members", about, &SPOTS, &INPUTS, state)
}

const SPOTS: [Spot; 8] = [
    ("no seat", || NodeProbe::welcome(tight())),
    ("asked for", wanted),
    ("joins", joining),
    ("waits for the list", waiting),
    ("is told the list", || {
        let mut probe = waiting();
        probe.is_stuck = true;
        probe.answer(is_members, members(40));
        probe
    }),
    ("is told an outdated list", || {
        let mut probe = waiting();
        probe.is_stuck = true;
        probe.answer(is_members, members(40));
        joins(&mut probe);
        probe
    }),
    ("has seen the list", seen),
    ("has missed a change", || {
        let mut probe = seen();
        probe.is_stuck = true;
        probe.say(ClientFrame::Heartbeat { nonce: 1, sent: 0 });
        joins(&mut probe);
        probe
    }),
];

const INPUTS: [Input; 16] = [
    ("store: the subscription stands", |it| it.answer(is_lookup, read(at(1, 2), Some(&[])))),
    ("store: joined", |it| it.answer(is_join, Ok(StoreResponse::Joined { join: "1".into() }))),
    ("store: the channel is full", |it| it.answer(is_join, Ok(StoreResponse::Full(Full::Store)))),
    ("store: no such session", |it| it.answer(is_join, Ok(StoreResponse::Unknown))),
    ("store: a short list", |it| it.answer(is_members, members(1))),
    ("store: a long list", |it| it.answer(is_members, members(40))),
    ("store: fails", |it| it.answer(|it| is_join(it) || is_members(it), failed())),
    ("news: joined", joins),
    ("news: left", |it| {
        let (channel, member) = (lobby(), member("00", 1));
        it.news(StoreEvent::MemberChanged { channel, change: MemberChange::Left(member) })
    }),
    ("news: lagged", |it| it.news(StoreEvent::Lagged)),
    ("socket has room", NodeProbe::unstick),
    ("client: subscribe, with a seat", |it| subscribe(it, true)),
    ("client: subscribe, without one", |it| subscribe(it, false)),
    ("client: unsubscribe", |it| {
        it.say(ClientFrame::Unsubscribe { channel: lobby() });
        true
    }),
    ("closed, 1000", |it| it.close(CloseCode::NORMAL)),
    ("lost, 1006", |it| it.close(CloseCode::ABNORMAL)),
];

/// One message fills the outbound queue.
fn tight() -> NodeConfig {
    NodeConfig::default().with_max_outbound_bytes(1)
}

fn is_lookup(request: &StoreRequest) -> bool {
    matches!(request, StoreRequest::Read { stream: Stream::Channel(_), limit, .. } if *limit > 1)
}

fn is_join(request: &StoreRequest) -> bool {
    matches!(request, StoreRequest::Join { .. })
}

fn is_members(request: &StoreRequest) -> bool {
    matches!(request, StoreRequest::Members { .. })
}

fn members(count: usize) -> Result<StoreResponse, String> {
    let members = (0..count).map(|index| member(&format!("{index:02}"), 1000));
    Ok(StoreResponse::Members(members.collect()))
}

fn subscribe(probe: &mut NodeProbe, with_seat: bool) -> bool {
    let (channel, since, token) = (lobby(), Some(at(1, 2)), None);
    let presence = with_seat.then(|| "here".into());
    probe.say(ClientFrame::Subscribe { channel, since, token, presence });
    true
}

fn joins(probe: &mut NodeProbe) -> bool {
    probe.news(StoreEvent::MemberChanged {
        channel: lobby(),
        change: MemberChange::Joined(member("99", 1)),
    })
}

fn wanted() -> NodeProbe {
    let mut probe = NodeProbe::welcome(tight());
    subscribe(&mut probe, true);
    probe.authorize(Ok(()));
    probe
}

fn joining() -> NodeProbe {
    let mut probe = wanted();
    probe.answer(is_lookup, read(at(1, 2), Some(&[])));
    probe
}

fn waiting() -> NodeProbe {
    let mut probe = joining();
    probe.answer(is_join, Ok(StoreResponse::Joined { join: "1".into() }));
    probe
}

fn seen() -> NodeProbe {
    let mut probe = waiting();
    probe.answer(is_members, members(1));
    probe
}

fn state(probe: &NodeProbe) -> &'static str {
    let [_, _, seat] = probe.node.states(ID, &Stream::Channel(lobby()));
    let Some(seat) = seat else { return "no seat" };
    let names = [
        ("Seat", "asked for"),
        ("Joining", "joins"),
        ("Waiting", "waits for the list"),
        ("stale: true", "is told an outdated list"),
        ("stale: false", "is told the list"),
        ("Current", "has seen the list"),
        ("Stale", "has missed a change"),
    ];
    names.iter().find(|(part, _)| seat.contains(part)).map(|(_, name)| *name).expect("a state")
}
