//! The handshake as servers and proxies really speak it: what browsers put up with opens a link,
//! and what RFC 6455 forbids does not.

use relink_driver::{
    Runtime,
    relink::{Failure, Reason},
};

use super::{
    raw::{Answer, Raw, UPGRADED, accept, say},
    setup::{ms, quick_link, request_of, secs, serve, spawn},
};
use crate::{AfterLast, Connection, Refusal, Script};

/// Every spelling that browsers put up with, one byte at a time, with a message right behind it.
pub async fn an_answer_as_proxies_write_it_opens_the_link<Rt: Runtime>(rt: Rt) {
    const HELLO: &[u8] = b"\x81\x05hello";
    let answers: Vec<Answer> = vec![
        accept(UPGRADED, HELLO),
        accept("Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n", HELLO),
        accept("connection: keep-alive\r\nconnection: upgrade\r\nUPGRADE: websocket\r\n", HELLO),
        accept(
            "Connection :Upgrade\r\nUpgrade:websocket  \r\nX-Odd: \u{e4}\r\nX-Folded: a\r\n b\r\n",
            HELLO,
        ),
        Box::new(|key| {
            let many: String = (0..200).map(|number| format!("X-{number}: {number}\r\n")).collect();
            format!("HTTP/1.1 101\r\n{many}{UPGRADED}Sec-WebSocket-Accept: {key}\r\n\r\n")
                .into_bytes()
        }),
        Box::new(|key| {
            let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\n\r\n";
            format!("{interim}HTTP/1.1 101 OK\n{UPGRADED}Sec-WebSocket-Accept: {key}\n\n")
                .into_bytes()
        }),
    ];
    let count = answers.len();
    let server = Raw::serve(answers);
    for number in 0..count {
        let mut link = spawn(rt.clone(), &server.url.replacen("ws:", "WS:", 1), |builder| builder);
        assert!(!link.connected().await, "answer {number}");
        if number < 4 {
            assert_eq!(link.text().await, "hello");
        }
        assert_eq!(link.client.stats().failed_attempts, 0, "answer {number}");
    }
}

/// An answer that RFC 6455 forbids fails the handshake, with the cause.
pub async fn an_answer_that_does_not_agree_is_refused<Rt: Runtime>(rt: Rt) {
    for (answer, problem) in [
        (
            accept(
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Extensions: x-webkit-deflate-frame\r\n",
                b"",
            ),
            "x-webkit-deflate-frame",
        ),
        (accept("Upgrade: websocket\r\n", b""), "Connection"),
        (accept("Connection: Upgrade\r\n", b""), "Upgrade"),
        (
            accept("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n", b""),
            "Accept",
        ),
        (say("HTTP/1.1 101 OK\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"), "Accept"),
        (say("SSH-2.0-OpenSSH_9.2\r\n"), "other than HTTP"),
    ] {
        let mut link = spawn(rt.clone(), &Raw::serve(vec![answer]).url, |builder| builder);
        let lost = link.attempt_failed().await;
        assert_eq!(lost.reason, Reason::Failed(Failure::NotWebSocket), "{problem}");
        assert!(lost.detail.contains(problem), "{lost:?}");
    }
}

/// An answer that never ends is given up before it fills memory.
pub async fn an_endless_answer_is_given_up<Rt: Runtime>(rt: Rt) {
    let hints =
        || "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n".repeat(2000).into_bytes();
    let head = || format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(80_000)).into_bytes();
    let answers: [Answer; 2] = [Box::new(move |_| hints()), Box::new(move |_| head())];
    for answer in answers {
        let mut link = spawn(rt.clone(), &Raw::serve(vec![answer]).url, |builder| builder);
        let lost = link.attempt_failed().await;
        assert_eq!(lost.reason, Reason::Failed(Failure::NotWebSocket));
        assert!(lost.detail.contains("bytes"), "{lost:?}");
    }
}

/// A refusal counts whichever HTTP it comes in.
pub async fn a_refusal_in_http_1_0_is_one<Rt: Runtime>(rt: Rt) {
    let busy = say("HTTP/1.0 503 Service Unavailable\r\nRetry-After: 2\r\n\r\n");
    let mut link = spawn(rt.clone(), &Raw::serve(vec![busy]).url, |builder| builder);
    let lost = link.attempt_failed().await;
    assert_eq!(
        lost.reason,
        Reason::Failed(Failure::Http { status: 503, retry_after: Some(secs(2)) })
    );
    lost.assert_retry_in(secs(2), ms(2400));
    for (answer, status) in [
        (say("HTTP/1.0 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\n\r\n"), 401),
        (say("HTTP/1.0 403\n\n"), 403),
        (say("HTTP/1.0 302 Found\r\n\r\n"), 302),
    ] {
        let mut link = spawn(rt.clone(), &Raw::serve(vec![answer]).url, |builder| builder);
        let lost = link.attempt_failed().await;
        assert_eq!(lost.reason, Reason::Failed(Failure::Http { status, retry_after: None }));
    }
}

/// A close frame whose reason is not UTF-8 is answered with 1007; what it leads to is up to the
/// code that was read.
pub async fn a_close_reason_that_is_no_text_is_answered_with_1007_and_judged_by_its_code<
    Rt: Runtime,
>(
    rt: Rt,
) {
    let close: &[(&'static [u8], &str)] =
        &[(b"\x88\x04\x0f\xb4\xff\xfe", "kicked"), (b"\x88\x03\x0f\xa1\xff", "unauthorized")];
    for (frame, name) in close {
        let server = Raw::serve(vec![accept(UPGRADED, frame)]);
        let mut link = spawn(rt.clone(), &server.url, |builder| builder);
        link.connected().await;
        let end = link.closed().await;
        assert_eq!(
            end.code().map(|code| code.0),
            Some(u16::from_be_bytes([frame[2], frame[3]])),
            "{name}"
        );
        assert_eq!(closed_with(&server.rest(&link.rt).await), 1007);
    }
}

/// A close frame of one byte has no code: a protocol error, answered as one.
pub async fn a_close_frame_of_one_byte_is_a_protocol_error<Rt: Runtime>(rt: Rt) {
    let server = Raw::serve(vec![accept(UPGRADED, b"\x88\x01\x03")]);
    let mut link = spawn(rt, &server.url, |builder| builder);
    link.connected().await;
    let lost = link.disconnected().await;
    assert!(
        matches!(lost.reason, Reason::Failed(Failure::Protocol(_))) && lost.retry_in.is_some(),
        "{lost:?}"
    );
    assert_eq!(closed_with(&server.rest(&link.rt).await), 1002);
}

/// `Location` in capitals, as old servers write it, and relative to where it came from.
pub async fn a_redirect_is_read_whatever_its_capitals<Rt: Runtime>(rt: Rt) {
    let redirect = Connection::refuse(Refusal::new(307).location("next?x=1#part"));
    let target = serve(Script::new().connection(redirect).then(AfterLast::Echo));
    let to = target.url().replacen("ws:", "HTTP:", 1) + "deep/first";
    let answer: Answer =
        Box::new(move |_| format!("HTTP/1.1 302\r\nLOCATION: {to}\r\n\r\n").into_bytes());
    let mut link = spawn(rt, &Raw::serve(vec![answer]).url, |builder| builder);
    link.connected().await;
    assert_eq!(request_of(&target, 1).await.path(), "/deep/first");
    let request = request_of(&target, 2).await;
    assert_eq!((request.path(), request.query()), ("/deep/next", Some("x=1")));
}

/// An invalid address in a redirect is a failed attempt with that detail, not the end.
pub async fn a_redirect_to_an_address_that_is_none_is_a_failed_attempt<Rt: Runtime>(rt: Rt) {
    for (answer, problem) in [
        (say("HTTP/1.1 302\r\nLocation: ws://127.0.0.1:99999/\r\n\r\n"), "127.0.0.1:99999"),
        (say("HTTP/1.1 302\r\nLocation: ws://user:secret@/\r\n\r\n"), "no host"),
        (say("HTTP/1.1 302\r\nLocation: ws://a b/?secret\r\n\r\n"), "host"),
        (say("HTTP/1.1 302\r\nLocation: gopher://h/\r\n\r\n"), "scheme"),
    ] {
        let config = quick_link(|link| link.with_max_redirects(1));
        let url = Raw::serve(vec![answer]).url;
        let mut link = spawn(rt.clone(), &url, |builder| builder.config(config));
        let lost = link.attempt_failed().await;
        assert_eq!(lost.reason, Reason::Failed(Failure::NotWebSocket), "{problem}");
        assert!(lost.detail.contains(problem) && !lost.detail.contains("secret"), "{lost:?}");
        assert!(lost.retry_in.is_some());
    }
}

/// The code of the first close frame that a client sent.
pub(crate) fn closed_with(frames: &[u8]) -> u16 {
    // A masked close frame: two bytes of header, four of mask.
    let close = frames.iter().position(|byte| *byte == 0x88).expect("a close frame");
    u16::from_be_bytes([
        frames[close + 6] ^ frames[close + 2],
        frames[close + 7] ^ frames[close + 3],
    ])
}
