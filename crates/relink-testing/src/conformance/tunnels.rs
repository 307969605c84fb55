//! Through a proxy that the link is configured with, by HTTP CONNECT and by SOCKS5.

use std::net::{Ipv4Addr, TcpListener};

use relink_driver::{
    BuildError, Builder, Runtime,
    relink::{Failure, Reason},
};

use super::{
    secrets::MARK,
    setup::{ms, quick_link, request_of, script, serve, spawn},
    tls::{certificate, client},
};
use crate::rig::{Lost, Observed};
use crate::{AfterLast, Connection, Forward, ForwardProxy, Refusal, Script, Server};

/// HTTP, and SOCKS5 with names that are looked up by the proxy.
const SCHEMES: [&str; 2] = ["http", "socks5h"];

/// Messages pass, a loss is made good through the proxy as well, and the proxy looks the name up.
pub async fn a_link_goes_through_a_proxy<Rt: Runtime>(rt: Rt) {
    for scheme in SCHEMES {
        let server = serve(
            Script::new()
                .connection(Connection::new().expect_text("bye").close(1001, "deploy"))
                .then(AfterLast::Echo),
        );
        let proxy = proxy([Forward::Open]);
        proxy.host("server.invalid", server.addr());
        let url = "ws://server.invalid:8000/";
        let mut link = spawn(rt.clone(), url, |builder| builder.proxy(&proxy.url(scheme)));
        link.connected().await;
        link.send("bye").await;
        assert_eq!(link.disconnected().await.code, Some(1001));
        link.connected().await;
        let big = "x".repeat(1 << 18);
        link.send(&big).await;
        assert_eq!(link.text().await, big);
        let tunnels = proxy.tunnels();
        assert_eq!(tunnels.len(), 2, "{scheme}");
        for tunnel in tunnels {
            assert_eq!(tunnel.target, "server.invalid:8000");
            assert_eq!((tunnel.is_socks, tunnel.login), (scheme == "socks5h", None));
        }
    }
}

/// With `socks5` the name is looked up here, and the proxy is asked for its addresses in turn.
pub async fn a_name_can_be_looked_up_here<Rt: Runtime>(rt: Rt) {
    let server = serve(Script::echo());
    let proxy = proxy([Forward::Open]);
    let url = format!("ws://localhost:{}/", server.addr().port());
    let mut link = spawn(rt, &url, |builder| builder.proxy(&proxy.url("socks5")));
    link.connected().await;
    assert_eq!(link.client.stats().failed_attempts, 0);
    let target = proxy.tunnels().pop().map(|tunnel| tunnel.target);
    assert_eq!(target, Some(server.addr().to_string()));
}

/// The login goes to the proxy, and a wrong one is said to be the cause, without being shown.
pub async fn a_proxy_can_ask_for_a_login<Rt: Runtime>(rt: Rt) {
    for scheme in SCHEMES {
        let server = serve(Script::echo());
        let password = format!("p@ss:{MARK}");
        let proxy = proxy([Forward::Login { user: "me".to_owned(), password: password.clone() }]);
        let with = |login: &str| format!("{scheme}://{login}{}", proxy.addr());
        for (login, words) in [("", "asks for a login"), (&format!("me:{MARK}@")[..], "accept")] {
            let mut link = spawn(rt.clone(), &server.url(), |builder| builder.proxy(&with(login)));
            let lost = link.attempt_failed().await;
            assert_at_proxy(&lost, &proxy.url(scheme), words);
            let shown = format!("{lost:?} {:?}", link.heard());
            assert!(!shown.contains(MARK), "{shown}");
        }
        assert_eq!(server.connections(), 0);
        let login = format!("me:p%40ss:{MARK}@");
        let mut link = spawn(rt.clone(), &server.url(), |builder| builder.proxy(&with(&login)));
        link.connected().await;
        let login = proxy.tunnels().pop().and_then(|tunnel| tunnel.login);
        assert_eq!(login, Some(format!("me:{password}")));
        let seen = format!("{:?}", request_of(&server, 1).await.headers());
        assert!(!seen.to_lowercase().contains("proxy-auth"), "{seen}");
    }
}

/// Statuses that would end the link, were they the server's, are failed attempts, and so is all
/// else that a proxy may say.
pub async fn a_refusal_of_a_proxy_is_never_the_servers<Rt: Runtime>(rt: Rt) {
    let refuse = |status, reply| Forward::Refuse { status, reply };
    for (scheme, forward, failure, words) in [
        ("http", refuse(403, 0), Failure::Io, "answered 403 No tunnel"),
        ("http", refuse(410, 0), Failure::Io, "answered 410"),
        ("http", refuse(302, 0), Failure::Io, "answered 302"),
        ("http", Forward::Say(b"SSH-2.0\r\n".to_vec()), Failure::Io, "other than HTTP"),
        ("http", Forward::Say(Vec::new()), Failure::Eof, "hung up"),
        ("socks5h", refuse(0, 2), Failure::Io, "rules do not allow"),
        ("socks5h", refuse(0, 4), Failure::Unreachable, "unreachable"),
        ("socks5h", refuse(0, 5), Failure::Refused, "refused"),
        ("socks5h", Forward::Say(b"HTTP/1.1 400 Bad\r\n\r\n".to_vec()), Failure::Io, "SOCKS5"),
        ("socks5h", Forward::Say(Vec::new()), Failure::Eof, "hung up"),
    ] {
        let server = serve(Script::echo());
        let proxy = proxy([forward, Forward::Open]);
        let url = proxy.url(scheme);
        let mut link = spawn(rt.clone(), &server.url(), |builder| builder.proxy(&url));
        let lost = link.attempt_failed().await;
        assert_eq!(lost.reason, Reason::Failed(failure), "{lost:?}");
        assert!(lost.detail.contains(&url) && lost.detail.contains(words), "{lost:?}");
        // The next attempt comes by the curve of a failed dial, and succeeds.
        link.connected().await;
    }
}

/// A proxy that is not there is named, and a server that the proxy cannot reach is as well.
pub async fn what_cannot_be_reached_is_named<Rt: Runtime>(rt: Rt) {
    let gone = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        listener.local_addr().expect("it is bound")
    };
    let proxy = proxy([Forward::Open]);
    for scheme in SCHEMES {
        let url = format!("{scheme}://{gone}");
        let mut link = spawn(rt.clone(), "ws://server.invalid/", |builder| builder.proxy(&url));
        let lost = link.attempt_failed().await;
        assert_eq!(lost.reason, Reason::Failed(Failure::Refused), "{lost:?}");
        assert!(lost.detail.contains(&format!("{url} cannot be reached")), "{lost:?}");

        let server = format!("ws://{gone}/");
        let mut link = spawn(rt.clone(), &server, |builder| builder.proxy(&proxy.url(scheme)));
        let lost = link.attempt_failed().await;
        assert!(lost.detail.contains(&format!("did not connect to {gone}")), "{lost:?}");
    }
}

/// A proxy that never answers has the attempt's deadline.
pub async fn i16_a_proxy_that_hangs_times_out<Rt: Runtime>(rt: Rt) {
    for scheme in SCHEMES {
        let server = serve(Script::echo());
        let proxy = proxy([Forward::Hang, Forward::Open]);
        let config = quick_link(|link| link.with_connect_timeout(ms(100)));
        let mut link = spawn(rt.clone(), &server.url(), |builder| {
            builder.config(config).proxy(&proxy.url(scheme))
        });
        let lost = link.attempt_failed().await;
        assert!(matches!(lost.reason, Reason::TimedOut(_)), "{lost:?}");
    }
}

/// A redirect and a second endpoint go through the proxy, too, and no socket goes elsewhere.
pub async fn redirects_and_endpoints_go_through_the_proxy<Rt: Runtime>(rt: Rt) {
    for scheme in SCHEMES {
        let (first, third) = (serve(Script::refuse(500)), serve(Script::echo()));
        let second = serve(Script::refuse(Refusal::new(302).location(third.url())));
        let proxy = proxy([Forward::Open]);
        let mut link = spawn(rt.clone(), &first.url(), |builder| {
            builder.endpoint(second.url()).proxy(&proxy.url(scheme))
        });
        link.connected().await;
        let targets: Vec<_> = proxy.tunnels().into_iter().map(|tunnel| tunnel.target).collect();
        assert_eq!(targets, [&first, &second, &third].map(|server| server.addr().to_string()));
    }
}

/// TLS is with the server: the proxy learns its name, and no credential.
pub async fn a_proxy_sees_nothing_of_an_encrypted_link<Rt: Runtime>(rt: Rt) {
    let certificate = certificate();
    let server = Server::spawn_thread_tls(script(Script::echo()), &certificate)
        .expect("a server on loopback");
    let url = format!("wss://me:{MARK}@localhost:{}/?key={MARK}", server.addr().port());
    for scheme in SCHEMES {
        let proxy = proxy([Forward::Open]);
        proxy.host("localhost", server.addr());
        let config = client(&certificate, None);
        let mut link =
            spawn(rt.clone(), &url, |builder| builder.tls(config).proxy(&proxy.url(scheme)));
        link.connected().await;
        link.send(MARK).await;
        assert_eq!(link.text().await, MARK);
        let [tunnel] = &proxy.tunnels()[..] else { panic!("one tunnel") };
        let heard = String::from_utf8_lossy(&tunnel.heard);
        assert_eq!(tunnel.target, format!("localhost:{}", server.addr().port()));
        assert!(tunnel.heard.len() > 500 && !heard.contains(MARK), "{heard}");
        assert!(!heard.contains("bWU6"), "the user's name in Base64: {heard}");
    }
}

/// A client certificate is for the server: a proxy that asks for one gets none.
pub async fn a_proxy_gets_no_client_certificate<Rt: Runtime>(rt: Rt) {
    let certificate = certificate().require_client_certificate();
    let server = Server::spawn_thread_tls(script(Script::echo()), &certificate)
        .expect("a server on loopback");
    let proxy = ForwardProxy::start_tls([Forward::Open], &certificate).expect("a proxy");
    let url = format!("https://localhost:{}", proxy.addr().port());
    let config = client(&certificate, Some(certificate.client()));
    let mut link = spawn(rt, &server.url(), |builder| builder.tls(config).proxy(&url));
    let lost = link.attempt_failed().await;
    assert_eq!(lost.reason, Reason::Failed(Failure::Tls), "{lost:?}");
    assert!(lost.detail.contains(&url) && proxy.tunnels().is_empty(), "{lost:?}");
}

/// A proxy that is spoken to over TLS, with the link's own authorities.
pub async fn a_proxy_can_have_tls<Rt: Runtime>(rt: Rt) {
    let certificate = certificate();
    let server = serve(Script::echo());
    let password = "secret".to_owned();
    let script = [Forward::Login { user: "me".to_owned(), password }];
    let proxy = ForwardProxy::start_tls(script, &certificate).expect("a proxy");
    let url = format!("https://me:secret@localhost:{}", proxy.addr().port());
    let config = client(&certificate, None);
    let mut link = spawn(rt, &server.url(), |builder| builder.tls(config).proxy(&url));
    link.connected().await;
    link.send("through").await;
    assert_eq!(link.text().await, "through");
}

/// What is no proxy is said when the link is built, and that one way to the server excludes the
/// others.
pub async fn a_proxy_that_is_none_is_refused_and_named<Rt: Runtime>(rt: Rt) {
    let rt = Observed::new(rt);
    let builder = || Builder::new(rt.clone(), "ws://127.0.0.1:9/");
    let url = format!("ftp://me:{MARK}@host:21");
    let error = builder().proxy(&url).spawn().expect_err("it cannot work");
    let shown = format!("{error} {error:?}");
    assert!(matches!(error, BuildError::Proxy { .. }), "{shown}");
    assert!(shown.contains("proxy()") && shown.contains("ftp://host:21"), "{shown}");
    assert!(shown.contains("socks5h") && !shown.contains(MARK), "{shown}");

    let proxied = || builder().proxy("http://127.0.0.1:9");
    let runtime = rt.clone();
    let address = ([127, 0, 0, 1], 9).into();
    for twice in [
        proxied().proxy("http://127.0.0.1:9"),
        proxied().connector(move |_| {
            let runtime = runtime.clone();
            async move { runtime.connect(address).await }
        }),
        proxied().proxy_from_env(true),
    ] {
        let error = twice.spawn().expect_err("two ways");
        assert!(matches!(error, BuildError::Conflict(_)), "{error}");
    }
    assert!(proxied().proxy_from_env(false).spawn().is_ok());
}

fn assert_at_proxy(lost: &Lost, url: &str, words: &str) {
    assert_eq!(lost.reason, Reason::Failed(Failure::Io), "{lost:?}");
    assert!(lost.detail.contains(url) && lost.detail.contains(words), "{lost:?}");
}

fn proxy(script: impl IntoIterator<Item = Forward>) -> ForwardProxy {
    ForwardProxy::start(script).expect("a proxy on loopback")
}
