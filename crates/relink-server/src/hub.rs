//! The node behind its lock, with its connections, store and application.

mod calls;
mod mailbox;
mod store_task;

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasherDefault, Hasher},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use rand::rngs::StdRng;
use relink::session::Member;
use relink::{Channel, CloseCode, Instant, Message, SessionId};
use relink_node::{
    ConnectionId, Node, NodeAction, NodeEvent, NodeInput, NodeStats, StoreRequest, StoreRequestId,
    StoreResponse,
};
use tokio::{
    runtime::Handle,
    sync::{Notify, broadcast, mpsc::UnboundedSender, watch},
    task::AbortHandle,
    time::sleep_until,
};

use crate::{
    admission::{Admission, Permit},
    clock::Clock,
    config::ServerConfig,
    handlers::Handlers,
    history::{History, HistoryError, Watch, news},
    user::User,
};
use calls::Call;
pub(crate) use mailbox::Mailbox;

/// The maximum number of events that wait for each receiver.
const EVENTS: usize = 1024;

/// The phase of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Serving,
    Draining,
    Drained,
}

/// Waits until a server has reached this phase.
pub(crate) async fn reached(phase: &mut watch::Receiver<Phase>, so_far: Phase) {
    // Fails only if the hub is gone, and the caller holds one.
    _ = phase.wait_for(|phase| *phase >= so_far).await;
}

/// One node: its state machine, connections, store and application.
pub(crate) struct Hub {
    pub(crate) config: ServerConfig,
    pub(crate) handlers: Handlers,
    pub(crate) admission: Arc<Admission>,
    pub(crate) events: broadcast::Sender<NodeEvent>,
    pub(crate) phase: watch::Sender<Phase>,
    core: Mutex<Core>,
    clock: Clock,
    /// Wakes the timer when there is an earlier deadline.
    earlier: Arc<Notify>,
    history: Arc<dyn History>,
    watch: Arc<dyn Watch>,
    /// Requests that the store does not answer at once.
    for_store: UnboundedSender<(StoreRequestId, StoreRequest)>,
    runtime: Handle,
    next_id: AtomicU64,
    tasks: Mutex<Vec<AbortHandle>>,
}

/// Looked up for every message and never walked through.
type ByConnection<T> = HashMap<ConnectionId, T, BuildHasherDefault<Spread>>;

/// Spreads the numbers of connections, which are our own: nobody can choose them to collide.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        // The golden ratio: the highest bits and the lowest ones count.
        let spread = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = spread ^ spread >> 32;
    }
}

struct Core {
    node: Node<StdRng>,
    mailboxes: ByConnection<Arc<Mailbox>>,
    /// The permits of connections. A call of the application for a connection holds its permit
    /// until it returns, so that reconnecting does not multiply the calls.
    places: ByConnection<Arc<Permit>>,
    deadline: Option<Instant>,
}

/// One use of the node.
struct Turn {
    clock: Clock,
    /// The time, for all of it, once it is needed: without an input or an action, no deadline
    /// changes.
    now: Option<Instant>,
    /// The connection that takes its output at the end.
    caller: Option<ConnectionId>,
}

impl Turn {
    fn now(&mut self) -> Instant {
        *self.now.get_or_insert_with(|| self.clock.now())
    }
}

/// What a connection learns when it passes on what it has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exchanged {
    /// There may be more to write.
    pub(crate) may_have_more: bool,
    /// It may be read; if not, its mailbox is woken when it may.
    pub(crate) may_read: bool,
}

impl Hub {
    pub(crate) fn start(
        node: Node<StdRng>,
        config: ServerConfig,
        handlers: Handlers,
        history: Arc<dyn History>,
        runtime: Handle,
    ) -> Arc<Self> {
        let (for_store, inbox) = tokio::sync::mpsc::unbounded_channel();
        let (sender, heard) = news();
        let clock = Clock::new();
        let watch = {
            let _runtime = runtime.enter();
            history.listen(sender)
        };
        let hub = Arc::new(Self {
            config,
            handlers,
            admission: Arc::new(Admission::new(config.admission, clock)),
            events: broadcast::Sender::new(EVENTS),
            phase: watch::Sender::new(Phase::Serving),
            core: Mutex::new(Core {
                node,
                mailboxes: ByConnection::default(),
                places: ByConnection::default(),
                deadline: None,
            }),
            clock,
            earlier: Arc::default(),
            history,
            watch,
            for_store,
            runtime,
            next_id: AtomicU64::new(1),
            tasks: Mutex::default(),
        });
        let tasks = [
            hub.runtime.spawn(keep_time(Arc::downgrade(&hub), Arc::clone(&hub.earlier), hub.clock)),
            hub.runtime.spawn(store_task::run(
                Arc::downgrade(&hub),
                inbox,
                Arc::clone(&hub.history),
            )),
            hub.runtime.spawn(store_task::hear(Arc::downgrade(&hub), heard)),
        ];
        // Ends with the sender of the events.
        #[cfg(feature = "tracing")]
        hub.runtime.spawn(crate::trace::tell(hub.events.subscribe()));
        let tasks = tasks.map(|task| task.abort_handle()).into();
        *hub.tasks.lock().unwrap_or_else(PoisonError::into_inner) = tasks;
        hub
    }

    /// Passes one input to the node.
    pub(crate) fn drive(self: &Arc<Self>, input: NodeInput) {
        self.drive_all([input]);
    }

    /// The same for several at once.
    pub(crate) fn drive_all(self: &Arc<Self>, inputs: impl IntoIterator<Item = NodeInput>) {
        let handle = |node: &mut Node<_>, turn: &mut Turn| {
            inputs.into_iter().for_each(|input| node.handle(input, turn.now()));
        };
        self.with(None, handle, |_| ());
    }

    /// Passes messages of a connection to the node, as long as it may be read; then passes what
    /// there is to write on it to `write`, until that returns false.
    pub(crate) fn exchange(
        self: &Arc<Self>,
        id: ConnectionId,
        mut arrived: Option<&mut VecDeque<Message>>,
        write: Option<impl FnMut(Message) -> bool>,
    ) -> Exchanged {
        let handle = |node: &mut Node<_>, turn: &mut Turn| {
            let Some(arrived) = &mut arrived else { return };
            while !arrived.is_empty() && node.may_read(id) {
                let Some(message) = arrived.pop_front() else { break };
                node.handle(NodeInput::Message { id, message }, turn.now());
            }
        };
        self.with(Some(id), handle, |node| Exchanged {
            may_have_more: write.is_none_or(|write| node.transmit(id, write)),
            may_read: node.may_read(id),
        })
    }

    /// Registers a connection.
    pub(crate) fn open(
        self: &Arc<Self>,
        user: Option<User>,
        place: Arc<Permit>,
    ) -> (ConnectionId, Arc<Mailbox>) {
        let id = ConnectionId(self.next_id.fetch_add(1, Ordering::Relaxed));
        let wire = Arc::<Mailbox>::default();
        let mut core = self.lock();
        core.mailboxes.insert(id, Arc::clone(&wire));
        core.places.insert(id, place);
        drop(core);
        let after = user.as_ref().and_then(User::expires_in);
        let user = user.map(|user| user.as_str().to_owned());
        self.drive_all([NodeInput::Opened { id, user }, NodeInput::TokenEnds { id, after }]);
        (id, wire)
    }

    /// Removes a connection.
    pub(crate) fn close(self: &Arc<Self>, id: ConnectionId, code: CloseCode) {
        self.lock().mailboxes.remove(&id);
        self.drive(NodeInput::Closed { id, code });
    }

    pub(crate) fn sessions(&self, user: &str) -> Vec<SessionId> {
        self.lock().node.sessions(user)
    }

    /// The members of a channel, as the store knows them.
    pub(crate) async fn members(&self, channel: Channel) -> Result<Vec<Member>, HistoryError> {
        let answer = match self.history.answer_now(StoreRequest::Members { channel }) {
            Ok(answer) => answer,
            Err(request) => self.history.answer(request).await?,
        };
        // No other answer belongs to the question.
        Ok(if let StoreResponse::Members(members) = answer { members } else { Vec::new() })
    }

    pub(crate) fn stats(&self) -> NodeStats {
        self.lock().node.stats()
    }

    /// Passes inputs to the node under its lock, and carries out its actions, for which the time
    /// stands still; calls of the application begin without the lock, and those that end at once
    /// are inputs, too. When nothing is left to do, takes the output, for which `caller` need not
    /// be woken.
    fn with<T>(
        self: &Arc<Self>,
        caller: Option<ConnectionId>,
        input: impl FnOnce(&mut Node<StdRng>, &mut Turn),
        output: impl FnOnce(&mut Node<StdRng>) -> T,
    ) -> T {
        let mut turn = Turn { clock: self.clock, now: None, caller };
        let mut core = self.lock();
        input(&mut core.node, &mut turn);
        core = self.act(core, &mut turn);
        let taken = output(&mut core.node);
        // Room in a queue may be filled from the store.
        turn.caller = None;
        core = self.act(core, &mut turn);
        if turn.now.is_some() {
            self.wake_earlier(&mut core);
        }
        taken
    }

    /// Carries out the node's actions, in order; none of them blocks.
    fn act<'a>(
        self: &'a Arc<Self>,
        mut core: MutexGuard<'a, Core>,
        turn: &mut Turn,
    ) -> MutexGuard<'a, Core> {
        let mut runtime = None;
        while let Some(action) = core.node.poll_action() {
            let Some(call) = self.perform(action, &mut core, turn) else { continue };
            drop(core);
            runtime.get_or_insert_with(|| self.runtime.enter());
            let result = self.begin(call);
            core = self.lock();
            result.into_iter().for_each(|result| core.node.handle(result, turn.now()));
        }
        core
    }

    fn wake_earlier(&self, core: &mut Core) {
        let deadline = core.node.poll_timeout();
        let is_earlier = match (deadline, core.deadline) {
            (Some(new), Some(old)) => new < old,
            (new, old) => new.is_some() && old.is_none(),
        };
        if is_earlier {
            core.deadline = deadline;
            self.earlier.notify_one();
        }
    }

    /// Carries out one action. Returns the call of the application, if it is one.
    fn perform(
        self: &Arc<Self>,
        action: NodeAction,
        core: &mut Core,
        turn: &mut Turn,
    ) -> Option<Call> {
        let now = turn.now();
        let Core { node, mailboxes, places, .. } = core;
        match action {
            NodeAction::Ready { id } if turn.caller == Some(id) => {}
            NodeAction::Ready { id } => mailboxes.get(&id)?.call(),
            NodeAction::Close { id, frame } => mailboxes.get(&id)?.close(frame),
            NodeAction::Ask { question, what } => match self.history.answer_now(what) {
                Ok(answer) => {
                    node.handle(NodeInput::Answered { question, answer: Ok(answer) }, now);
                }
                // The other end lives as long as this.
                Err(what) => _ = self.for_store.send((question, what)),
            },
            NodeAction::Watch { stream } => self.watch.watch(stream),
            NodeAction::Unwatch { stream } => self.watch.unwatch(&stream),
            NodeAction::Identify { id, .. } | NodeAction::Authorize { id, .. } => {
                return Some(Call { place: places.get(&id).cloned(), what: action });
            }
            NodeAction::Handle { id, .. } => {
                let place = id.and_then(|id| places.get(&id)).cloned();
                return Some(Call { place, what: action });
            }
            NodeAction::Released { id } => _ = places.remove(&id),
            NodeAction::Event(event) => {
                if event == NodeEvent::Drained {
                    self.phase.send_replace(Phase::Drained);
                }
                // Fails if there are no receivers.
                _ = self.events.send(event);
            }
            // Actions of a newer version cannot occur: the crates are released together.
            _ => {}
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        for task in self.tasks.get_mut().unwrap_or_else(PoisonError::into_inner) {
            task.abort();
        }
    }
}

/// Wakes the node at its deadlines.
async fn keep_time(hub: Weak<Hub>, earlier: Arc<Notify>, clock: Clock) {
    loop {
        let Some(deadline) = hub.upgrade().map(|hub| {
            let mut core = hub.lock();
            core.deadline = core.node.poll_timeout();
            core.deadline
        }) else {
            return;
        };
        let due = async {
            match deadline {
                Some(deadline) => sleep_until(clock.at(deadline)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {
                let Some(hub) = hub.upgrade() else { return };
                hub.drive(NodeInput::Timeout);
            }
            () = earlier.notified() => {}
        }
    }
}
