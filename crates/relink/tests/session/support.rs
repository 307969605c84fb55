//! A client of `relink.v1` in a manual [`Sim`], and its events in short.

use relink::session::{Member, MemberChange, PresenceEvent, Text};
use relink::{Channel, Event, Message, Protocol, SessionConfig, State, Subscription};
use relink_sim::{Sim, Speak, v1};
use relink_v1::{ClientFrame, RelinkV1, ServerFrame};

pub(crate) use relink_sim::{millis, secs};

pub(crate) type Client = Sim<RelinkV1>;

/// No heartbeat in scenarios of up to half a minute.
fn quiet(mut config: SessionConfig) -> SessionConfig {
    config.link.heartbeat.interval = Some(secs(30));
    config
}

pub(crate) fn link(config: SessionConfig) -> Client {
    v1::sim(quiet(config))
}

pub(crate) fn link_with<P: Protocol>(config: SessionConfig, protocol: P) -> Sim<P> {
    Sim::with(config, &["ws://peer"], protocol, 7).expect("valid").manual()
}

/// Connected in a new session, after all events of that.
pub(crate) fn connected() -> Client {
    connected_with(relink_v1::config())
}

pub(crate) fn connected_with(config: SessionConfig) -> Client {
    v1::connected(quiet(config))
}

pub(crate) fn connect<P: Speak<Frame = ServerFrame>>(sim: &mut Sim<P>) {
    sim.connect();
    sim.peer().greet("s1");
}

pub(crate) fn is_connected(sim: &Client) -> bool {
    sim.state() == State::Connected
}

pub(crate) fn send_all(sim: &mut Sim<impl Protocol>, texts: &[&str]) {
    for text in texts {
        sim.send(*text).expect("room");
    }
}

/// Subscribes, and the server confirms from this offset on.
pub(crate) fn follow(sim: &mut Client, channel: &str, offset: u64) {
    sim.subscribe(channel, Subscription::default());
    sim.peer().frames();
    sim.peer().subscribed(channel, offset, true);
    let _ = sim.take_events();
}

/// The next frame that waits for the transport.
pub(crate) fn next_frame(sim: &mut Client) -> Option<ClientFrame> {
    sim.peer().frames_at_most(1).pop()
}

/// A stay with this name begins, or ends.
pub(crate) fn stay(sim: &mut Client, channel: &str, user: &str, join: &str, is_here: bool) {
    let (channel, member) = (channel.into(), Member { join: join.into(), ..v1::member(user, "") });
    let change = if is_here {
        MemberChange::Joined(member)
    } else {
        MemberChange::Left(Member { info: None, ..member })
    };
    sim.peer().say(ServerFrame::MemberChanged { channel, change });
}

fn text(message: &Message) -> &str {
    message.as_text().expect("text")
}

/// The events about messages, sessions and channels since the last call, in short.
pub(crate) fn told(sim: &mut Sim<impl Protocol>) -> Vec<String> {
    sim.take_events().iter().filter_map(event_in_short).collect()
}

fn event_in_short(event: &Event) -> Option<String> {
    let said = |member: &Member| {
        let info = member.info.as_ref().map_or("", Text::as_str);
        format!("{} ({info})", member.user)
    };
    Some(match event {
        Event::Message(message) => format!("message {}", text(message)),
        Event::Publication { channel, position, message } => {
            format!("{channel} {}: {}", position.offset, text(message))
        }
        Event::Acknowledged { first, last } if first == last => format!("acknowledged {first}"),
        Event::Acknowledged { first, last } => format!("acknowledged {first} to {last}"),
        Event::Rejected { receipt, problem, .. } => format!("rejected {receipt}: {}", problem.name),
        Event::InDoubt { first, last, .. } if first == last => format!("in doubt {first}"),
        Event::InDoubt { first, last, .. } => format!("in doubt {first} to {last}"),
        Event::Dropped { first, last, why, .. } if first == last => {
            format!("dropped {first}: {}", why.name())
        }
        Event::Dropped { first, last, why, .. } => {
            format!("dropped {first} to {last}: {}", why.name())
        }
        Event::TooLarge { receipt, size } => format!("too large {receipt}: {size}"),
        Event::Withheld { channel, position, problem } => {
            let channel = channel.as_ref().map_or("own", Channel::as_str);
            format!("{channel} {} withheld: {}", position.offset, problem.name)
        }
        Event::Resumed { complete } => {
            (if *complete { "resumed" } else { "resumed with a hole" }).to_owned()
        }
        Event::ResumeRefused { problem } => format!("refused: {}", problem.name),
        Event::Subscribed { channel, complete: true } => format!("subscribed {channel}"),
        Event::Subscribed { channel, complete: false } => {
            format!("subscribed {channel} with a hole")
        }
        Event::Unsubscribed { channel, problem, retry_in } => {
            let again = if retry_in.is_some() { "later" } else { "no more" };
            format!("unsubscribed {channel}: {}, {again}", problem.name)
        }
        Event::Presence { channel, change } => match change {
            PresenceEvent::Joined(member) => format!("{channel}: {} joined", said(member)),
            PresenceEvent::Updated(member) => format!("{channel}: {} changed", said(member)),
            PresenceEvent::Left(member) => format!("{channel}: {} left", said(member)),
            PresenceEvent::StayBegan(member) => format!("{channel}: {} once more", said(member)),
            PresenceEvent::StayEnded(member) => format!("{channel}: {} once less", said(member)),
        },
        Event::Disconnected { code, detail, .. } => format!("disconnected {}: {detail}", code.0),
        Event::Connected { is_reconnect: false } => "connected".to_owned(),
        Event::Connected { is_reconnect: true } => "connected again".to_owned(),
        Event::Closed { reason } => format!("closed: {}", reason.name()),
        _ => return None,
    })
}
