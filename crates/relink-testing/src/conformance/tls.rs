//! `wss://`: certificates that are good, unknown, for another name, and missing.

use std::{
    future::ready,
    io::{self, Write},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    thread,
};

use futures_rustls::TlsConnector;
use futures_util::{AsyncRead, AsyncWrite};
use relink_driver::{
    BoxStream, BuildError, Builder, Runtime,
    relink::{
        Failure, Reason, Verdict,
        policy::{CLOSE_CODES, HeartbeatConfig},
    },
    rustls::{
        ClientConfig, RootCertStore, ServerConnection, StreamOwned,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
    },
};
use tokio_tungstenite::tungstenite;

use super::{
    pipe::{Far, pipe},
    setup::{
        end_of, ms, quick, quick_link, request_of, script as scripted, secs, spawn, start,
        start_with,
    },
};
use crate::rig::{Lost, Rig};
use crate::{
    AfterLast, ClientIdentity, Connection, EventKind, Forward, ForwardProxy, Refusal, Script,
    Server, TestCertificate,
};

/// A server whose authority is trusted: messages pass, a loss is made good, and the end is a close
/// frame.
pub async fn a_trusted_server_is_a_server<Rt: Runtime>(rt: Rt) {
    let certificate = certificate();
    let script = Script::new()
        .connection(Connection::new().expect_text("bye").close(1001, "deploy"))
        .then(AfterLast::Echo);
    let (server, mut link) = secured(rt, script, &certificate, client(&certificate, None));
    link.connected().await;
    link.send("bye").await;
    assert_eq!(link.disconnected().await.code, Some(1001));
    link.connected().await;
    let big = "x".repeat(1 << 20);
    link.send(&big).await;
    assert_eq!(link.text().await, big);
    link.rt.soon(link.client.close()).await;
    assert_eq!(
        end_of(&server, 2).await,
        EventKind::PeerClosed { code: Some(1000), reason: String::new() }
    );
}

/// An unknown authority.
pub async fn an_unknown_authority_is_refused<Rt: Runtime>(rt: Rt) {
    let (certificate, other) = (certificate(), certificate());
    let (server, mut link) = secured(rt, Script::echo(), &certificate, client(&other, None));
    assert_refused(&link.attempt_failed().await);
    assert!(matches!(end_of(&server, 1).await, EventKind::HandshakeFailed { .. }));
}

/// Without configuration only public authorities are trusted, not that of a test.
pub async fn by_default_only_public_authorities_are_known<Rt: Runtime>(rt: Rt) {
    let certificate = certificate();
    let server = Server::spawn_thread_tls(scripted(Script::echo()), &certificate)
        .expect("a server on loopback");
    match Builder::new(rt.clone(), server.url()).spawn() {
        // Built without a feature that brings authorities: said at once, and how to help it.
        Err(BuildError::Tls(error)) => {
            assert!(error.detail().contains("certificate authority"), "{error}")
        }
        Err(other) => panic!("{other}"),
        Ok(_) => {
            let mut link = spawn(rt, &server.url(), |builder| builder);
            assert_refused(&link.attempt_failed().await);
        }
    }
}

/// A certificate for another name.
pub async fn a_wrong_name_is_refused<Rt: Runtime>(rt: Rt) {
    let certificate = TestCertificate::wrong_name().expect("a certificate");
    let (_server, mut link) = secured(rt, Script::echo(), &certificate, client(&certificate, None));
    let lost = link.attempt_failed().await;
    assert_refused(&lost);
    assert!(lost.detail.contains("name"), "{lost:?}");
}

/// A server that requires a client certificate, and a client that has one.
pub async fn a_client_certificate_is_shown<Rt: Runtime>(rt: Rt) {
    let certificate = certificate().require_client_certificate();
    let config = client(&certificate, Some(certificate.client()));
    let (_server, mut link) = secured(rt, Script::echo(), &certificate, config);
    link.connected().await;
    link.send("it is me").await;
    assert_eq!(link.text().await, "it is me");
}

/// The same server, and a client that has nothing to show. In TLS 1.3 it learns of that after its
/// own handshake.
pub async fn a_client_certificate_that_is_missing_is_a_tls_failure<Rt: Runtime>(rt: Rt) {
    let certificate = certificate().require_client_certificate();
    let (_server, mut link) = secured(rt, Script::echo(), &certificate, client(&certificate, None));
    assert_refused(&link.attempt_failed().await);
}

/// A client certificate is a credential: a stranger that a redirect leads to does not see it.
pub async fn a_client_certificate_is_not_shown_to_a_stranger<Rt: Runtime>(rt: Rt) {
    let certificate = certificate().require_client_certificate();
    let stranger = Server::spawn_thread_tls(scripted(Script::echo()), &certificate)
        .expect("a server on loopback");
    let away =
        Script::refuse(Refusal::new(302).location(stranger.url().replacen("wss:", "https:", 1)));
    let config = client(&certificate, Some(certificate.client()));
    let (home, mut link) = secured(rt, away, &certificate, config);
    assert_refused(&link.attempt_failed().await);
    // At home it was shown.
    request_of(&home, 1).await;
}

/// A server that does not speak TLS.
pub async fn a_server_without_tls_is_a_tls_failure<Rt: Runtime>(rt: Rt) {
    let server = Server::spawn_thread(Connection::garbage()).expect("a server on loopback");
    let url = format!("wss://localhost:{}/", server.addr().port());
    let config = client(&certificate(), None);
    let mut link = spawn(rt, &url, |builder| builder.tls(config));
    let lost = link.attempt_failed().await;
    assert!(matches!(lost.reason, Reason::Failed(Failure::Tls | Failure::Eof)), "{lost:?}");
}

/// A redirect may lead from plain text to TLS: with the link's own authorities, or else the public
/// ones.
pub async fn a_redirect_can_lead_to_tls<Rt: Runtime>(rt: Rt) {
    let certificate = certificate();
    let server = Server::spawn_thread_tls(scripted(Script::echo()), &certificate)
        .expect("a server on loopback");
    let redirect =
        || Script::refuse(Refusal::new(301).location(server.url().replacen("wss:", "https:", 1)));
    let config = client(&certificate, None);
    let (_plain, mut link) = start_with(rt.clone(), redirect(), |builder| builder.tls(config));
    link.connected().await;

    let (_plain, mut link) = start(rt, redirect());
    let lost = link.attempt_failed().await;
    assert_eq!(lost.reason, Reason::Failed(Failure::Tls));
    assert!(lost.detail.contains("certificate"), "{lost:?}");
}

/// TLS is added to the stream of a connector, and the certificate must match the name in the
/// address.
pub async fn tls_goes_on_top_of_a_connector<Rt: Runtime>(rt: Rt) {
    let certificate = certificate();
    let server = Server::spawn_thread_tls(scripted(Script::echo()), &certificate)
        .expect("a server on loopback");
    let config = client(&certificate, None);
    let (address, runtime) = (server.addr(), rt.clone());
    // The address has a name and a port that only the connector can reach.
    let mut link = spawn(rt, "wss://localhost:1/", move |builder| {
        builder.tls(config).connector(move |target| {
            assert_eq!((target.host.as_str(), target.port, target.tls), ("localhost", 1, true));
            let runtime = runtime.clone();
            async move { runtime.connect(address).await }
        })
    });
    link.connected().await;
    link.send("through both").await;
    assert_eq!(link.text().await, "through both");
}

/// Another library can bring TLS, over TCP, over a connector and through a proxy; what it refuses
/// is a failure of TLS. It is not asked for a link without TLS.
pub async fn another_library_can_bring_tls<Rt: Runtime>(rt: Rt) {
    let certificate = certificate();
    let server = Server::spawn_thread_tls(scripted(Script::echo()), &certificate)
        .expect("a server on loopback");
    let (proxy, secret) = (
        ForwardProxy::start([Forward::Open]).expect("a proxy"),
        ForwardProxy::start_tls([Forward::Open], &certificate).expect("a proxy"),
    );
    let (proxies, runtime, address) = ([&proxy, &secret], rt.clone(), server.addr());
    for way in 0..4 {
        let (runtime, config) = (runtime.clone(), client(&certificate, None));
        let mut link = spawn(rt.clone(), &server.url(), |builder| {
            let builder = by_another(builder, config);
            match way {
                0 => builder,
                1 => builder.connector(move |_| {
                    let runtime = runtime.clone();
                    async move { runtime.connect(address).await }
                }),
                2 => builder.proxy(&proxies[0].url("socks5h")),
                _ => builder.proxy(&proxies[1].url("https")),
            }
        });
        link.connected().await;
        link.send("through").await;
        assert_eq!(link.text().await, "through");
    }
    assert_eq!((proxy.tunnels().len(), secret.tunnels().len()), (1, 1));

    let other = client(&self::certificate(), None);
    let mut link = spawn(rt.clone(), &server.url(), |builder| by_another(builder, other));
    assert_refused(&link.attempt_failed().await);

    let (_plain, mut link) = start_with(rt.clone(), Script::echo(), |builder| {
        builder.tls_by(|_, _| ready(Err::<BoxStream, _>(io::ErrorKind::Unsupported.into())))
    });
    link.connected().await;

    let config = client(&certificate, None);
    let both = by_another(Builder::new(rt, server.url()), config.clone()).tls(config);
    assert!(matches!(both.spawn(), Err(BuildError::Conflict(_))));
}

/// TLS as an application calls it.
fn by_another<Rt: Runtime>(builder: Builder<Rt>, config: Arc<ClientConfig>) -> Builder<Rt> {
    let connector = TlsConnector::from(config);
    builder.tls_by(move |stream, target| {
        let name = ServerName::try_from(target.host).expect("a name");
        connector.connect(name, stream)
    })
}

/// Bytes beneath TLS count as life, too: a record is passed on only when it is complete, and here
/// that takes longer than the heartbeat's timeout.
pub async fn i12_a_record_that_takes_long_to_arrive_is_life<Rt: Runtime>(rt: Rt) {
    for is_by_another in [false, true] {
        let certificate = certificate();
        let script = Connection::new().expect_text("slowly").send_text("slow");
        let server =
            Server::spawn_thread_tls(scripted(script), &certificate).expect("a server on loopback");
        let (config, address, runtime) = (client(&certificate, None), server.addr(), rt.clone());
        let heartbeat = HeartbeatConfig::default().with_interval(Some(ms(60))).with_timeout(ms(60));
        let limits = quick_link(|link| link.with_heartbeat(heartbeat));
        let is_slow = Arc::<AtomicBool>::default();
        let slow = is_slow.clone();
        let mut link = spawn(rt.clone(), "wss://localhost:1/", move |builder| {
            let builder =
                builder.config(limits).connector(move |_| {
                    let (runtime, slow) = (runtime.clone(), slow.clone());
                    async move {
                        Ok(Trickle { stream: runtime.connect(address).await?, slow, granted: 0 })
                    }
                });
            if is_by_another { by_another(builder, config) } else { builder.tls(config) }
        });
        link.connected().await;
        is_slow.store(true, Ordering::SeqCst);
        link.send("slowly").await;
        assert_eq!(link.text().await, "slow");
        let stats = link.client.stats();
        assert!(
            stats.pings >= 10 && stats.heartbeats_lost == 0 && stats.disconnects == 0,
            "{stats:?}"
        );
    }
}

/// New keys are a whole record without data: no message is under way after it, however short its
/// time would be.
pub async fn a_record_without_data_begins_no_message<Rt: Runtime>(rt: Rt) {
    let certificate = certificate();
    let tls = Arc::new(certificate.server_config().expect("a configuration"));
    let heartbeat =
        HeartbeatConfig::default().with_interval(None).with_message_timeout(Some(ms(100)));
    let config = quick_link(|link| link.with_heartbeat(heartbeat));
    let trusted = client(&certificate, None);
    let mut link = spawn(rt, "wss://localhost/", move |builder| {
        builder.config(config).tls(trusted).connector(move |_| {
            let (near, far) = pipe();
            let tls = ServerConnection::new(Arc::clone(&tls)).expect("a server");
            thread::spawn(move || renew_keys_and_echo(StreamOwned::new(tls, far)));
            ready(Ok(near))
        })
    });
    link.connected().await;
    link.send("renew your keys").await;
    link.rt.pass(ms(300)).await;
    link.send("still there").await;
    assert_eq!(link.text().await, "still there");
    assert_eq!(link.client.stats().disconnects, 0);
}

fn renew_keys_and_echo(stream: StreamOwned<ServerConnection, Far>) {
    let mut peer = tungstenite::accept(stream).expect("a handshake");
    peer.read().expect("the case asks for it");
    let stream = peer.get_mut();
    stream.conn.refresh_traffic_keys().expect("TLS 1.3");
    stream.flush().expect("it is heard");
    while let Ok(message) = peer.read() {
        _ = peer.send(message);
    }
}

/// A TLS handshake that is never answered has the attempt's deadline.
pub async fn i16_a_tls_handshake_that_hangs_times_out<Rt: Runtime>(rt: Rt) {
    let config = client(&certificate(), None);
    let mut link = spawn(rt, "wss://localhost/", move |builder| {
        let limits = quick_link(|link| link.with_connect_timeout(ms(100)));
        builder.config(limits).tls(config).connector(|_| async {
            let (near, far) = pipe();
            // Never read, never answered, and never ended.
            std::mem::forget(far);
            Ok(near)
        })
    });
    let lost = link.attempt_failed().await;
    assert!(matches!(lost.reason, Reason::TimedOut(_)), "{lost:?}");
}

/// A stream that, once it is slow, delivers one byte for each write, such as a ping.
struct Trickle<S> {
    stream: S,
    slow: Arc<AtomicBool>,
    granted: usize,
}

impl<S: AsyncRead + Unpin> AsyncRead for Trickle<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if !self.slow.load(Ordering::SeqCst) {
            return Pin::new(&mut self.stream).poll_read(cx, into);
        }
        if self.granted == 0 {
            // What is written is written by the task that reads.
            return Poll::Pending;
        }
        let read = Pin::new(&mut self.stream).poll_read(cx, &mut into[..1]);
        if read.is_ready() {
            self.granted -= 1;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Trickle<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.granted += 1;
        Pin::new(&mut self.stream).poll_write(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

/// The certificate is the cause, the detail names it, and the floor of 1015 keeps clients from
/// storming the server.
fn assert_refused(lost: &Lost) {
    assert_eq!(lost.reason, Reason::Failed(Failure::Tls), "{lost:?}");
    assert!(lost.detail.to_lowercase().contains("certificate"), "{lost:?}");
    let floor = CLOSE_CODES.iter().find(|rule| rule.from == 1015).map(|rule| rule.verdict);
    assert_eq!(floor, Some(Verdict::RetrySlow { floor: secs(30) }));
    lost.assert_retry_in(secs(30), secs(31));
}

pub(super) fn certificate() -> TestCertificate {
    TestCertificate::for_localhost().expect("a certificate")
}

fn secured<Rt: Runtime>(
    rt: Rt,
    script: impl Into<Script>,
    certificate: &TestCertificate,
    config: Arc<ClientConfig>,
) -> (Server, Rig<Rt>) {
    let server =
        Server::spawn_thread_tls(scripted(script), certificate).expect("a server on loopback");
    let link = spawn(rt, &server.url(), |builder| builder.config(quick()).tls(config));
    (server, link)
}

/// A client that trusts this authority, and may show who it is.
pub(super) fn client(
    trusted: &TestCertificate,
    identity: Option<&ClientIdentity>,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(trusted.ca_der().to_vec())).expect("an authority");
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    Arc::new(match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = vec![CertificateDer::from(identity.certificate_der().to_vec())];
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key_der().to_vec()));
            builder.with_client_auth_cert(chain, key).expect("an identity")
        }
    })
}
