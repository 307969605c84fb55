//! What the cases share: a link with short delays, and its server.

use std::cell::Cell;
use std::time::Duration;

use relink_driver::{
    Builder, DeflateConfig, Runtime,
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

thread_local! {
    static IS_COMPRESSED: Cell<bool> = const { Cell::new(false) };
}

/// Runs a case with compression (permessage-deflate) between link and server: in the function that
/// the [suite](crate::driver_conformance) is run by, on the thread where the case begins.
pub fn compressed<T>(run: impl FnOnce() -> T) -> T {
    let before = IS_COMPRESSED.replace(true);
    let ran = run();
    IS_COMPRESSED.set(before);
    ran
}

/// A script for a case, with compression if the case has it.
pub(crate) fn script(script: impl Into<Script>) -> Script {
    let script = script.into();
    if IS_COMPRESSED.get() { script.deflate(true) } else { script }
}

/// A builder for a case, with compression if the case has it: each message, and with all context.
pub(crate) fn builder<Rt: Runtime>(rt: Rt, url: &str) -> Builder<Rt> {
    let builder = Builder::new(rt, url);
    if !IS_COMPRESSED.get() {
        return builder;
    }
    let deflate = DeflateConfig::default().with_min_size(1).with_max_ratio(None);
    builder.deflate(deflate.with_context_takeover(true).with_peer_context_takeover(true))
}

/// Bytes that no compression makes smaller.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let next = |state: &u64| Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    let states = std::iter::successors(Some(1_u64), next).skip(9);
    states.map(|state| state.to_be_bytes()[0]).take(length).collect()
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
    let rt = Observed::new(rt);
    Rig::with(rt.clone(), change(builder(rt, url).config(quick())))
}

pub(crate) fn serve(script: impl Into<Script>) -> Server {
    Server::spawn_thread(self::script(script)).expect("a server on loopback")
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
