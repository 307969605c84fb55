//! Credentials belong to an origin: who gets which part of a request, and what cannot be asked for
//! at all.

use std::{convert::Infallible, future::ready};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use relink_driver::{
    Builder, Runtime, TokenPlacement,
    http::{HeaderValue, Request, Uri},
    relink::Token,
};

use super::{
    raw::{Answer, Raw, UPGRADED, accept},
    secrets::MARK,
    setup::{quick, request_of, serve, spawn, start_with},
    tokens::numbered,
};
use crate::{AfterLast, Connection, Refusal, Script};

/// Credentials and headers follow a redirect within their origin. Another port, another name,
/// another scheme is a stranger.
pub async fn credentials_follow_redirects_within_their_origin_only<Rt: Runtime>(rt: Rt) {
    let same = Script::new()
        .connection(Connection::refuse(Refusal::new(302).location("/same")))
        .then(AfterLast::Echo);
    let (server, _link) = start_with(rt.clone(), same, with_everything);
    for number in [1, 2] {
        let request = request_of(&server, number).await;
        for (name, value) in HEADERS {
            assert_eq!(request.header(name), Some(value), "{name} at {}", request.path());
        }
        assert_eq!(request.header("authorization"), Some("Bearer token-1"));
    }

    let target = serve(Script::echo());
    let port = target.addr().port();
    for (number, location) in [(1, target.url()), (2, format!("ws://localhost:{port}/"))] {
        let redirect = Script::refuse(Refusal::new(302).location(location));
        let (_origin, mut link) = start_with(rt.clone(), redirect, with_everything);
        link.connected().await;
        let request = request_of(&target, number).await;
        let withheld = ["authorization", "cookie", "proxy-authorization", "x-api-key", "origin"];
        for name in withheld {
            assert_eq!(request.header(name), None, "{name}");
        }
        assert_eq!(request.header("user-agent"), Some("app/1"));
        assert_eq!(request.header("sec-websocket-protocol"), Some("chat"));
    }
}

/// The application may let its headers follow redirects. Its credentials never do.
pub async fn headers_follow_to_strangers_where_the_application_says_so<Rt: Runtime>(rt: Rt) {
    let target = serve(Script::echo());
    let redirect = Script::refuse(Refusal::new(302).location(target.url()));
    let (_origin, mut link) =
        start_with(rt, redirect, |builder| with_everything(builder).headers_follow_redirects(true));
    link.connected().await;
    let request = request_of(&target, 1).await;
    assert_eq!(request.header("x-api-key"), Some("key"));
    for name in ["authorization", "cookie", "proxy-authorization"] {
        assert_eq!(request.header(name), None, "{name}");
    }
}

/// A token in the query or among the subprotocols stays at home as well, and so does a header that
/// is marked.
pub async fn a_token_stays_at_home_wherever_it_is_placed<Rt: Runtime>(rt: Rt) {
    for placement in
        [TokenPlacement::Query("jwt".into()), TokenPlacement::Subprotocol("bearer.".into())]
    {
        let target = serve(Script::echo());
        let redirect = Script::refuse(Refusal::new(302).location(target.url()));
        let home = serve(redirect);
        let mut marked = HeaderValue::from_static("marked");
        marked.set_sensitive(true);
        let request = Request::get(home.url() + "?key=1")
            .header("x-marked", marked)
            .body(())
            .expect("a request");
        let (client, _events) = Builder::new(rt.clone(), request)
            .config(quick())
            .token(numbered().0)
            .token_placement(placement)
            .subprotocol("chat")
            .headers_follow_redirects(true)
            .spawn()
            .expect("a link");
        let at_home = request_of(&home, 1).await;
        let shown = format!("{:?} {:?}", at_home.query(), at_home.headers());
        assert!(
            shown.contains("token-1") && shown.contains("marked") && shown.contains("key=1"),
            "{shown}"
        );
        let elsewhere = request_of(&target, 1).await;
        let shown = format!("{:?} {:?}", elsewhere.query(), elsewhere.headers());
        assert!(
            !shown.contains("token-1") && !shown.contains("marked") && !shown.contains("key=1"),
            "{shown}"
        );
        assert_eq!(elsewhere.header("sec-websocket-protocol"), Some("chat"));
        drop(client);
    }
}

/// A token can travel as a subprotocol, beside the one that is meant.
pub async fn a_token_can_travel_as_a_subprotocol<Rt: Runtime>(rt: Rt) {
    let (server, mut link) = start_with(rt, Script::echo(), |builder| {
        let placement = TokenPlacement::Subprotocol("base64url.bearer.".into());
        builder.subprotocol("v4.channel").token(numbered().0).token_placement(placement)
    });
    link.connected().await;
    let offered: Vec<_> = request_of(&server, 1)
        .await
        .headers()
        .iter()
        .filter(|(name, _)| name == "sec-websocket-protocol")
        .map(|(_, value)| value.clone())
        .collect();
    assert_eq!(offered.join(", "), "v4.channel, base64url.bearer.token-1");
    assert_eq!(link.client.subprotocol().as_deref(), Some("v4.channel"));
}

/// A user name in an address is Basic authorization, for that address's origin, and shows nowhere.
pub async fn a_user_name_in_an_address_is_basic_authorization<Rt: Runtime>(rt: Rt) {
    let (stranger, second) = (serve(Script::echo()), serve(Script::refuse(500)));
    let location = stranger.url().replacen("ws://", "ws://eve:other@", 1);
    let home = serve(
        Script::new()
            .connection(Connection::refuse(Refusal::new(302).location("/next")))
            .connection(Connection::refuse(500))
            .connection(Connection::refuse(Refusal::new(302).location(location)))
            .then(AfterLast::Echo),
    );
    let url = home.url().replacen("ws://", &format!("ws://bob:{MARK}%2F%C3%BC@"), 1);
    let mut link = spawn(rt, &url, |builder| builder.endpoint(second.url()));
    link.connected().await;
    let bob = format!("Basic {}", BASE64.encode(format!("bob:{MARK}/ü")));
    for (number, path) in [(1, "/"), (2, "/next"), (3, "/")] {
        let request = request_of(&home, number).await;
        assert_eq!((request.path(), request.header("authorization")), (path, Some(bob.as_str())));
    }
    for elsewhere in [&second, &stranger] {
        assert_eq!(request_of(elsewhere, 1).await.header("authorization"), None, "another origin");
    }
    let shown = format!("{:?} {:?}", link.heard(), link.client);
    assert!(!shown.contains(MARK) && !shown.contains("bob") && !shown.contains("eve"), "{shown}");
}

/// An invalid address is refused wherever it comes from, before anything is dialed.
pub async fn an_address_that_is_none_is_refused_and_named<Rt: Runtime>(rt: Rt) {
    for (url, problem) in [
        ("ws://127.0.0.1:99999/", "127.0.0.1:99999"),
        ("ws://127.0.0.1:99999/", "port"),
        ("ws://h:0/", "port"),
        ("ws://h:/", "port"),
        ("ws://h:abc/", "port"),
        ("ws://[::1/", "IPv6"),
        ("ws://user@/", "host"),
        ("ws://", "host"),
    ] {
        let start = |builder: Builder<Rt>| builder.spawn().err().map(|error| error.to_string());
        let mut errors = vec![
            start(Builder::new(rt.clone(), url)),
            start(Builder::new(rt.clone(), "ws://127.0.0.1:9/").endpoint(url)),
        ];
        if let Ok(uri) = url.parse::<Uri>() {
            errors.push(start(Builder::new(rt.clone(), uri.clone())));
            errors.push(start(Builder::new(
                rt.clone(),
                Request::get(uri).body(()).expect("a request"),
            )));
        }
        for error in errors {
            assert!(
                error.as_ref().is_some_and(|error| error.contains(problem)),
                "{url}: {error:?}"
            );
        }
    }
}

/// A `host` header is used; what the handshake writes itself cannot be set; and credentials do not
/// compete.
pub async fn headers_that_cannot_be_sent_are_refused_and_a_host_is_used<Rt: Runtime>(rt: Rt) {
    let (server, _link) =
        start_with(rt.clone(), Script::echo(), |builder| builder.header("Host", "inner.example"));
    assert_eq!(request_of(&server, 1).await.header("host"), Some("inner.example"));

    let build = |change: fn(Builder<Rt>) -> Builder<Rt>| {
        let built = change(Builder::new(rt.clone(), "ws://127.0.0.1:9/")).spawn();
        built.expect_err("it cannot work").to_string()
    };
    assert!(build(|builder| builder.header("host", "a").header("host", "b")).contains("host"));
    assert!(build(|builder| builder.header("Connection", "close")).contains("connection"));
    assert!(
        build(|builder| builder.header("sec-websocket-key", "x")).contains("sec-websocket-key")
    );
    assert!(
        build(|builder| builder.header("transfer-encoding", "x")).contains("transfer-encoding")
    );
    assert!(build(|builder| builder.subprotocol("a, b")).contains("sec-websocket-protocol"));
    let token = || ready(Ok::<_, Infallible>(Token::from("t")));
    let two = build(move |builder| {
        builder
            .header("authorization", "Basic x")
            .token(move || ready(Ok::<_, Infallible>(Token::from("t"))))
    });
    assert!(two.contains("authorization") && two.contains("exclude"), "{two}");
    let built = Builder::new(rt.clone(), "ws://me@127.0.0.1:9/").token(token).spawn();
    assert!(built.expect_err("it cannot work").to_string().contains("user name"));
    let elsewhere =
        Request::get("ws://127.0.0.1:9/").header("x-a", "1").body(()).expect("a request");
    let built = Builder::new(rt.clone(), "ws://127.0.0.1:9/").endpoint(elsewhere).spawn();
    assert!(built.expect_err("it cannot work").to_string().contains("endpoint"));
}

/// A server's cookies are sent with the next dial to the same origin only, with the application's
/// own.
pub async fn a_cookie_jar_brings_back_what_a_server_set<Rt: Runtime>(rt: Rt) {
    let refusal: Answer = Box::new(|_| {
        b"HTTP/1.1 503 Busy\r\nSet-Cookie: node=7; Path=/; HttpOnly\r\nSet-Cookie: own=jar\r\nRetry-After: 0\r\n\r\n".into()
    });
    let lines = "Connection: Upgrade\r\nUpgrade: websocket\r\nSet-Cookie: node=8; Path=/\r\nSet-Cookie: x=1; Path=/other\r\n";
    let answers = vec![refusal, accept(lines, b"\x88\x02\x03\xe9"), accept(UPGRADED, b"")];
    let server = Raw::serve(answers);
    let mut link =
        spawn(rt.clone(), &server.url, |builder| builder.cookies(true).header("cookie", "own=1"));
    let cookie = |request: String| {
        let line =
            request.lines().find_map(|line| line.strip_prefix("Cookie: ")).unwrap_or_default();
        line.to_owned()
    };
    link.attempt_failed().await;
    link.client.retry_now();
    link.connected().await;
    link.connected().await;
    for expected in ["own=1", "own=1; node=7", "own=1; node=8"] {
        assert_eq!(cookie(server.request(&link.rt).await), expected);
    }
    assert!(!format!("{:?}", link.heard()).contains("node="));

    // Without the choice there is no jar.
    let answers = vec![
        accept(
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSet-Cookie: node=8\r\n",
            b"\x88\x02\x03\xe9",
        ),
        accept(UPGRADED, b""),
    ];
    let server = Raw::serve(answers);
    let mut link = spawn(rt, &server.url, |builder| builder);
    link.connected().await;
    link.connected().await;
    for _ in 0..2 {
        assert_eq!(cookie(server.request(&link.rt).await), "");
    }
}

const HEADERS: [(&str, &str); 5] = [
    ("cookie", "session=1"),
    ("proxy-authorization", "Basic eDp5"),
    ("x-api-key", "key"),
    ("origin", "https://app.example"),
    ("user-agent", "app/1"),
];

fn with_everything<Rt: Runtime>(builder: Builder<Rt>) -> Builder<Rt> {
    let builder = builder.token(numbered().0).subprotocol("chat");
    HEADERS.iter().fold(builder, |builder, (name, value)| builder.header(name, *value))
}
