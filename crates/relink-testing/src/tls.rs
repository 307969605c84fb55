//! Certificates made on the spot, and the TLS in front of a server.

use std::{fmt, io, sync::Arc};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
};
use tokio_rustls::TlsAcceptor;

use crate::socket::Security;

/// A certificate authority, with one certificate for the server and one for a client. Valid for
/// centuries, created by each call, and for tests only.
pub struct TestCertificate {
    ca: Certificate,
    server: Certificate,
    server_key: KeyPair,
    client: ClientIdentity,
    client_required: bool,
}

impl TestCertificate {
    /// For `localhost`, 127.0.0.1 and ::1: clients that trust [`ca_der`](Self::ca_der) get through.
    ///
    /// # Errors
    ///
    /// When the system has no randomness for keys.
    pub fn for_localhost() -> io::Result<Self> {
        Self::issue(&["localhost", "127.0.0.1", "::1"])
    }

    /// For `wrong.example`: even clients that trust [`ca_der`](Self::ca_der) must refuse the
    /// server.
    ///
    /// # Errors
    ///
    /// When the system has no randomness for keys.
    pub fn wrong_name() -> io::Result<Self> {
        Self::issue(&["wrong.example"])
    }

    /// The server turns away clients that do not show [`client`](Self::client)'s certificate.
    ///
    /// In TLS 1.3 such a client learns of it only with its first read after the handshake.
    #[must_use]
    pub fn require_client_certificate(self) -> Self {
        Self { client_required: true, ..self }
    }

    /// The authority's certificate as DER: what a client has to trust.
    #[must_use]
    pub fn ca_der(&self) -> &[u8] {
        self.ca.der()
    }

    /// The authority's certificate as PEM.
    #[must_use]
    pub fn ca_pem(&self) -> String {
        self.ca.pem()
    }

    /// What a client needs to prove who it is.
    #[must_use]
    pub fn client(&self) -> &ClientIdentity {
        &self.client
    }

    fn issue(names: &[&str]) -> io::Result<Self> {
        Self::try_issue(names).map_err(io::Error::other)
    }

    fn try_issue(names: &[&str]) -> Result<Self, rcgen::Error> {
        let mut ca_params = named("relink test authority", &[])?;
        ca_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca_params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_key = KeyPair::generate()?;
        let ca = ca_params.self_signed(&ca_key)?;
        let issuer = Issuer::new(ca_params, ca_key);

        let sign = |mut params: CertificateParams, usage| {
            params.extended_key_usages = vec![usage];
            let key = KeyPair::generate()?;
            params.signed_by(&key, &issuer).map(|certificate| (certificate, key))
        };
        let (server, server_key) =
            sign(named("relink test server", names)?, ExtendedKeyUsagePurpose::ServerAuth)?;
        let (certificate, key) = sign(
            named("relink test client", &["client.example"])?,
            ExtendedKeyUsagePurpose::ClientAuth,
        )?;
        Ok(Self {
            ca,
            server,
            server_key,
            client: ClientIdentity { certificate, key },
            client_required: false,
        })
    }

    pub(crate) fn security(&self) -> io::Result<Security> {
        let config = self.server_config().map_err(io::Error::other)?;
        Ok(Security::Tls(TlsAcceptor::from(Arc::new(config))))
    }

    pub(crate) fn server_config(
        &self,
    ) -> Result<ServerConfig, Box<dyn std::error::Error + Send + Sync>> {
        let provider = Arc::new(ring::default_provider());
        let versions = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let clients = if self.client_required {
            let mut roots = RootCertStore::empty();
            roots.add(self.ca.der().clone())?;
            versions.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?,
            )
        } else {
            versions.with_no_client_auth()
        };
        let chain: Vec<CertificateDer<'static>> = vec![self.server.der().clone()];
        let key = PrivateKeyDer::Pkcs8(self.server_key.serialize_der().into());
        Ok(clients.with_single_cert(chain, key)?)
    }
}

fn named(common_name: &str, subject_alt_names: &[&str]) -> Result<CertificateParams, rcgen::Error> {
    let names: Vec<String> = subject_alt_names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    Ok(params)
}

impl fmt::Debug for TestCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestCertificate")
            .field("client_required", &self.client_required)
            .finish_non_exhaustive()
    }
}

/// A client's certificate and key; `Debug` shows neither.
pub struct ClientIdentity {
    certificate: Certificate,
    key: KeyPair,
}

impl ClientIdentity {
    /// The certificate as DER.
    #[must_use]
    pub fn certificate_der(&self) -> &[u8] {
        self.certificate.der()
    }

    /// The certificate as PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        self.certificate.pem()
    }

    /// The private key as PKCS #8 in DER.
    #[must_use]
    pub fn key_der(&self) -> &[u8] {
        self.key.serialized_der()
    }

    /// The private key as PKCS #8 in PEM.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientIdentity").finish_non_exhaustive()
    }
}
