//! What the cases share: a link with short delays, and its server.

use std::time::Duration;

use relink_driver::{
    Builder, Runtime,
    relink::{
        Backoff, LinkConfig, SessionConfig,
        policy::{BudgetConfig, Curve, Jitter, Rate},
    },
};

use crate::rig::{Observed, Rig};
use crate::{EventKind, Request, Script, Server, ServerEvent};

pub(crate) use crate::rig::LONG;

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

/// A scripted server, and a link to it with [`quick`] delays.
pub(crate) fn start<Rt: Runtime>(rt: Rt, script: impl Into<Script>) -> (Server, Rig<Rt>) {
    start_with(rt, script, |builder| builder)
}

/// The same with a builder to change.
pub(crate) fn start_with<Rt: Runtime>(
    rt: Rt,
    script: impl Into<Script>,
    change: impl FnOnce(Builder<Observed<Rt>>) -> Builder<Observed<Rt>>,
) -> (Server, Rig<Rt>) {
    let server = serve(script);
    let rig = spawn(rt, &server.url(), change);
    (server, rig)
}

/// The same with a configuration.
pub(crate) fn start_config<Rt: Runtime>(
    rt: Rt,
    script: impl Into<Script>,
    config: SessionConfig,
) -> (Server, Rig<Rt>) {
    start_with(rt, script, |builder| builder.config(config))
}

/// A link with [`quick`] delays, but for what is changed.
pub(crate) fn spawn<Rt: Runtime>(
    rt: Rt,
    url: &str,
    change: impl FnOnce(Builder<Observed<Rt>>) -> Builder<Observed<Rt>>,
) -> Rig<Rt> {
    Rig::spawn(rt, url, |builder| change(builder.config(quick())))
}

pub(crate) fn serve(script: impl Into<Script>) -> Server {
    Server::spawn_thread(script).expect("a server on loopback")
}

/// Waits until the server has seen this, and returns the first such event.
pub(crate) async fn saw(server: &Server, is_it: impl Fn(&ServerEvent) -> bool) -> ServerEvent {
    server.wait_for_event(is_it, LONG).await.expect("seen by the server")
}

/// Waits until this text has arrived.
pub(crate) async fn saw_text(server: &Server, text: &str) -> ServerEvent {
    saw(server, |event| event.kind == EventKind::Text(text.to_owned())).await
}

/// Waits for the event that ends a connection.
pub(crate) async fn end_of(server: &Server, connection: usize) -> EventKind {
    server.wait_for_end(connection, LONG).await.expect("it ends")
}

/// Waits for the request of a connection.
pub(crate) async fn request_of(server: &Server, connection: usize) -> Request {
    server.wait_for_request(connection, LONG).await.expect("a request")
}
