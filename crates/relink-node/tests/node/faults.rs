//! Clients that keep to the protocol while everything around them fails: links, store events, the
//! store, a slow socket. In the end every message was published once and in order, and every reader
//! has seen one sequence without a gap.

use std::collections::VecDeque;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use relink::{Channel, Message, Position, Resume, SessionId};
use relink_node::{
    ConnectionId, HistoryConfig, NodeConfig, NodeInput, StoreEvent, StoreRequest, StoreResponse,
    Stream,
};
use relink_sim::cluster::{Handled, Outcome, Task, TaskKind};
use relink_v1::{ClientFrame, Encoding, ServerFrame, Welcome};

use crate::support::{Cluster, lobby, secs};

const NODES: usize = 2;
const CLIENTS: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    Send {
        client: usize,
    },
    HangUp {
        client: usize,
        told: bool,
    },
    Connect {
        client: usize,
        node: usize,
    },
    /// Answers one of the open requests: with its result, with an error, or with an error although
    /// it was carried out.
    Store {
        which: usize,
        how: u8,
    },
    Handle {
        which: usize,
    },
    Read {
        client: usize,
        most: usize,
    },
    LoseNews {
        node: usize,
    },
    Doubt {
        node: usize,
    },
    StoreEvent {
        node: usize,
        most: usize,
    },
    HeartbeatAction {
        client: usize,
    },
    Pass {
        millis: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS;
    let node = 0..NODES;
    prop_oneof![
        10 => client.clone().prop_map(|client| Step::Send { client }),
        2 => (client.clone(), any::<bool>()).prop_map(|(client, told)| Step::HangUp { client, told }),
        6 => (client.clone(), node.clone()).prop_map(|(client, node)| Step::Connect { client, node }),
        30 => (0..6_usize, 0..12_u8).prop_map(|(which, how)| Step::Store { which, how }),
        12 => (0..3_usize).prop_map(|which| Step::Handle { which }),
        12 => (client.clone(), 1..20_usize).prop_map(|(client, most)| Step::Read { client, most }),
        1 => node.clone().prop_map(|node| Step::LoseNews { node }),
        1 => node.clone().prop_map(|node| Step::Doubt { node }),
        12 => (node, 1..9_usize).prop_map(|(node, most)| Step::StoreEvent { node, most }),
        2 => client.prop_map(|client| Step::HeartbeatAction { client }),
        6 => (0..3_000_u64).prop_map(|millis| Step::Pass { millis }),
    ]
}

/// A client that keeps to the protocol, written independently of relink.
#[derive(Default)]
struct Client {
    link: Option<(usize, ConnectionId)>,
    welcome: bool,
    /// Unacknowledged messages have not been sent again yet.
    begins: bool,
    resume: Option<Resume>,
    sent: u64,
    acked: u64,
    unacked: VecDeque<(u64, String)>,
    /// Its position in the lobby, and what it has read there.
    place: Option<Position>,
    seen: Vec<String>,
    own: Vec<String>,
    publications: u64,
}

struct DeliveryJudge {
    cluster: Cluster,
    clients: Vec<Client>,
    /// Connections that are lost, which their nodes have not noticed.
    lost: Vec<ConnectionId>,
}

impl DeliveryJudge {
    fn new() -> Self {
        let history = HistoryConfig::default().with_session_ttl(secs(100_000));
        let config = NodeConfig::default()
            .with_history(history)
            .with_max_outbound_bytes(400)
            .with_max_unhandled(3)
            .with_page(3)
            .with_hello_timeout(secs(300));
        let mut cluster = Cluster::new(NODES, config);
        cluster.env.application = twice;
        cluster.store_mut().watch(Stream::Channel(lobby()));
        for kind in [TaskKind::Handle, TaskKind::Store, TaskKind::StoreEvent] {
            cluster.hold(kind);
        }
        let clients = (0..CLIENTS).map(|_| Client::default()).collect();
        Self { cluster, clients, lost: Vec::new() }
    }

    fn give(&mut self, node: usize, input: NodeInput) {
        self.cluster.give(node, input);
        self.hang_up_closed();
    }

    /// Drops the connections that nodes have closed, after reading what was sent before the close.
    fn hang_up_closed(&mut self) {
        for client in 0..CLIENTS {
            let Some((_, id)) = self.clients[client].link else { continue };
            if self.cluster.peer(id).closed.is_some() {
                self.read(client, usize::MAX);
                self.hang_up(client, true);
            }
        }
        for id in std::mem::take(&mut self.lost) {
            if self.cluster.peer(id).closed.is_some() {
                self.cluster.hang_up(id, 1006);
            } else {
                self.lost.push(id);
            }
        }
    }

    fn may_send(&self, client: usize) -> bool {
        self.clients[client].link.is_some_and(|(node, id)| self.cluster.node(node).may_read(id))
    }

    fn say(&mut self, client: usize, frame: &ClientFrame) {
        if let Some((_, id)) = self.clients[client].link {
            self.cluster.say(id, frame);
            self.hang_up_closed();
        }
    }

    fn connect(&mut self, client: usize, node: usize) {
        if self.clients[client].link.is_some() {
            return;
        }
        let id = self.cluster.open_as(node, Encoding::Cbor);
        let peer = self.cluster.peer_mut(id);
        (peer.reads, peer.pings) = (false, false);
        let it = &mut self.clients[client];
        it.link = Some((node, id));
        (it.welcome, it.begins, it.publications) = (false, false, 0);
        let resume = it.resume.clone();
        self.cluster.hello(id, &format!("user {client}"), resume);
        self.hang_up_closed();
    }

    fn send(&mut self, client: usize) {
        let it = &mut self.clients[client];
        if it.unacked.len() >= 20 {
            return;
        }
        it.sent += 1;
        let (serial, text) = (it.sent, format!("{client}/{}", it.sent));
        it.unacked.push_back((serial, text.clone()));
        if it.welcome && !it.begins {
            self.message(client, serial, &text);
        }
    }

    fn message(&mut self, client: usize, serial: u64, text: &str) {
        if self.may_send(client) {
            let (serial, channel) = (Some(serial), Some(lobby()));
            self.say(client, &ClientFrame::Message { serial, channel, payload: text.into() });
        } else if self.clients[client].link.is_some() {
            // The node does not read: the message is lost with the link, which is one more way to
            // lose a link.
            self.hang_up(client, true);
        }
    }

    fn hang_up(&mut self, client: usize, told: bool) {
        let Some((_, id)) = self.clients[client].link.take() else { return };
        self.clients[client].welcome = false;
        if told {
            self.cluster.hang_up(id, 1006);
        } else {
            self.lost.push(id);
        }
    }

    fn read(&mut self, client: usize, most: usize) {
        for _ in 0..most {
            let Some((_, id)) = self.clients[client].link else { return };
            if self.cluster.read(id, 1) == 0 {
                return self.begin(client);
            }
            for frame in self.cluster.take(id) {
                self.take(client, frame);
            }
        }
    }

    /// Sends unacknowledged messages again, after everything that came with the welcome is read:
    /// before that, the node may not read.
    fn begin(&mut self, client: usize) {
        let it = &mut self.clients[client];
        if !std::mem::take(&mut it.begins) {
            return;
        }
        let again: Vec<_> = it.unacked.iter().cloned().collect();
        let since = it.place;
        self.say(
            client,
            &ClientFrame::Subscribe { channel: lobby(), since, token: None, presence: None },
        );
        for (serial, text) in again {
            self.message(client, serial, &text);
        }
    }

    fn take(&mut self, client: usize, frame: ServerFrame) {
        let it = &mut self.clients[client];
        match frame {
            ServerFrame::Welcome(Welcome { session, resumed, received, position, .. }) => {
                assert!(!it.welcome, "one welcome");
                if let Some(resume) = &it.resume {
                    assert!(resumed && resume.session == session, "the session goes on");
                    assert_eq!(position, resume.position, "and so does its stream");
                }
                assert!(received >= it.acked, "what was acknowledged is received");
                it.resume = Some(Resume { session, position });
                it.welcome = true;
                acknowledge(it, received);
                it.begins = true;
            }
            ServerFrame::Ack { serial } => acknowledge(it, serial),
            ServerFrame::Publication { channel: None, offset, payload } => {
                let place = &mut it.resume.as_mut().expect("a session").position;
                assert_eq!(offset, place.offset + 1, "its own stream has no hole");
                place.offset = offset;
                it.own.push(payload.as_text().expect("text").to_owned());
                it.publications += 1;
            }
            ServerFrame::Publication { channel: Some(_), offset, payload } => {
                let place = it.place.as_mut().expect("subscribed");
                assert_eq!(offset, place.offset + 1, "the lobby has no hole");
                place.offset = offset;
                it.seen.push(payload.as_text().expect("text").to_owned());
                it.publications += 1;
            }
            ServerFrame::Subscribed { position, recovered, .. } => {
                assert!(recovered, "nothing was thrown away");
                assert!(it.place.is_none_or(|place| place == position), "from where it was");
                if it.place.is_none() {
                    it.seen = vec![String::new(); usize::try_from(position.offset).expect("small")];
                }
                it.place = Some(position);
            }
            ServerFrame::HeartbeatAck { sent, .. } => {
                assert_eq!(sent, it.publications, "no tail is lost")
            }
            ServerFrame::Error(_) => {}
            other => panic!("not expected: {other:?}"),
        }
    }

    /// Ends one of the waiting tasks. Returns false if no task waits.
    fn finish(&mut self, kind: TaskKind, which: usize, outcome: Outcome) -> bool {
        let Some(task) = self.cluster.take_task(kind, which) else { return false };
        self.cluster.perform(task, outcome);
        self.hang_up_closed();
        true
    }

    /// Takes the store events that wait for a node.
    fn events_for(&mut self, node: usize, most: usize) -> Vec<Task> {
        let held = std::mem::take(&mut self.cluster.env.held);
        let mut taken = Vec::new();
        for task in held {
            let is_meant = task.node == node && task.kind() == TaskKind::StoreEvent;
            if is_meant && taken.len() < most {
                taken.push(task);
            } else {
                self.cluster.env.held.push_back(task);
            }
        }
        taken
    }

    fn hear_store(&mut self, node: usize, most: usize) {
        for task in self.events_for(node, most) {
            self.cluster.perform(task, Outcome::Done);
        }
        self.hang_up_closed();
    }

    fn pass(&mut self, time: Duration) {
        self.cluster.suspend(time);
        for client in 0..CLIENTS {
            if let Some((node, id)) = self.clients[client].link {
                self.give(node, NodeInput::Alive { id });
            }
        }
        for node in 0..NODES {
            self.give(node, NodeInput::Timeout);
        }
        self.hang_up_closed();
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Send { client } => self.send(client),
            Step::HangUp { client, told } => self.hang_up(client, told),
            Step::Connect { client, node } => self.connect(client, node),
            Step::Store { which, how } => {
                let outcome = match how {
                    0 => Outcome::Fails,
                    1 => Outcome::ResultLost,
                    _ => Outcome::Done,
                };
                self.finish(TaskKind::Store, which, outcome);
            }
            Step::Handle { which } => {
                self.finish(TaskKind::Handle, which, Outcome::Done);
            }
            Step::Read { client, most } => self.read(client, most),
            Step::LoseNews { node } => drop(self.events_for(node, usize::MAX)),
            Step::Doubt { node } => self.give(node, NodeInput::StoreEvent(StoreEvent::Lagged)),
            Step::StoreEvent { node, most } => self.hear_store(node, most),
            Step::HeartbeatAction { client } => {
                let sent = if self.clients[client].begins { 0 } else { self.clients[client].sent };
                if self.may_send(client) && self.clients[client].welcome {
                    self.say(client, &ClientFrame::Heartbeat { nonce: 1, sent });
                }
            }
            Step::Pass { millis } => self.pass(Duration::from_millis(millis)),
        }
    }

    /// No more faults: everything is carried out until all clients are done.
    fn calm(&mut self) {
        for node in 0..NODES {
            self.give(node, NodeInput::StoreEvent(StoreEvent::Lagged));
        }
        for _ in 0..400 {
            for client in 0..CLIENTS {
                self.connect(client, client % NODES);
                self.read(client, usize::MAX);
            }
            self.work();
            self.pass(secs(1));
            let done = |client: &Client| {
                client.link.is_some() && client.welcome && client.unacked.is_empty()
            };
            if self.clients.iter().all(done) && self.cluster.env.waiting(TaskKind::Store) == 0 {
                break;
            }
        }
        for _ in 0..20 {
            for client in 0..CLIENTS {
                self.read(client, usize::MAX);
            }
            self.work();
        }
    }

    fn work(&mut self) {
        while self.finish(TaskKind::Store, 0, Outcome::Done)
            || self.finish(TaskKind::Handle, 0, Outcome::Done)
        {}
        for node in 0..NODES {
            self.hear_store(node, usize::MAX);
        }
    }

    fn lobby(&mut self) -> Vec<String> {
        let stream = Stream::Channel(lobby());
        let top = self.cluster.top(&stream).expect("the lobby");
        let after = Some(Position { offset: 0, ..top });
        let all = StoreRequest::Read { stream, after, limit: usize::MAX, by: None };
        let StoreResponse::Read { missed, .. } = self.cluster.ask_store(all) else {
            panic!("not what was asked")
        };
        let text = |message: &Message| message.as_text().expect("text").to_owned();
        missed.expect("all of it").iter().map(|publication| text(&publication.message)).collect()
    }
}

/// Publishes each message in the lobby, and returns it to its sender.
fn twice(session: &SessionId, _: Option<Channel>, message: Message) -> Handled {
    let lobby = (Stream::Channel(lobby()), message.clone());
    Ok(vec![lobby, (Stream::Session(session.clone()), message)])
}

fn acknowledge(client: &mut Client, serial: u64) {
    client.acked = client.acked.max(serial);
    while client.unacked.front().is_some_and(|(first, _)| *first <= serial) {
        client.unacked.pop_front();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]
    #[test]
    fn i26_whatever_fails_each_message_is_published_once_in_order_and_seen_by_all(steps in vec(step(), 1..300)) {
        let mut judge = DeliveryJudge::new();
        for step in steps {
            judge.step(step);
        }
        judge.calm();
        let lobby = judge.lobby();
        for (number, client) in judge.clients.iter().enumerate() {
            prop_assert!(client.unacked.is_empty(), "client {number} waits for acks");
            let theirs: Vec<_> = lobby.iter().filter(|text| text.starts_with(&format!("{number}/"))).cloned().collect();
            let sent: Vec<_> = (1..=client.sent).map(|serial| format!("{number}/{serial}")).collect();
            prop_assert_eq!(&theirs, &sent, "each once, in order");
            prop_assert_eq!(&client.own, &sent, "and each told to its sender");
            prop_assert_eq!(client.seen.len(), lobby.len(), "all of it was seen");
            for (seen, published) in client.seen.iter().zip(&lobby) {
                prop_assert!(seen.is_empty() || seen == published);
            }
        }
    }
}
