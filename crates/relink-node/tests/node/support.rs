//! What the tests share: a cluster whose application knows a few words, and short forms for it.

use rand_pcg::Pcg32;
use relink::rand_core::SeedableRng;
use relink::session::{Problem, Secret};
use relink::{Channel, CloseCode, CloseFrame, Message, Position, SessionId};
use relink_node::{ConnectionId, NodeConfig, StoreRequest, StoreRequestId, Stream};
use relink_sim::cluster::{Handled, TaskDetail, TaskKind};
use relink_v1::Welcome;

pub(crate) use relink_sim::{Cluster, millis, secs};

pub(crate) fn dice(seed: u64) -> Pcg32 {
    Pcg32::seed_from_u64(seed)
}

pub(crate) fn lobby() -> Channel {
    Channel::from("lobby")
}

pub(crate) fn nodes(nodes: usize) -> Cluster {
    nodes_with(nodes, NodeConfig::default())
}

pub(crate) fn nodes_with(nodes: usize, config: NodeConfig) -> Cluster {
    let mut cluster = Cluster::new(nodes, config);
    cluster.env.identify = identify;
    cluster.env.application = apply;
    cluster.env.forbidden.insert(Channel::from("secret"));
    cluster.advance(secs(1000));
    cluster
}

/// A token is the name of its user, except for a few that are not valid.
fn identify(token: Option<&Secret>) -> Result<String, CloseFrame> {
    match token.map(Secret::expose) {
        None | Some("forged") => Err(CloseFrame::new(CloseCode::INVALID_TOKEN, "no valid token")),
        Some("old") => Err(CloseFrame::new(CloseCode::TOKEN_EXPIRED, "expired")),
        Some(user) => Ok(user.to_owned()),
    }
}

/// Echoes to the channel, sends `me …` to the session itself, refuses `refuse …`.
fn apply(session: &SessionId, channel: Option<Channel>, message: Message) -> Handled {
    let text = message.as_text().unwrap_or_default().to_owned();
    match (text.split(' ').next(), channel) {
        (Some("refuse"), _) => Err(Problem::new(Problem::NOT_HANDLED, text.as_str())),
        (Some("me"), _) => Ok(vec![(Stream::Session(session.clone()), message)]),
        (_, Some(channel)) => Ok(vec![(Stream::Channel(channel), message)]),
        (_, None) => Ok(Vec::new()),
    }
}

/// Why a resume was refused.
pub(crate) fn refusal(welcome: &Welcome) -> Option<&str> {
    welcome.refused.as_ref().map(|problem| &*problem.name)
}

/// Short forms for what most tests do.
pub(crate) trait Short {
    /// Sends a message to the lobby.
    fn send(&mut self, id: ConnectionId, serial: u64, text: &str);
    /// The application publishes in the lobby.
    fn announce(&mut self, node: usize, text: &str);
    /// Answers the oldest request to authorize a subscription.
    fn authorize_next(&mut self);
    fn authorizing(&self) -> usize;
    /// The oldest request that waits for the store.
    fn next_request(&mut self) -> Option<(usize, StoreRequestId, StoreRequest)>;
}

impl Short for Cluster {
    fn send(&mut self, id: ConnectionId, serial: u64, text: &str) {
        self.message(id, Some(serial), Some(lobby()), text);
    }

    fn announce(&mut self, node: usize, text: &str) {
        self.publish(node, &lobby(), text);
    }

    fn authorize_next(&mut self) {
        let task = self.take_task(TaskKind::Authorize, 0).expect("a question");
        self.perform(task, relink_sim::cluster::Outcome::Done);
    }

    fn authorizing(&self) -> usize {
        self.env.waiting(TaskKind::Authorize)
    }

    fn next_request(&mut self) -> Option<(usize, StoreRequestId, StoreRequest)> {
        let task = self.take_task(TaskKind::Store, 0)?;
        let TaskDetail::Store { id, request, .. } = task.detail else { unreachable!() };
        Some((task.node, id, request))
    }
}

pub(crate) fn commits(requests: &[StoreRequest]) -> Vec<u64> {
    let serial = |request: &StoreRequest| match request {
        StoreRequest::Commit { serial, .. } => Some(*serial),
        _ => None,
    };
    requests.iter().filter_map(serial).collect()
}

pub(crate) fn top(cluster: &mut Cluster, channel: &Channel) -> Position {
    cluster.top(&Stream::Channel(channel.clone())).expect("the store has it")
}
