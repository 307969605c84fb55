//! What each close code leads to: every row of the default table, as the application and the server
//! see it.

use std::{
    io::{self, Write},
    sync::{atomic::Ordering, mpsc},
    time::Duration,
};

use relink_driver::{
    Runtime, Target,
    relink::{
        CloseCode, ClosedReason, Event, Failure, Phase, Reason, State, link::Hint,
        session::SendErrorKind,
    },
};

use super::{
    pipe::{Near, Peer, serve_pipe},
    proxies::closed_with,
    raw::{Raw, UPGRADED, accept},
    setup::{
        DELAY, LATE, end_of, quick, quick_link, request_of, saw_text, secs, spawn, start,
        start_config, start_with,
    },
    tokens,
};
use tokio_tungstenite::tungstenite::Message as Frame;

use crate::{AfterLast, Connection, EventKind, Script};

/// 1000: the purpose is fulfilled.
pub async fn code_1000_is_the_end<Rt: Runtime>(rt: Rt) {
    ends(rt, 1000, "normal_closure").await;
}

/// 1001: a deploy; on the normal curve.
pub async fn m07_1001_is_retried<Rt: Runtime>(rt: Rt) {
    retries(rt, 1001, 0).await;
}

/// 1001 with a delay: the delay is reported before the loss, and respected.
pub async fn m12_1001_with_a_hint_waits_for_as_long_as_it_says<Rt: Runtime>(rt: Rt) {
    let (server, mut link) = start(rt, closing_once(1001, "deploy; retry-after=3s"));
    link.connected().await;
    let hint =
        link.until(|event| {
            if let Event::GoingAway { retry_after } = event { Some(retry_after) } else { None }
        })
        .await;
    assert_eq!(hint, secs(3));
    let lost = link.disconnected().await;
    lost.assert_retry_in(secs(3), Duration::from_millis(3600));
    assert_eq!(server.connections(), 1);
}

/// 1002: a protocol error, ours or a proxy's.
pub async fn code_1002_is_retried_after_10_s<Rt: Runtime>(rt: Rt) {
    retries(rt, 1002, 10).await;
}

/// 1003: the same data would be refused again.
pub async fn code_1003_is_the_end<Rt: Runtime>(rt: Rt) {
    ends(rt, 1003, "unsupported_data").await;
}

/// 1005: a close frame without a code is retried.
pub async fn code_1005_is_retried<Rt: Runtime>(rt: Rt) {
    let script =
        Script::new().connection(Connection::new().close_without_code()).then(AfterLast::Echo);
    let (server, mut link) = start(rt, script);
    link.connected().await;
    let lost = link.disconnected().await;
    assert_eq!((lost.code, lost.detail.as_str(), lost.retry_in), (Some(1005), "", Some(DELAY)));
    assert!(link.connected().await);
    assert_eq!(
        end_of(&server, 1).await,
        EventKind::Closed { code: None, reason: String::new(), answered: true }
    );
}

/// 1006: the socket was reset.
pub async fn m07_1006_a_reset_is_retried<Rt: Runtime>(rt: Rt) {
    let lost = cut(rt, Connection::new().expect_text("now").reset()).await;
    assert_eq!(lost, Reason::Failed(Failure::Reset));
}

/// 1006: the socket ended without a close frame.
pub async fn m07_1006_an_end_without_a_close_frame_is_retried<Rt: Runtime>(rt: Rt) {
    let lost = cut(rt, Connection::new().expect_text("now").drop_socket()).await;
    assert_eq!(lost, Reason::Failed(Failure::Eof));
}

/// 1007: damaged data.
pub async fn code_1007_is_retried_after_10_s<Rt: Runtime>(rt: Rt) {
    retries(rt, 1007, 10).await;
}

/// 1008: the server decided against this client.
pub async fn code_1008_is_the_end<Rt: Runtime>(rt: Rt) {
    ends(rt, 1008, "policy_violation").await;
}

/// 1009: one message was too big; the link itself is fine.
pub async fn code_1009_is_retried<Rt: Runtime>(rt: Rt) {
    retries(rt, 1009, 0).await;
}

/// 1010: negotiation would fail again.
pub async fn code_1010_is_the_end<Rt: Runtime>(rt: Rt) {
    ends(rt, 1010, "mandatory_extension").await;
}

/// 1011: an internal error of one node.
pub async fn code_1011_is_retried<Rt: Runtime>(rt: Rt) {
    retries(rt, 1011, 0).await;
}

/// 1012: the service restarts.
pub async fn code_1012_is_retried_after_5_s<Rt: Runtime>(rt: Rt) {
    retries(rt, 1012, 5).await;
}

/// 1013: the service is overloaded.
pub async fn code_1013_is_retried_after_10_s<Rt: Runtime>(rt: Rt) {
    retries(rt, 1013, 10).await;
}

/// 1014: a gateway's upstream is away.
pub async fn code_1014_is_retried<Rt: Runtime>(rt: Rt) {
    retries(rt, 1014, 0).await;
}

/// 3000: unauthorized, and no provider for a better token.
pub async fn code_3000_without_a_token_provider_is_the_end<Rt: Runtime>(rt: Rt) {
    ends(rt, 3000, "unauthorized").await;
}

/// 3000 with a token provider: a fresh token may do.
pub async fn code_3000_with_a_token_provider_is_retried<Rt: Runtime>(rt: Rt) {
    retries_with_a_fresh_token(rt, 3000).await;
}

/// 3003: forbidden.
pub async fn code_3003_is_the_end<Rt: Runtime>(rt: Rt) {
    ends(rt, 3003, "forbidden").await;
}

/// A registered code that nothing is known about.
pub async fn an_unknown_3xxx_is_retried<Rt: Runtime>(rt: Rt) {
    retries(rt, 3999, 0).await;
}

/// 4001: the token is wrong.
pub async fn m04_4001_is_the_end<Rt: Runtime>(rt: Rt) {
    ends(rt, 4001, "invalid_token").await;
}

/// 4002: the token expired, and there is no provider for a fresh one.
pub async fn m05_4002_without_a_token_provider_is_the_end<Rt: Runtime>(rt: Rt) {
    ends(rt, 4002, "token_expired").await;
}

/// 4002: the token expired; a fresh one is fetched.
pub async fn m05_4002_with_a_token_provider_comes_back_with_a_fresh_token<Rt: Runtime>(rt: Rt) {
    retries_with_a_fresh_token(rt, 4002).await;
}

/// 4003: the token does not cover the channel.
pub async fn m04_4003_is_the_end<Rt: Runtime>(rt: Rt) {
    ends(rt, 4003, "channel_not_authorized").await;
}

/// 4010: too many connections; no hint shortens the 30 s that the server needs.
pub async fn m06_4010_is_retried_after_30_s<Rt: Runtime>(rt: Rt) {
    retries(rt, 4010, 30).await;
}

/// 4012: the account is suspended.
pub async fn m04_4012_is_the_end<Rt: Runtime>(rt: Rt) {
    ends(rt, 4012, "account_suspended").await;
}

/// 4020: a person decided it.
pub async fn m04_4020_is_the_end<Rt: Runtime>(rt: Rt) {
    ends(rt, 4020, "admin_disconnect").await;
}

/// A private code that nothing is known about.
pub async fn an_unknown_4xxx_is_retried<Rt: Runtime>(rt: Rt) {
    retries(rt, 4444, 0).await;
}

/// A code that may not be sent breaks the protocol: it counts as 1002, whatever its own row.
pub async fn a_reserved_code_is_a_protocol_error<Rt: Runtime>(rt: Rt) {
    // A scripted server does not send it.
    let server = Raw::serve(vec![accept(UPGRADED, b"\x88\x02\x03\xf7"), accept(UPGRADED, b"")]);
    let mut link = spawn(rt, &server.url, |builder| builder);
    link.connected().await;
    let lost = link.disconnected().await;
    assert_eq!(lost.reason, Reason::Failed(Failure::Protocol(CloseCode::PROTOCOL_ERROR)));
    assert!(lost.detail.contains("1015"), "{lost:?}");
    lost.assert_retry_in(secs(10), secs(10));
    link.client.retry_now();
    assert!(link.connected().await);
    assert_eq!(closed_with(&server.rest(&link.rt).await), 1002);
}

/// What this side finds wrong, and closes for with a code of its own, means what the code means
/// from the server.
pub async fn a_code_that_this_side_closes_with_means_what_it_does_from_the_server<Rt: Runtime>(
    rt: Rt,
) {
    // A pong in two frames, and text that is not UTF-8.
    for (bytes, code) in [(&[0x0a, 0x00][..], 1002), (&[0x81, 0x01, 0xff], 1007)] {
        let (told_tx, told) = mpsc::channel();
        let play = move |mut peer: Peer| {
            _ = peer.get_mut().write_all(bytes);
            while let Ok(frame) = peer.read() {
                _ = told_tx.send(frame);
            }
        };
        let mut link = spawn(rt.clone(), "ws://in.memory/", |builder| {
            let serve = move |_: Target| {
                std::future::ready(io::Result::<Near>::Ok(serve_pipe(play.clone())))
            };
            builder.config(quick()).connector(serve)
        });
        link.connected().await;
        let lost = link.disconnected().await;
        assert_eq!(lost.reason, Reason::Failed(Failure::Protocol(CloseCode(code))));
        lost.assert_retry_in(secs(10), secs(10));
        let Ok(Frame::Close(Some(close))) = told.recv_timeout(LATE) else {
            panic!("no close frame came")
        };
        assert_eq!(u16::from(close.code), code);
    }
}

/// A close code's meaning can be edited.
pub async fn an_edited_code_means_what_the_edit_says<Rt: Runtime>(rt: Rt) {
    use relink_driver::relink::{StopReason, Verdict};
    static MAINTENANCE: StopReason = StopReason::custom(&("maintenance", "Come back on Monday."));
    let config = quick_link(|mut link| {
        link.close_policy
            .set_close(4444..=4444, Verdict::Stop(MAINTENANCE))
            .expect("room for an edit");
        link
    });
    let (_server, mut link) = start_config(rt, closing_once(4444, "monday"), config);
    assert_eq!(link.closed().await.name(), "maintenance");
}

/// Accepts and closes at once with this code, the first time; then echoes.
fn closing_once(code: u16, reason: &str) -> Script {
    Script::new().connection(Connection::new().close(code, reason)).then(AfterLast::Echo)
}

/// The code is reported, its delay respected, and the server dialed again.
async fn retries<Rt: Runtime>(rt: Rt, code: u16, floor: u64) {
    let (server, mut link) = start(rt, closing_once(code, "why"));
    assert!(!link.connected().await);
    let lost = link.disconnected().await;
    assert_eq!((lost.code, lost.detail.as_str()), (Some(code), "why"));
    assert_eq!(lost.reason, Reason::ClosedByPeer(CloseCode(code)));
    lost.assert_retry_in(secs(floor).max(DELAY), secs(floor).max(DELAY));
    if floor > 0 {
        // A hint does not shorten the floor; `retry_now` does.
        link.client.hint(Hint::Online);
        assert_eq!(link.client.state(), State::Reconnecting(Phase::Waiting));
        link.client.retry_now();
    }
    assert!(link.connected().await);
    link.send("back").await;
    assert_eq!(saw_text(&server, "back").await.connection, 2);
    let reason = "why".to_owned();
    assert_eq!(
        end_of(&server, 1).await,
        EventKind::Closed { code: Some(code), reason, answered: true }
    );
}

/// The code is reported, the link ends with the reason, and is not dialed again.
async fn ends<Rt: Runtime>(rt: Rt, code: u16, name: &str) {
    let (server, mut link) = start(rt, closing_once(code, "why"));
    link.connected().await;
    let lost = link.disconnected().await;
    assert_eq!((lost.code, lost.detail.as_str(), lost.retry_in), (Some(code), "why", None));
    let end = link.closed().await;
    assert_eq!((end.name(), end.code()), (name, Some(CloseCode(code))));
    assert!(matches!(end, ClosedReason::Stopped { .. }) && !end.advice().is_empty());

    // The task is gone although handles are left, so nothing can ever dial.
    link.rt.idle().await;
    assert_eq!(server.connections(), 1);
    let refused = link.client.try_send("too late").expect_err("the link is closed");
    assert_eq!(
        (refused.reason, refused.message.as_text()),
        (SendErrorKind::Closed, Some("too late"))
    );
    let reason = "why".to_owned();
    assert_eq!(
        end_of(&server, 1).await,
        EventKind::Closed { code: Some(code), reason, answered: true }
    );
}

/// The code is reported, a token fetched, and the server dialed with it.
async fn retries_with_a_fresh_token<Rt: Runtime>(rt: Rt, code: u16) {
    let (provider, count) = tokens::numbered();
    let (server, mut link) =
        start_with(rt, closing_once(code, "expired"), |builder| builder.token(provider));
    link.connected().await;
    link.disconnected().await.assert_retry_in(DELAY, DELAY);
    assert!(link.connected().await);
    for connection in [1, 2] {
        let request = request_of(&server, connection).await;
        assert_eq!(
            request.header("authorization"),
            Some(format!("Bearer token-{connection}").as_str())
        );
    }
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

/// Loses a connection after a first message; returns the reported loss.
async fn cut<Rt: Runtime>(rt: Rt, connection: Connection) -> Reason {
    let (server, mut link) = start(rt, Script::new().connection(connection).then(AfterLast::Echo));
    link.connected().await;
    link.send("now").await;
    let lost = link.disconnected().await;
    assert_eq!((lost.code, lost.retry_in), (Some(1006), Some(DELAY)));
    assert!(!lost.detail.is_empty(), "for people");
    assert!(link.connected().await);
    assert_eq!(server.connections(), 2);
    lost.reason
}

#[cfg(test)]
mod tests {
    use relink_driver::relink::policy::CLOSE_CODES;

    #[test]
    fn every_row_of_the_table_has_a_case() {
        let cases = include_str!("close_codes.rs");
        for rule in CLOSE_CODES {
            // Never on the wire; the TLS cases have it.
            let single = rule.from == rule.to && rule.from != 1015;
            let case = format!("_{}_", rule.from);
            assert!(!single || cases.contains(&case), "no case for {rule:?}");
        }
    }
}
