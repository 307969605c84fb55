//! The node behind its lock, with its connections, store and application.

mod mailbox;
mod store_task;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use rand::rngs::StdRng;
use relink::{CloseCode, Instant, Message};
use relink_node::{ConnectionId, Node, NodeAction, NodeEvent, NodeInput, NodeStats};
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
    context::Context,
    handlers::Handlers,
    history::{History, news},
    user::User,
};
pub(crate) use mailbox::Mailbox;
pub(crate) use store_task::StoreTask;

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
    /// Requests to the store.
    for_store: UnboundedSender<StoreTask>,
    runtime: Handle,
    next_id: AtomicU64,
    tasks: Mutex<Vec<AbortHandle>>,
}

struct Core {
    node: Node<StdRng>,
    mailboxes: BTreeMap<ConnectionId, Arc<Mailbox>>,
    /// The permits of connections. A call of the application for a connection holds its permit
    /// until it returns, so that reconnecting does not multiply the calls.
    places: BTreeMap<ConnectionId, Arc<Permit>>,
    deadline: Option<Instant>,
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
        let hub = Arc::new(Self {
            config,
            handlers,
            admission: Arc::new(Admission::new(config.admission, clock)),
            events: broadcast::Sender::new(EVENTS),
            phase: watch::Sender::new(Phase::Serving),
            core: Mutex::new(Core {
                node,
                mailboxes: BTreeMap::new(),
                places: BTreeMap::new(),
                deadline: None,
            }),
            clock,
            earlier: Arc::default(),
            for_store,
            runtime,
            next_id: AtomicU64::new(1),
            tasks: Mutex::default(),
        });
        let watch = {
            let _runtime = hub.runtime.enter();
            history.listen(sender)
        };
        let tasks = [
            hub.runtime.spawn(keep_time(Arc::downgrade(&hub), Arc::clone(&hub.earlier), hub.clock)),
            hub.runtime.spawn(store_task::run(Arc::downgrade(&hub), inbox, history, watch)),
            hub.runtime.spawn(store_task::hear(Arc::downgrade(&hub), heard)),
        ];
        let tasks = tasks.map(|task| task.abort_handle()).into();
        *hub.tasks.lock().unwrap_or_else(PoisonError::into_inner) = tasks;
        hub
    }

    /// Passes one input to the node, and carries out its actions. No code of the application runs
    /// in here.
    pub(crate) fn drive(self: &Arc<Self>, input: NodeInput) {
        let mut core = self.lock();
        core.node.handle(input, self.clock.now());
        self.act(&mut core);
    }

    /// Passes a message from a connection. Returns true if another one may be read.
    pub(crate) fn receive(self: &Arc<Self>, id: ConnectionId, message: Message) -> bool {
        let mut core = self.lock();
        core.node.handle(NodeInput::Message { id, message }, self.clock.now());
        self.act(&mut core);
        core.node.may_read(id)
    }

    pub(crate) fn may_read(&self, id: ConnectionId) -> bool {
        self.lock().node.may_read(id)
    }

    /// The next message to write on a connection whose socket has room.
    pub(crate) fn transmit(self: &Arc<Self>, id: ConnectionId) -> Option<Message> {
        let mut core = self.lock();
        let message = core.node.poll_transmit(id);
        // Room in a queue may be filled from the store.
        self.act(&mut core);
        message
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
        let after = user.as_ref().and_then(User::expires_in);
        let user = user.map(|user| user.as_str().to_owned());
        core.node.handle(NodeInput::Opened { id, user }, self.clock.now());
        core.node.handle(NodeInput::TokenEnds { id, after }, self.clock.now());
        self.act(&mut core);
        (id, wire)
    }

    /// Removes a connection.
    pub(crate) fn close(self: &Arc<Self>, id: ConnectionId, code: CloseCode) {
        let mut core = self.lock();
        core.mailboxes.remove(&id);
        core.node.handle(NodeInput::Closed { id, code }, self.clock.now());
        self.act(&mut core);
    }

    pub(crate) fn stats(&self) -> NodeStats {
        self.lock().node.stats()
    }

    /// Carries out the node's actions, in order; none of them blocks.
    fn act(self: &Arc<Self>, core: &mut Core) {
        while let Some(action) = core.node.poll_action() {
            self.perform(action, core);
        }
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

    fn perform(self: &Arc<Self>, action: NodeAction, core: &mut Core) {
        let Core { mailboxes, places, .. } = core;
        match action {
            NodeAction::Ready { id } => mailboxes.get(&id).into_iter().for_each(|wire| wire.wake()),
            NodeAction::Close { id, frame } => {
                mailboxes.get(&id).into_iter().for_each(|wire| wire.close(frame.clone()));
            }
            NodeAction::Ask { question, what } => self.run_errand(StoreTask::Ask(question, what)),
            NodeAction::Watch { stream } => self.run_errand(StoreTask::Watch(stream)),
            NodeAction::Unwatch { stream } => self.run_errand(StoreTask::Unwatch(stream)),
            NodeAction::Identify { id, token } => self.spawn(places.get(&id), async move |hub| {
                let result = hub.handlers.identify(token).await;
                if let Ok(user) = &result {
                    hub.drive(NodeInput::TokenEnds { id, after: user.expires_in() });
                }
                let result = result.map(|user| user.as_str().to_owned());
                NodeInput::Identified { id, result }
            }),
            NodeAction::Authorize { request, id, user, channel, token } => {
                self.spawn(places.get(&id), async move |hub| {
                    let result = hub.handlers.may_have(User::new(user), channel, token).await;
                    NodeInput::Authorized { request, result }
                })
            }
            NodeAction::Handle { handling, id, user, session, serial, channel, message } => {
                let context = Context::new(User::new(user), session, serial, channel);
                let place = id.and_then(|id| places.get(&id));
                self.spawn(place, async move |hub| {
                    let result = hub.handlers.take(context, message).await;
                    NodeInput::Handled { handling, result }
                });
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
    }

    fn run_errand(&self, task: StoreTask) {
        // The other end lives as long as this.
        _ = self.for_store.send(task);
    }

    /// Calls the application, in a new task that holds the connection's permit.
    fn spawn<F>(
        self: &Arc<Self>,
        place: Option<&Arc<Permit>>,
        ask: impl FnOnce(Arc<Self>) -> F + Send + 'static,
    ) where
        F: Future<Output = NodeInput> + Send,
    {
        let (hub, place) = (Arc::clone(self), place.cloned());
        self.runtime.spawn(async move {
            let answer = ask(Arc::clone(&hub)).await;
            hub.drive(answer);
            drop(place);
        });
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
