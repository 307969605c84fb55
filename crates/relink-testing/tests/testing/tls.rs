//! `wss://` with certificates made on the spot.

use std::sync::Arc;

use crate::common::*;
use futures_util::{SinkExt, StreamExt};
use relink_testing::{ClientIdentity, Connection, EventKind, Script, Server, TestCertificate};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

type Secure = WebSocketStream<TlsStream<TcpStream>>;

/// A client that trusts these authorities and may show who it is.
fn connector(trusted: &[&TestCertificate], identity: Option<&ClientIdentity>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add(CertificateDer::from(certificate.ca_der().to_vec())).unwrap();
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = vec![CertificateDer::from(identity.certificate_der().to_vec())];
            let key = PrivatePkcs8KeyDer::from(identity.key_der().to_vec());
            builder.with_client_auth_cert(chain, PrivateKeyDer::Pkcs8(key)).unwrap()
        }
    };
    TlsConnector::from(Arc::new(config))
}

async fn dial(server: &Server, connector: &TlsConnector) -> Result<Secure, String> {
    let tcp = TcpStream::connect(server.addr()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let tls = within(connector.connect(name, tcp)).await.map_err(|error| error.to_string())?;
    let (client, _) =
        within(client_async(server.url(), tls)).await.map_err(|error| error.to_string())?;
    Ok(client)
}

async fn echoes(client: &mut Secure) {
    client.send(Message::text("through TLS")).await.unwrap();
    assert_eq!(within(client.next()).await.unwrap().unwrap(), Message::text("through TLS"));
}

#[tokio::test]
async fn a_client_that_trusts_the_authority_gets_through() {
    let certificate = TestCertificate::for_localhost().unwrap();
    let server = Server::start_tls(Script::echo(), &certificate).await.unwrap();
    assert_eq!(server.url(), format!("wss://localhost:{}/", server.addr().port()));
    let mut client = dial(&server, &connector(&[&certificate], None)).await.unwrap();
    echoes(&mut client).await;
    client.close(None).await.unwrap();
    assert!(matches!(end_of(&server, 1).await, EventKind::PeerClosed { .. }));
}

#[tokio::test]
async fn a_client_that_does_not_trust_it_turns_away() {
    let certificate = TestCertificate::for_localhost().unwrap();
    let server = Server::start_tls(Script::echo(), &certificate).await.unwrap();
    let error = dial(&server, &connector(&[&TestCertificate::for_localhost().unwrap()], None))
        .await
        .unwrap_err();
    assert!(error.contains("certificate"), "{error}");
    let EventKind::HandshakeFailed { why, .. } = end_of(&server, 1).await else { panic!() };
    assert!(why.starts_with("TLS: "), "{why}");
}

#[tokio::test]
async fn the_wrong_name_is_wrong() {
    let certificate = TestCertificate::wrong_name().unwrap();
    let server = Server::start_tls(Script::echo(), &certificate).await.unwrap();
    let error = dial(&server, &connector(&[&certificate], None)).await.unwrap_err();
    assert!(error.contains("not valid for name"), "{error}");
}

#[tokio::test]
async fn a_required_client_certificate_is_required() {
    let certificate = TestCertificate::for_localhost().unwrap().require_client_certificate();
    let server = Server::start_tls(Script::echo(), &certificate).await.unwrap();
    let error = dial(&server, &connector(&[&certificate], None)).await.unwrap_err();
    assert!(error.contains("CertificateRequired"), "{error}");
    assert!(matches!(end_of(&server, 1).await, EventKind::HandshakeFailed { .. }));

    let stranger = TestCertificate::for_localhost().unwrap();
    assert!(dial(&server, &connector(&[&certificate], Some(stranger.client()))).await.is_err());

    let mut client =
        dial(&server, &connector(&[&certificate], Some(certificate.client()))).await.unwrap();
    echoes(&mut client).await;
}

#[tokio::test]
async fn the_steps_work_over_tls_too() {
    let certificate = TestCertificate::for_localhost().unwrap();
    let script = Script::new()
        .connection(Connection::new().close(1001, "deploy"))
        .connection(Connection::new().drop_socket())
        .connection(Connection::new().reset())
        .connection(Connection::refuse(503));
    let server = Server::start_tls(script, &certificate).await.unwrap();
    let connector = connector(&[&certificate], None);

    let mut closed = dial(&server, &connector).await.unwrap();
    assert!(within(closed.next()).await.unwrap().unwrap().is_close());
    drop(closed);
    let mut dropped = dial(&server, &connector).await.unwrap();
    assert!(within(dropped.next()).await.unwrap().is_err());
    let mut reset = dial(&server, &connector).await.unwrap();
    assert!(within(reset.next()).await.unwrap().is_err());
    let refused = dial(&server, &connector).await.unwrap_err();
    assert!(refused.contains("503"), "{refused}");
    assert_eq!(end_of(&server, 2).await, EventKind::Dropped);
    assert_eq!(end_of(&server, 3).await, EventKind::Reset);
}

#[test]
fn a_thread_of_its_own_speaks_tls_and_pem_and_debug_are_as_promised() {
    let certificate = TestCertificate::for_localhost().unwrap();
    let server = Server::spawn_thread_tls(Script::echo(), &certificate).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        echoes(&mut dial(&server, &connector(&[&certificate], None)).await.unwrap()).await;
    });
    let client = certificate.client();
    assert!(certificate.ca_pem().starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(client.certificate_pem().starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(client.key_pem().starts_with("-----BEGIN PRIVATE KEY-----"));
    assert_eq!(format!("{client:?}"), "ClientIdentity { .. }");
    assert_eq!(format!("{certificate:?}"), "TestCertificate { client_required: false, .. }");
}
