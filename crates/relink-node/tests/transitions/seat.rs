//! A seat among the members of a channel, and how much of the list it has seen.

use relink::CloseCode;
use relink::session::MemberChange;
use relink_node::{Full, NodeConfig, StoreEvent, StoreRequest, StoreResponse, Stream};
use relink_v1::ClientFrame;

use crate::bench::{Bench, ID, at, failed, lobby, member, read};
use crate::render::{Chapter, Input, Spot};

pub(crate) fn chapter() -> Chapter {
    let about = "\
A connection among the members of a channel, and how much of the list of members it has seen. The list is sent a page
at a time while the socket has room; changes while the socket is full are left out, and the list is sent once more.";
    Chapter::new("A seat among the members", about, &SPOTS, &INPUTS, state)
}

const SPOTS: [Spot; 8] = [
    ("no seat", || Bench::welcome(tight())),
    ("asked for", wanted),
    ("joins", joining),
    ("waits for the list", waiting),
    ("is told the list", || {
        let mut bench = waiting();
        bench.is_stuck = true;
        bench.answer(is_members, members(40));
        bench
    }),
    ("is told an outdated list", || {
        let mut bench = waiting();
        bench.is_stuck = true;
        bench.answer(is_members, members(40));
        joins(&mut bench);
        bench
    }),
    ("has seen the list", seen),
    ("has missed a change", || {
        let mut bench = seen();
        bench.is_stuck = true;
        bench.say(ClientFrame::Heartbeat { nonce: 1, sent: 0 });
        joins(&mut bench);
        bench
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
    ("socket has room", Bench::unstick),
    ("client: subscribe, with a seat", |it| subscribe(it, true)),
    ("client: subscribe, without one", |it| subscribe(it, false)),
    ("client: unsubscribe", |it| {
        it.say(ClientFrame::Unsubscribe { channel: lobby() });
        true
    }),
    ("closed, 1000", |it| it.close(CloseCode::NORMAL)),
    ("lost, 1006", |it| it.close(CloseCode::ABNORMAL)),
];

/// One message fills the queue.
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

fn subscribe(bench: &mut Bench, with_seat: bool) -> bool {
    let (channel, since, token) = (lobby(), Some(at(1, 2)), None);
    let presence = with_seat.then(|| "here".into());
    bench.say(ClientFrame::Subscribe { channel, since, token, presence });
    true
}

fn joins(bench: &mut Bench) -> bool {
    bench.news(StoreEvent::MemberChanged {
        channel: lobby(),
        change: MemberChange::Joined(member("99", 1)),
    })
}

fn wanted() -> Bench {
    let mut bench = Bench::welcome(tight());
    subscribe(&mut bench, true);
    bench.authorize(Ok(()));
    bench
}

fn joining() -> Bench {
    let mut bench = wanted();
    bench.answer(is_lookup, read(at(1, 2), Some(&[])));
    bench
}

fn waiting() -> Bench {
    let mut bench = joining();
    bench.answer(is_join, Ok(StoreResponse::Joined { join: "1".into() }));
    bench
}

fn seen() -> Bench {
    let mut bench = waiting();
    bench.answer(is_members, members(1));
    bench
}

fn state(bench: &Bench) -> &'static str {
    let [_, _, seat] = bench.node.states(ID, &Stream::Channel(lobby()));
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
