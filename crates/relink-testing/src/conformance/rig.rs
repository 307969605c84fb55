//! What the cases share: a link under test, a server, and waiting for what happens to both.

use std::time::Duration;

use relink_driver::{
    Builder, Client, Events, Runtime,
    relink::{
        Backoff, ClosedReason, Event, LinkConfig, Message, Reason, SessionConfig,
        policy::{BudgetConfig, Curve, Jitter, Rate},
    },
};

use super::watched::Watched;
use crate::{EventKind, Request, Script, Server, ServerEvent};

/// Far more than anything here takes; only a broken driver gets there.
pub(crate) const LONG: Duration = Duration::from_secs(10);
/// How late a timer may be on a busy machine.
pub(crate) const LATE: Duration = Duration::from_millis(700);
/// The delay before every attempt of [`quick`].
pub(crate) const DELAY: Duration = Duration::from_millis(20);

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// The defaults, but for delays that are short and always the same.
pub(crate) fn quick() -> SessionConfig {
    let backoff = Backoff::default()
        .with_curve(Curve::Fixed { delay: DELAY })
        .with_jitter(Jitter::None)
        .with_floor(ms(1))
        .with_first(Some(Duration::ZERO));
    let budget = BudgetConfig::default().with_rate(Rate { burst: 1000, refill: ms(1) });
    SessionConfig::default()
        .with_link(LinkConfig::default().with_backoff(backoff).with_budget(budget))
}

/// [`quick`] with another link inside.
pub(crate) fn quick_link(change: impl FnOnce(LinkConfig) -> LinkConfig) -> SessionConfig {
    let config = quick();
    config.with_link(change(config.link))
}

/// A spawned link under test. It remembers what it told, for the message of a case that fails.
pub(crate) struct Link<Rt: Runtime> {
    pub(crate) rt: Watched<Rt>,
    pub(crate) client: Client,
    pub(crate) events: Events,
    heard: Vec<Event>,
}

/// A loss, or an attempt that failed, as it was told.
#[derive(Debug)]
pub(crate) struct Lost {
    /// Of a loss.
    pub(crate) code: Option<u16>,
    /// Of an attempt.
    pub(crate) attempt: Option<u32>,
    pub(crate) reason: Reason,
    pub(crate) detail: String,
    pub(crate) retry_in: Option<Duration>,
}

impl Lost {
    /// The delay before the next attempt, of which there must be one.
    pub(crate) fn retry_in(&self) -> Duration {
        self.retry_in.unwrap_or_else(|| panic!("it gave up: {self:?}"))
    }

    /// Asserts that the next attempt is this far away; a spread beyond it is allowed.
    pub(crate) fn assert_retry_in(&self, least: Duration, most: Duration) {
        assert!(
            (least..=most).contains(&self.retry_in()),
            "not in {least:?} to {most:?}: {self:?}"
        );
    }
}

/// A scripted server, and a link to it with [`quick`] delays.
pub(crate) fn start<Rt: Runtime>(rt: Rt, script: impl Into<Script>) -> (Server, Link<Rt>) {
    start_with(rt, script, |builder| builder)
}

/// The same with a builder to change.
pub(crate) fn start_with<Rt: Runtime>(
    rt: Rt,
    script: impl Into<Script>,
    change: impl FnOnce(Builder<Watched<Rt>>) -> Builder<Watched<Rt>>,
) -> (Server, Link<Rt>) {
    let server = serve(script);
    let link = Link::spawn(rt, &server.url(), change);
    (server, link)
}

/// The same with a configuration.
pub(crate) fn start_config<Rt: Runtime>(
    rt: Rt,
    script: impl Into<Script>,
    config: SessionConfig,
) -> (Server, Link<Rt>) {
    start_with(rt, script, |builder| builder.config(config))
}

pub(crate) fn serve(script: impl Into<Script>) -> Server {
    Server::spawn_thread(script).expect("a server on loopback")
}

impl<Rt: Runtime> Link<Rt> {
    /// A link with [`quick`] delays.
    pub(crate) fn spawn(
        rt: Rt,
        url: &str,
        change: impl FnOnce(Builder<Watched<Rt>>) -> Builder<Watched<Rt>>,
    ) -> Self {
        let rt = Watched::new(rt);
        let builder = change(Builder::new(rt.clone(), url).config(quick()));
        let (client, events) = builder.spawn().expect("a link");
        Self { rt, client, events, heard: Vec::new() }
    }

    pub(crate) async fn next(&mut self) -> Event {
        match self.rt.within(LONG, self.events.recv()).await {
            Some(Some(event)) => {
                self.heard.push(event.clone());
                event
            }
            Some(None) => panic!("the events ended after {:#?}", self.latest()),
            None => panic!("nothing came after {:#?}", self.latest()),
        }
    }

    /// Skips events up to one that is looked for, and for so long.
    pub(crate) async fn until<T>(&mut self, pick: impl Fn(Event) -> Option<T>) -> T {
        let deadline = self.rt.now() + LONG;
        loop {
            if let Some(picked) = pick(self.next().await) {
                return picked;
            }
            assert!(self.rt.now() < deadline, "it never came among {:#?}", self.latest());
        }
    }

    /// Waits until the link is usable; tells whether it was before.
    pub(crate) async fn connected(&mut self) -> bool {
        self.until(|event| {
            if let Event::Connected { is_reconnect } = event { Some(is_reconnect) } else { None }
        })
        .await
    }

    pub(crate) async fn disconnected(&mut self) -> Lost {
        self.until(|event| match event {
            Event::Disconnected { code, detail, reason, retry_in } => {
                Some(Lost { code: Some(code.0), attempt: None, reason, detail, retry_in })
            }
            Event::AttemptFailed { .. } => panic!("an attempt failed instead: {event:?}"),
            _ => None,
        })
        .await
    }

    pub(crate) async fn attempt_failed(&mut self) -> Lost {
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
    pub(crate) async fn closed(&mut self) -> ClosedReason {
        let reason = self
            .until(|event| if let Event::Closed { reason } = event { Some(reason) } else { None })
            .await;
        let more = self.rt.soon(self.events.recv()).await;
        assert_eq!(more, None, "the end must be the last event");
        reason
    }

    pub(crate) async fn message(&mut self) -> Message {
        self.until(|event| if let Event::Message(message) = event { Some(message) } else { None })
            .await
    }

    pub(crate) async fn text(&mut self) -> String {
        self.message().await.as_text().expect("a text message").to_owned()
    }

    /// As much of what was told as one wants to read.
    fn latest(&self) -> &[Event] {
        &self.heard[self.heard.len().saturating_sub(40)..]
    }

    /// Everything that was told so far.
    pub(crate) fn heard(&self) -> &[Event] {
        &self.heard
    }

    /// Sends a text, for which there must be room.
    pub(crate) async fn send(&self, text: &str) {
        self.rt.soon(self.client.send(text)).await.expect("the message is taken");
    }
}

/// Waits until the server has seen this, and returns the first such event.
pub(crate) async fn saw(server: &Server, what: impl Fn(&ServerEvent) -> bool) -> ServerEvent {
    let events =
        server.wait_for(|events| events.iter().any(&what), LONG).await.expect("seen by the server");
    events.into_iter().find(what).expect("it was there")
}

/// Waits until this text has arrived.
pub(crate) async fn saw_text(server: &Server, text: &str) -> ServerEvent {
    saw(server, |event| event.kind == EventKind::Text(text.to_owned())).await
}

/// Waits for the event that ends a connection.
pub(crate) async fn end_of(server: &Server, connection: usize) -> EventKind {
    saw(server, |event| event.connection == connection && event.kind.is_end()).await.kind
}

/// Waits for the request of a connection.
pub(crate) async fn request_of(server: &Server, connection: usize) -> Request {
    let event =
        saw(server, |event| event.connection == connection && event.kind.request().is_some()).await;
    event.kind.request().cloned().expect("it was there")
}

/// The text messages of a connection so far.
pub(crate) fn texts_of(server: &Server, connection: usize) -> Vec<String> {
    let events = server.events().into_iter().filter(|event| event.connection == connection);
    events
        .filter_map(|event| if let EventKind::Text(text) = event.kind { Some(text) } else { None })
        .collect()
}
