//! A link with the system's TLS, on both drivers.

use async_native_tls::{Certificate, Identity, TlsConnector};
use relink_driver::Runtime;
use relink_driver::relink::{Failure, Reason};
use relink_native_tls::apply;
use relink_testing::rig::Rig;
use relink_testing::{Script, Server, TestCertificate};

fn trusting(certificate: &TestCertificate) -> impl Fn() -> TlsConnector + Send + Sync + 'static {
    let authority = Certificate::from_der(certificate.ca_der()).expect("an authority");
    move || TlsConnector::new().add_root_certificate(authority.clone())
}

async fn a_trusted_server_is_a_server<Rt: Runtime>(rt: Rt) {
    let certificate = TestCertificate::for_localhost().expect("a certificate");
    let server = Server::spawn_thread_tls(Script::echo(), &certificate).expect("a server");
    let trusting = trusting(&certificate);
    let mut link = Rig::spawn(rt, &server.url(), |builder| apply(builder, move |_| trusting()));
    link.connected().await;
    let big = "x".repeat(1 << 20);
    link.send(&big).await;
    assert_eq!(link.text().await, big);
}

async fn an_unknown_authority_and_a_wrong_name_are_refused<Rt: Runtime>(rt: Rt) {
    let known = TestCertificate::for_localhost().expect("a certificate");
    let wrong = TestCertificate::wrong_name().expect("a certificate");
    for (served, trusted) in
        [(&TestCertificate::for_localhost().expect("one"), &known), (&wrong, &wrong)]
    {
        let server = Server::spawn_thread_tls(Script::echo(), served).expect("a server");
        let trusting = trusting(trusted);
        let mut link =
            Rig::spawn(rt.clone(), &server.url(), |builder| apply(builder, move |_| trusting()));
        let lost = link.attempt_failed().await;
        assert_eq!(lost.reason, Reason::Failed(Failure::Tls), "{lost:?}");
    }
}

async fn a_client_certificate_is_shown<Rt: Runtime>(rt: Rt) {
    let certificate = TestCertificate::for_localhost().expect("one").require_client_certificate();
    let server = Server::spawn_thread_tls(Script::echo(), &certificate).expect("a server");
    let client = certificate.client();
    let identity =
        Identity::from_pkcs8(client.certificate_pem().as_bytes(), client.key_pem().as_bytes())
            .expect("an identity");
    let trusting = trusting(&certificate);
    let mut link = Rig::spawn(rt, &server.url(), |builder| {
        apply(builder, move |_| trusting().identity(identity.clone()))
    });
    link.connected().await;
}

async fn all<Rt: Runtime>(rt: Rt) {
    a_trusted_server_is_a_server(rt.clone()).await;
    an_unknown_authority_and_a_wrong_name_are_refused(rt.clone()).await;
    a_client_certificate_is_shown(rt).await;
}

#[test]
fn on_tokio() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async { all(relink_tokio::Tokio::new()).await });
}

#[test]
fn on_async_std() {
    async_std::task::block_on(all(relink_async_std::AsyncStd::new()));
}
