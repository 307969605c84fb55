//! The layers above Metered's link.

use relink::session::{Member, PresenceEvent, Roster, RosterChange};
use relink::{Channel, Event, Instant, Subscription};
use relink_profiles::metered::PROFILE;
use relink_profiles::{PeerRestart, RestartAction};
use relink_sim::secs;

use crate::support::ProfileSim;

/// Restarts of every peer until `end`, by second and peer.
fn climb(
    peers: &mut [(&'static str, PeerRestart)],
    end: Instant,
) -> Vec<(u64, &'static str, RestartAction)> {
    let mut said = Vec::new();
    while let Some((at, index)) = peers
        .iter()
        .enumerate()
        .filter_map(|(index, (_, restart))| restart.poll_timeout().map(|at| (at, index)))
        .filter(|(at, _)| *at <= end)
        .min()
    {
        let (name, restart) = &mut peers[index];
        said.extend(
            restart.handle_timeout(at).map(|rung| ((at - Instant::ORIGIN).as_secs(), *name, rung)),
        );
    }
    said
}

#[test]
fn m18_nine_restarts_over_121_s_for_that_peer_alone() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.up();
    let mut peers = [
        ("ada", PeerRestart::default()),
        ("bob", PeerRestart::default()),
        ("cleo", PeerRestart::default()),
    ];
    peers[1].1.lost(Instant::ORIGIN);
    let said = climb(&mut peers, Instant::ORIGIN + secs(125));
    let restarts: Vec<_> = said.iter().map(|(second, peer, _)| (*second, *peer)).collect();
    assert_eq!(restarts, [0, 1, 3, 7, 15, 31, 61, 91, 121].map(|second| (second, "bob")));
    assert!(
        peers[1].1.is_restarting() && !peers[0].1.is_restarting() && !peers[2].1.is_restarting()
    );
    assert_eq!(sim.word(), "connected", "the link is not concerned");
}

#[test]
fn m18_it_stops_when_the_signalling_link_drops() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.stable();
    let mut peers = [("ada", PeerRestart::default()), ("bob", PeerRestart::default())];
    peers.iter_mut().for_each(|(_, restart)| restart.lost(sim.now()));
    let before = climb(&mut peers, sim.now() + secs(4));
    assert_eq!(before.len(), 6, "three each");
    sim.peer().reset();
    if sim.events().iter().any(|event| matches!(event, Event::Disconnected { .. })) {
        peers.iter_mut().for_each(|(_, restart)| restart.stop());
    }
    assert_eq!(climb(&mut peers, sim.now() + secs(600)), []);
}

fn presence(sim: &mut ProfileSim) -> Vec<String> {
    let mut told = Vec::new();
    for event in sim.events() {
        if let Event::Presence { change, .. } = event {
            told.push(match change {
                PresenceEvent::Joined(member) => format!("joined {}", member.user),
                PresenceEvent::Updated(member) => format!("updated {}", member.user),
                PresenceEvent::Left(member) => format!("left {}", member.user),
                PresenceEvent::StayBegan(member) => format!("once more {}", member.user),
                PresenceEvent::StayEnded(member) => format!("once less {}", member.user),
            });
        }
    }
    told
}

const WHO: &str = r#"{"type":"presence","channel":"room","joined":[{"peerId":"ada"},{"peerId":"bob"}],"left":[]}"#;
const WHO_AFTER: &str = r#"{"type":"presence","channel":"room","joined":[{"peerId":"bob"},{"peerId":"cleo"}],"left":[]}"#;

#[test]
fn m19_after_a_reconnect_survivors_stay_leavers_leave_and_newcomers_join() {
    let mut sim = ProfileSim::new(&PROFILE);
    sim.up();
    sim.subscribe("room", Subscription::default());
    // The member list overtakes the answer to the subscription, and is not lost.
    sim.peer().send(WHO);
    sim.peer().send(r#"{"type":"ack","requestId":"1"}"#);
    assert_eq!(presence(&mut sim), ["joined ada", "joined bob"]);
    sim.advance(secs(5));
    sim.peer().reset();
    let room = Channel::from("room");
    let names = |sim: &ProfileSim| -> Vec<_> {
        sim.machine().members(&room).into_iter().map(|Member { user, .. }| user).collect()
    };
    assert_eq!(names(&sim), ["ada", "bob"], "all stay to be seen meanwhile");
    sim.up();
    sim.peer().send(r#"{"type":"ack","requestId":"2"}"#);
    sim.peer().send(WHO_AFTER);
    assert_eq!(presence(&mut sim)[2..], ["left ada", "joined cleo"], "and of bob, nothing");
    assert_eq!(names(&sim), ["bob", "cleo"]);
}

/// What an application keeps for a peer: one object while the peer is a member, and a connection
/// that is replaced.
#[derive(Debug)]
struct RemotePeer {
    id: u32,
    connection: u32,
    channels: Vec<DataChannel>,
}

/// The number of the connection on which it was opened.
#[derive(Debug, Clone, PartialEq)]
struct DataChannel {
    label: &'static str,
    connection: u32,
}

impl RemotePeer {
    /// Opens a fresh connection, and on it the channels of the application.
    fn connected(&mut self) {
        self.connection += 1;
        self.channels = vec![DataChannel { label: "game", connection: self.connection }];
    }

    fn is_alive(&self, channel: &DataChannel) -> bool {
        channel.connection == self.connection
    }
}

fn reconcile(
    roster: &mut Roster<&'static str, RemotePeer>,
    made: &mut u32,
    streams: &mut Vec<&'static str>,
) -> Vec<String> {
    let mut told = Vec::new();
    while let Some(change) = roster.poll_change() {
        match change {
            RosterChange::Joined { key } => {
                *made += 1;
                let mut peer = RemotePeer { id: *made, connection: 0, channels: Vec::new() };
                peer.connected();
                streams.push(key);
                roster.get_mut(&key).unwrap().value = Some(peer);
                told.push(format!("peer-joined {key}"));
            }
            RosterChange::Survived { key } => {
                roster.get_mut(&key).unwrap().value.as_mut().unwrap().connected();
                streams.push(key);
            }
            RosterChange::Left { key, .. } => told.push(format!("peer-left {key}")),
            other @ (RosterChange::Updated { .. } | _) => told.push(format!("{other:?}")),
        }
    }
    told
}

#[test]
fn m19_survivors_keep_their_identity_and_get_a_fresh_connection_with_the_local_streams() {
    let (mut roster, mut made, mut streams) = (Roster::new(), 0, Vec::new());
    roster.snapshot([("ada", 1, ()), ("bob", 2, ())]);
    assert_eq!(
        reconcile(&mut roster, &mut made, &mut streams),
        ["peer-joined ada", "peer-joined bob"]
    );
    let bob = roster.get(&"bob").unwrap().value.as_ref().unwrap().id;
    streams.clear();

    roster.reset(); // the link is back
    roster.snapshot([("bob", 2, ()), ("cleo", 3, ())]);
    assert_eq!(
        reconcile(&mut roster, &mut made, &mut streams),
        ["peer-left ada", "peer-joined cleo"]
    );
    let peer = roster.get(&"bob").unwrap().value.as_ref().unwrap();
    assert_eq!((peer.id, peer.connection), (bob, 2), "the same object, a fresh connection");
    assert_eq!(streams, ["bob", "cleo"], "local streams are attached again");
}

#[test]
fn m21_data_channels_are_opened_again_and_a_handle_from_before_is_dead() {
    let (mut roster, mut made, mut streams) = (Roster::new(), 0, Vec::new());
    roster.snapshot([("bob", 2, ())]);
    reconcile(&mut roster, &mut made, &mut streams);
    let handle = roster.get(&"bob").unwrap().value.as_ref().unwrap().channels[0].clone();
    assert!(roster.get(&"bob").unwrap().value.as_ref().unwrap().is_alive(&handle));

    // The whole link, then the peer's own connection alone: each → connected opens them once.
    roster.reset();
    roster.snapshot([("bob", 2, ())]);
    reconcile(&mut roster, &mut made, &mut streams);
    let mut restart = PeerRestart::default();
    restart.lost(Instant::ORIGIN);
    assert_eq!(
        restart.handle_timeout(Instant::ORIGIN),
        Some(RestartAction::Restart { attempt: 1 })
    );
    restart.recovered();
    roster.get_mut(&"bob").unwrap().value.as_mut().unwrap().connected();

    let peer = roster.get(&"bob").unwrap().value.as_ref().unwrap();
    assert!(!peer.is_alive(&handle));
    assert_eq!(peer.channels, [DataChannel { label: "game", connection: 3 }]);
    assert!(peer.is_alive(&peer.channels[0]));
}
