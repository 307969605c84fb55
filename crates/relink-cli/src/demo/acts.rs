//! The demo, act by act. Each act brings the link down in another way, and checks what relink does.

use std::time::Duration;

use relink::policy::DeadReason;
use relink::{ClosedReason, Failure, Reason, SessionConfig, StopReason, Verdict};
use relink_testing::{Connection, Script};

use super::resume::loses_nothing;
use super::stage::{Broken, Stage, promise};
use crate::text::span;

/// The delays of the demo. Each is shown on the screen with the default that it shortens.
pub(super) const FIRST: Duration = Duration::from_millis(400);
const INITIAL: Duration = Duration::from_millis(600);
const STABLE_AFTER: Duration = Duration::from_millis(300);
const CONNECTION_CAP: Duration = Duration::from_secs(2);
const PING_EVERY: Duration = Duration::from_secs(1);
const PONG_WITHIN: Duration = Duration::from_millis(600);
const DEPLOY: Duration = Duration::from_millis(1500);

/// The defaults, with shorter delays.
pub(crate) fn config() -> Result<SessionConfig, relink::ConfigError> {
    let mut config = SessionConfig::default();
    let link = &mut config.link;
    link.stable_after = STABLE_AFTER;
    link.backoff.first = Some(FIRST);
    link.backoff.curve = relink::policy::Curve::Exponential { initial: INITIAL, factor_pct: 200 };
    link.heartbeat.interval = Some(PING_EVERY);
    link.heartbeat.timeout = PONG_WITHIN;
    link.close_policy.set_close(4010..=4010, Verdict::RetrySlow { floor: CONNECTION_CAP })?;
    Ok(config)
}

/// The number of acts.
pub(crate) const ACTS: u8 = 9;

/// Plays all acts, or one: after the first connection, which all but the last go on from.
pub(crate) async fn play(stage: &mut Stage, only: Option<u8>) -> Result<(), Broken> {
    for act in 1..=ACTS {
        let needs_a_link = only.is_some_and(|only| only < ACTS);
        if only.is_none_or(|only| only == act) || act == 1 && needs_a_link {
            stage.act_number = act;
            match act {
                1 => connects(stage).await?,
                2 => talks(stage).await?,
                3 => breaks(stage).await?,
                4 => is_deployed(stage).await?,
                5 => has_an_old_token(stage).await?,
                6 => is_one_too_many(stage).await?,
                7 => falls_silent(stage).await?,
                8 => is_kicked(stage).await?,
                _ => loses_nothing(stage).await?,
            }
        }
    }
    Ok(())
}

async fn connects(stage: &mut Stage) -> Result<(), Broken> {
    stage.act("The first connection").await?;
    stage.client_says("asks its token provider for a token, and dials")?;
    let token = stage.connected(false).await?;
    stage.server_says(&format!("accepts the connection, with token number {token}"))?;
    stage.client_is_up("connected")?;
    stage.why("Every attempt fetches a token of its own, so that none is used beyond its time.")
}

async fn talks(stage: &mut Stage) -> Result<(), Broken> {
    stage.act("Messages").await?;
    let (names, _) = stage.send(3)?;
    stage.client_says(&format!("sends {names}"))?;
    stage.all_arrived().await?;
    stage.server_says("has all three, in order, and echoes them")?;
    stage.client_says("has all three echoes")?;
    stage.why(
        "Every message has a number, under which its fate is reported: sent, or dropped and why.",
    )
}

async fn breaks(stage: &mut Stage) -> Result<(), Broken> {
    stage.act("The connection breaks, without a close frame").await?;
    let down_for_one_dial =
        Script::new().connection(Connection::reset_at_once()).connection(Connection::new());
    stage
        .server
        .set_script(down_for_one_dial)
        .map_err(|error| Broken::Promise(error.to_string()))?;
    stage.server_says("crashes: every connection is reset")?;
    promise(stage.server.kill_all() == 1, || "the server should have one connection to reset")?;
    let lost = stage.lost().await?;
    let cut = matches!(lost.reason, Reason::Failed(Failure::Reset | Failure::Eof));
    promise(cut && lost.retry_in <= FIRST, || "a cut connection should be dialed again soon")?;
    stage.why(&format!(
        "The first retry comes soon, at a moment left to chance: you hardly notice, and ten thousand clients that \
         lost the same server do not return in the same instant. (Here within {}; real default: within 1 s.)",
        span(FIRST)
    ))?;
    let (names, queued) = stage.send(3)?;
    promise(queued, || "what is sent while the link is down should wait")?;
    stage.client_says(&format!("sends {names}: they wait in the queue"))?;
    stage.attempt_failed().await?;
    stage.why(
        "The server is still down. Each failure doubles the wait (real default: from 1.5 s up to 20 s), so that a \
         server in trouble is left in peace.",
    )?;
    stage.connected(true).await?;
    stage.client_is_up("connected again; the queue goes out")?;
    stage.all_arrived().await?;
    stage.server_says(&format!("has {names}: all of them, in order, once"))?;
    stage.why(
        "What waits in the queue is safe. What was on the wire when it broke is not sent again: nobody can know what the \
         server saw of it. (Act 9 is about servers that remember.)",
    )
}

async fn is_deployed(stage: &mut Stage) -> Result<(), Broken> {
    stage.act("A deploy").await?;
    stage.server_says("closes with 1001, “deploy; retry-after=1500ms”")?;
    stage.server.close_all(1001, "deploy; retry-after=1500ms");
    let hint = stage.going_away().await?;
    let lost = stage.lost().await?;
    promise(hint == DEPLOY && lost.retry_in >= DEPLOY, || "the server's hint should be honored")?;
    stage.why(
        "1001 means that the server goes away, not that anything is wrong. It knows best when it will be back, so \
         its hint counts (real default: up to 5 min), with up to a fifth more, by chance, to spread the crowd.",
    )?;
    stage.connected(true).await?;
    stage.client_is_up("connected again, to the new version")?;
    stage.proves_itself().await
}

async fn has_an_old_token(stage: &mut Stage) -> Result<(), Broken> {
    stage.act("An expired token").await?;
    stage.server_says("closes with 4002, “token expired”")?;
    stage.server.close_all(4002, "token expired");
    let lost = stage.lost().await?;
    promise(lost.code == 4002.into(), || "the close code should be 4002")?;
    stage.why(
        "Not the network's fault, nor the server's: a fresh token will do, and the provider brings one. Without a \
         provider relink would stop and say so, rather than knock with the old token for ever.",
    )?;
    let token = stage.connected(true).await?;
    stage
        .client_is_up(&format!("connected again, with token number {token}, new to the server"))?;
    stage.proves_itself().await
}

async fn is_one_too_many(stage: &mut Stage) -> Result<(), Broken> {
    stage.act("Too many connections").await?;
    stage.server_says("closes with 4010, “connection limit reached”")?;
    stage.server.close_all(4010, "connection limit reached");
    let lost = stage.lost().await?;
    promise(lost.retry_in >= CONNECTION_CAP, || "4010 should have its floor")?;
    stage.why(
        "The server counts connections that are gone already, and needs time to notice. Coming back at once would \
         only be refused again, so this code has a floor. (Real default: 30 s; the demo edits the close policy: \
         4010 → at least 2 s.)",
    )?;
    stage.connected(true).await?;
    stage.client_is_up("connected again")?;
    stage.proves_itself().await
}

async fn falls_silent(stage: &mut Stage) -> Result<(), Broken> {
    stage.act("Silence").await?;
    stage.server_says("falls silent: the socket stays open, but is not read")?;
    promise(
        stage.server.silence_all() == 1,
        || "the server should have one connection to silence",
    )?;
    let lost = stage.lost().await?;
    promise(
        lost.reason == Reason::Dead(DeadReason::Heartbeat),
        || "the heartbeat should find the dead link",
    )?;
    stage.why(&format!(
        "A pulled cable or a forgetful router says nothing, and TCP may wait for hours. So relink asks: a ping every \
         {}, an answer within {} (real defaults: 30 s and 10 s). None came: it drops the connection, without \
         waiting for a farewell that cannot come, and dials.",
        span(PING_EVERY),
        span(PONG_WITHIN)
    ))?;
    stage.connected(true).await?;
    stage.client_is_up("connected again")?;
    stage.proves_itself().await
}

async fn is_kicked(stage: &mut Stage) -> Result<(), Broken> {
    stage.act("A kick").await?;
    let dials = stage.client.stats().dials;
    stage.server_says("closes with 4020, “kicked by an administrator”")?;
    stage.server.close_all(4020, "kicked by an administrator");
    let end = stage.ended().await?;
    let reason = StopReason::ADMIN_DISCONNECT;
    let promised = ClosedReason::Stopped { reason, code: Some(4020.into()) };
    promise(end == promised, || format!("the end should be {promised}, not {end}"))?;
    stage.client_stops(&format!("stops for good: {end}"))?;
    stage.client_says(&format!("tells you what to do: “{}”", end.advice()))?;
    stage.why("A person decided this. Coming back would be a fight, so relink does not.")?;
    promise(stage.client.stats().dials == dials, || "nothing should be dialed after a kick")
}
