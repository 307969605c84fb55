//! Secrets are sent to the server only: none is in an event, an error or `Debug` output.
//!
//! Logs are checked by a separate test binary, since a logger belongs to the whole process: it runs
//! [`secrets_reach_the_server_and_nobody_else`] and searches what was logged for [`MARK`].

use std::{convert::Infallible, error::Error, fmt::Write, future::ready};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use relink_driver::{
    Builder, Runtime, TokenPlacement, Wire, WireLimits, http,
    relink::{
        Address, Event, Token,
        session::{Frame, Secret},
    },
};

use super::setup::{quick, quick_link, request_of, serve, start_with};
use crate::rig::Observed;
use crate::{AfterLast, Connection, Refusal, Request, Script, Server};

/// Part of every secret in these cases.
pub const MARK: &str = "S3CR3T";

/// Every way in which a secret can be given to a link: each arrives at the server, and shows
/// nowhere on this side, through connecting, losing the link, coming back, being refused, being
/// redirected and the end.
pub async fn secrets_reach_the_server_and_nobody_else<Rt: Runtime>(rt: Rt) {
    let mut shown = String::new();
    for placement in [TokenPlacement::Bearer, TokenPlacement::Query("jwt".into())] {
        let server = serve(bad_days());
        let watched = Observed::new(rt.clone());
        watched.soon(live_through(&watched, &server, placement.clone(), &mut shown)).await;
        for connection in 1..=4 {
            assert_has_secrets(&request_of(&server, connection).await, &placement);
        }
    }
    assert!(shown.contains("Disconnected") && shown.contains("AttemptFailed"), "{shown}");
    assert!(!shown.contains(MARK), "{shown}");
}

/// What is wrong with an address, a header or a configuration is said without the secrets in it.
pub async fn errors_of_building_show_no_secret<Rt: Runtime>(rt: Rt) {
    let url = |scheme: &str| format!("{scheme}://me:{MARK}@127.0.0.1:9/feed?token={MARK}#{MARK}");
    let builders = [
        Builder::new(rt.clone(), url("http")),
        Builder::new(rt.clone(), url("ws").replace("/feed", "/a feed")),
        Builder::new(rt.clone(), format!("//me:{MARK}@h/?{MARK}")),
        Builder::new(rt.clone(), url("ws")).header("authorization", &format!("{MARK}\n")),
        Builder::new(rt.clone(), url("ws")).subprotocol(&format!("{MARK}\n")),
        Builder::new(rt.clone(), url("ws")).endpoint(url("ftp")),
        Builder::new(rt, url("wss"))
            .config(quick_link(|link| link.with_connect_timeout(std::time::Duration::ZERO))),
    ];
    for builder in builders {
        let debug = format!("{builder:?}");
        let error = builder.spawn().expect_err("it cannot work");
        let mut shown = format!("{debug} {error} {error:?}");
        let mut source = error.source();
        while let Some(error) = source {
            _ = write!(shown, " {error} {error:?}");
            source = error.source();
        }
        assert!(!shown.contains(MARK), "{shown}");
    }
}

/// Nothing that holds a secret prints it.
pub async fn what_holds_secrets_hides_them<Rt: Runtime>(rt: Rt) {
    let url = format!("wss://me:{MARK}@127.0.0.1:9/feed?key={MARK}");
    let address = Address::from(url.as_str());
    let token = Secret::from(MARK);
    let (target, wire) =
        Wire::dial(&address, Some(&token), WireLimits::default()).expect("a handshake");
    let frame = Frame::Message(MARK.into());
    let link = Builder::new(rt, url.replacen("wss", "ws", 1))
        .header("cookie", MARK)
        .connect()
        .expect("a link");
    let shown = format!("{address:?} {token:?} {target:?} {wire:?} {frame:?} {link:?}");
    assert!(shown.contains("Connection") && !shown.contains(MARK), "{shown}");
}

/// A token that cannot be sent is an error without the token in it.
pub async fn a_token_that_cannot_be_sent_is_not_shown<Rt: Runtime>(rt: Rt) {
    let (server, mut link) = start_with(rt, Script::echo(), |builder| {
        builder.token(|| ready(Ok::<_, Infallible>(Token::from(format!("{MARK}\n")))))
    });
    let lost = link.attempt_failed().await;
    let shown = format!("{lost:?} {:?}", link.heard());
    assert!(
        shown.contains("characters") && shown.contains("TokenFailed") && !shown.contains(MARK),
        "{shown}"
    );
    assert_eq!(server.connections(), 0);
}

/// A redirect's address may carry a secret, too.
pub async fn a_redirects_address_is_not_shown<Rt: Runtime>(rt: Rt) {
    let location = format!("/next?ticket={MARK}");
    let script = Script::new()
        .connection(Connection::refuse(Refusal::new(302).location(location)))
        .then(AfterLast::Echo);
    let (server, mut link) = start_with(rt, script, |builder| builder);
    link.connected().await;
    let ticket = format!("ticket={MARK}");
    assert_eq!(request_of(&server, 2).await.query(), Some(ticket.as_str()));
    let shown = format!("{:?}", link.heard());
    assert!(shown.contains("/next") && !shown.contains(MARK), "{shown}");
}

/// Loses its link, is refused, is redirected, and is kicked.
fn bad_days() -> Script {
    Script::new()
        .connection(Connection::new().close(1001, "deploy"))
        .connection(Connection::refuse(503))
        .connection(Connection::refuse(
            Refusal::new(307).location(format!("/there?room=1&key={MARK}")),
        ))
        .connection(Connection::new().close(4020, "kicked"))
}

/// Runs a link with secrets everywhere to its end, and writes down everything that can be printed.
async fn live_through<Rt: Runtime>(
    rt: &Observed<Rt>,
    server: &Server,
    placement: TokenPlacement,
    shown: &mut String,
) {
    // A token that is placed elsewhere leaves the header to the user name.
    let user =
        if placement == TokenPlacement::Bearer { String::new() } else { format!("me:{MARK}@") };
    let url = format!("ws://{user}{}/feed?key={MARK}", server.addr());
    let request = http::Request::get(url).header("cookie", format!("session={MARK}")).body(());
    let mut sensitive = http::HeaderValue::from_str(MARK).expect("a header");
    sensitive.set_sensitive(true);
    let mut request = request.expect("a request");
    request.headers_mut().insert("x-api-key", sensitive);

    let builder = Builder::new(rt.clone(), request)
        .config(quick())
        .header("proxy-authorization", &format!("Basic {MARK}"))
        .token(|| ready(Ok::<_, Infallible>(Token::from(format!("token-{MARK}")))))
        .token_placement(placement);
    _ = write!(shown, "{builder:?}");
    let (client, mut events) = builder.spawn().expect("a link");
    _ = write!(shown, "{events:?}");
    while let Some(event) = events.recv().await {
        _ = writeln!(shown, "{event:?}\n{client:?}");
        if let Event::Dialing { address, .. } = &event {
            _ = writeln!(shown, "{address}");
        }
        if let Event::AttemptFailed { reason, detail, .. }
        | Event::Disconnected { reason, detail, .. } = &event
        {
            _ = writeln!(shown, "{reason} {detail}");
            client.retry_now();
        }
    }
    let address = Address::from(format!("ws://me:{MARK}@h/?{MARK}#{MARK}"));
    _ = write!(shown, "{address} {address:?} {:?}", client.close().await);
}

fn assert_has_secrets(request: &Request, placement: &TokenPlacement) {
    let (token, basic, cookie) =
        (format!("Bearer token-{MARK}"), format!("Basic {MARK}"), format!("session={MARK}"));
    let query = request.query().unwrap_or_default();
    let is_bearer = *placement == TokenPlacement::Bearer;
    let user = format!("Basic {}", BASE64.encode(format!("me:{MARK}")));
    assert_eq!(
        request.header("authorization"),
        Some(if is_bearer { token.as_str() } else { user.as_str() })
    );
    assert_eq!(query.contains(&format!("jwt=token-{MARK}")), !is_bearer, "{query}");
    assert!(query.contains(&format!("key={MARK}")), "{query}");
    assert_eq!(request.header("proxy-authorization"), Some(basic.as_str()));
    assert_eq!(request.header("cookie"), Some(cookie.as_str()));
    assert_eq!(request.header("x-api-key"), Some(MARK));
}
