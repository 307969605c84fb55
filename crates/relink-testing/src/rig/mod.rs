//! A link under test on real sockets, and waiting for what happens to it.
//!
//! A [`Rig`] is a client on a runtime of yours, with functions that wait for the next event of a
//! kind. They never sleep: they return when it happens, and panic with everything that happened
//! instead if it does not happen in time. Together with a scripted [`Server`](crate::Server) on a
//! free port it shows what a configuration does on a bad day:
//!
//! ```
//! use std::time::Duration;
//!
//! use relink_testing::rig::Rig;
//! use relink_testing::{AfterLast, Connection, Script, Server};
//! # use my_driver::MyRuntime;
//!
//! // The server is full; then it has room.
//! async fn a_full_server_is_left_alone_for_a_minute(runtime: MyRuntime) {
//!     let full = Connection::new().close(4010, "full");
//!     let script = Script::new().connection(full).then(AfterLast::Echo);
//!     let server = Server::spawn_thread(script).expect("a free port");
//!     let mut rig = Rig::spawn(runtime, &server.url(), |builder| builder);
//!
//!     rig.connected().await;
//!     let lost = rig.disconnected().await;
//!     assert_eq!(lost.code, Some(4010));
//!     assert!(lost.retry_in() >= Duration::from_secs(30));
//!     rig.client.retry_now(); // nobody sleeps in a test
//!     rig.connected().await;
//!     rig.send("hello").await;
//!     assert_eq!(rig.text().await, "hello");
//! }
//! # mod my_driver {
//! #     use relink_driver::{Runtime, Sleep, StdClock, relink::Instant};
//! #     use std::{io, net::SocketAddr, task::{Context, Poll}};
//! #     #[derive(Clone)]
//! #     pub struct MyRuntime(StdClock);
//! #     pub struct Never;
//! #     impl Sleep for Never {
//! #         fn poll_until(&mut self, _: Instant, _: &mut Context<'_>) -> Poll<()> { Poll::Pending }
//! #     }
//! #     impl Runtime for MyRuntime {
//! #         type Tcp = futures_util::io::Cursor<Vec<u8>>;
//! #         type Sleep = Never;
//! #         fn now(&self) -> Instant { self.0.now() }
//! #         fn sleep(&self) -> Never { Never }
//! #         fn lookup(&self, _: String, _: u16)
//! #             -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static { std::future::pending() }
//! #         fn connect(&self, _: SocketAddr)
//! #             -> impl Future<Output = io::Result<Self::Tcp>> + Send + 'static { std::future::pending() }
//! #         fn spawn(&self, _: impl Future<Output = ()> + Send + 'static) {}
//! #     }
//! # }
//! ```
//!
//! The runtime of tokio is `relink_tokio::Tokio`, that of async-std `relink_async_std::AsyncStd`.

#![allow(clippy::missing_panics_doc, reason = "a wait in vain panics")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a wait picks the events that it is about")]

mod observed;

use std::fmt;
use std::time::Duration;

use relink_driver::{
    Builder, Client, Events, Runtime,
    relink::{ClosedReason, Event, Message, Reason},
};

pub use observed::{Observed, ObservedSleep, ObservedSocket};

/// Far more than anything takes on loopback.
pub const LONG: Duration = Duration::from_secs(10);
/// How many of the last events are shown.
const SHOWN: usize = 40;

/// A client under test; see the [module](self). Its waits skip events that they are not about.
pub struct Rig<Rt: Runtime> {
    /// The handle of the link.
    pub client: Client,
    /// The runtime that the link runs on, observed.
    pub rt: Observed<Rt>,
    /// How long a wait may last; [`LONG`] at first.
    pub limit: Duration,
    /// What the link tells, to be taken without a wait.
    pub events: Events,
    heard: Vec<Event>,
}

/// A reported loss, or failed attempt.
#[derive(Debug)]
#[non_exhaustive]
pub struct Lost {
    /// The code, if a link was lost.
    pub code: Option<u16>,
    /// The number of the attempt, if one failed.
    pub attempt: Option<u32>,
    /// Why.
    pub reason: Reason,
    /// What the server or the system said.
    pub detail: String,
    /// The delay before the next attempt, if there is one.
    pub retry_in: Option<Duration>,
}

impl Lost {
    /// The delay before the next attempt, of which there must be one.
    pub fn retry_in(&self) -> Duration {
        self.retry_in.unwrap_or_else(|| panic!("it gave up: {self:?}"))
    }

    /// Asserts that the next attempt is this far away; a spread beyond it is allowed.
    pub fn assert_retry_in(&self, least: Duration, most: Duration) {
        assert!(
            (least..=most).contains(&self.retry_in()),
            "not in {least:?} to {most:?}: {self:?}"
        );
    }
}

impl<Rt: Runtime> Rig<Rt> {
    /// Spawns a link to this address with the defaults, but for what is changed in its builder.
    pub fn spawn(
        rt: Rt,
        url: &str,
        change: impl FnOnce(Builder<Observed<Rt>>) -> Builder<Observed<Rt>>,
    ) -> Self {
        let rt = Observed::new(rt);
        Self::with(rt.clone(), change(Builder::new(rt, url)))
    }

    pub(crate) fn with(rt: Observed<Rt>, builder: Builder<Observed<Rt>>) -> Self {
        let (client, events) = builder.spawn().expect("a link");
        Self { client, rt, limit: LONG, events, heard: Vec::new() }
    }

    /// Takes the next event.
    pub async fn next(&mut self) -> Event {
        match self.rt.within(self.limit, self.events.recv()).await {
            Some(Some(event)) => {
                self.heard.push(event.clone());
                event
            }
            Some(None) => panic!("the events ended after {:#?}", self.latest()),
            None => panic!("nothing came after {:#?}", self.latest()),
        }
    }

    /// Skips events up to the one that is picked.
    pub async fn until<T>(&mut self, pick: impl Fn(Event) -> Option<T>) -> T {
        let deadline = self.rt.now() + self.limit;
        loop {
            if let Some(picked) = pick(self.next().await) {
                return picked;
            }
            assert!(self.rt.now() < deadline, "it never came among {:#?}", self.latest());
        }
    }

    /// Waits until the link is usable; returns true if it was before.
    pub async fn connected(&mut self) -> bool {
        self.until(|event| {
            if let Event::Connected { is_reconnect } = event { Some(is_reconnect) } else { None }
        })
        .await
    }

    /// Waits for a loss. An attempt that fails before it is a mistake.
    pub async fn disconnected(&mut self) -> Lost {
        self.until(|event| match event {
            Event::Disconnected { code, detail, reason, retry_in } => {
                Some(Lost { code: Some(code.0), attempt: None, reason, detail, retry_in })
            }
            Event::AttemptFailed { .. } => panic!("an attempt failed instead: {event:?}"),
            _ => None,
        })
        .await
    }

    /// Waits for an attempt that fails. A connection before it is a mistake.
    pub async fn attempt_failed(&mut self) -> Lost {
        self.until(|event| match event {
            Event::AttemptFailed { attempt, reason, detail, retry_in } => {
                Some(Lost { code: None, attempt: Some(attempt), reason, detail, retry_in })
            }
            Event::Connected { .. } => panic!("the attempt did not fail"),
            _ => None,
        })
        .await
    }

    /// Waits for the end, which must be the last event.
    pub async fn closed(&mut self) -> ClosedReason {
        let reason = self
            .until(|event| if let Event::Closed { reason } = event { Some(reason) } else { None })
            .await;
        let more = self.rt.soon(self.events.recv()).await;
        assert_eq!(more, None, "the end must be the last event");
        reason
    }

    /// Waits for a message to this client.
    pub async fn message(&mut self) -> Message {
        self.until(|event| if let Event::Message(message) = event { Some(message) } else { None })
            .await
    }

    /// The same, for a text.
    pub async fn text(&mut self) -> String {
        self.message().await.as_text().expect("a text message").to_owned()
    }

    /// Waits until a channel is subscribed to; returns true if nothing was missed.
    pub async fn subscribed(&mut self) -> bool {
        self.until(|event| {
            if let Event::Subscribed { complete, .. } = event { Some(complete) } else { None }
        })
        .await
    }

    /// Waits until a publication is one that is looked for.
    pub async fn publication(&mut self, is_it: impl Fn(&Message) -> bool) {
        self.until(|event| match event {
            Event::Publication { message, .. } => is_it(&message).then_some(()),
            _ => None,
        })
        .await;
    }

    fn latest(&self) -> &[Event] {
        &self.heard[self.heard.len().saturating_sub(SHOWN)..]
    }

    /// Everything that was taken so far.
    pub fn heard(&self) -> &[Event] {
        &self.heard
    }

    /// Sends a text, for which there must be room.
    pub async fn send(&self, text: &str) {
        self.rt.soon(self.client.send(text)).await.expect("the message is taken");
    }
}

impl<Rt: Runtime> fmt::Debug for Rig<Rt> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rig").field("heard", &self.latest()).finish_non_exhaustive()
    }
}
