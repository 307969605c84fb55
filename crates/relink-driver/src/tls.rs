//! TLS on top of a transport, by rustls.

use std::io;
use std::sync::Arc;

use futures_rustls::TlsConnector;
use relink::Failure;
use rustls::SignatureScheme;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;

use crate::runtime::ConnectError;
use crate::stream::BoxStream;

/// A TLS client: the application's configuration (roots, client certificates), or the default of
/// the features.
#[derive(Clone, Default)]
pub(crate) struct Tls {
    config: Option<Arc<rustls::ClientConfig>>,
}

impl Tls {
    pub(crate) const fn custom(config: Arc<rustls::ClientConfig>) -> Self {
        Self { config: Some(config) }
    }

    /// Makes sure that there is a configuration; once per link, not per attempt.
    pub(crate) fn prepare(&mut self) -> Result<(), ConnectError> {
        if self.config.is_none() {
            self.config = Some(Arc::new(default_config()?));
        }
        Ok(())
    }

    /// A client certificate is sent to a host that `is_trusted` only.
    pub(crate) async fn wrap(
        self,
        stream: BoxStream,
        host: &str,
        is_trusted: bool,
    ) -> Result<BoxStream, ConnectError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|error| {
            ConnectError::new(
                Failure::Tls,
                format!("{host:?} cannot be the name in a certificate: {error}"),
            )
        })?;
        // Not prepared if only a redirect led to TLS.
        let mut config = self.config.map_or_else(|| default_config().map(Arc::new), Ok)?;
        if !is_trusted && config.client_auth_cert_resolver.has_certs() {
            config = Arc::new(without_certificate(&config));
        }
        let stream =
            TlsConnector::from(config).connect(name, stream).await.map_err(ConnectError::tls)?;
        Ok(Box::new(stream))
    }
}

/// The same without a client certificate.
fn without_certificate(config: &rustls::ClientConfig) -> rustls::ClientConfig {
    let mut config = config.clone();
    config.client_auth_cert_resolver = Arc::new(NoCertificate);
    // A resumed session would also prove the certificate.
    config.resumption = Resumption::disabled();
    config
}

#[derive(Debug)]
struct NoCertificate;

impl ResolvesClientCert for NoCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// Whether the peer refused the TLS handshake. In TLS 1.3 a client sees that after its own part,
/// with its first read: for example, if its certificate is missing.
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    let error = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    matches!(error, Some(rustls::Error::AlertReceived(_)))
}

/// The features' certificate authorities, together.
fn default_config() -> Result<rustls::ClientConfig, ConnectError> {
    #[cfg_attr(
        not(any(feature = "rustls-tls-native-roots", feature = "rustls-tls-webpki-roots")),
        expect(unused_mut, reason = "no feature adds roots")
    )]
    let mut roots = rustls::RootCertStore::empty();
    #[cfg(feature = "rustls-tls-native-roots")]
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    #[cfg(feature = "rustls-tls-webpki-roots")]
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if roots.is_empty() {
        let advice = "no certificate authority is known; enable rustls-tls-native-roots or \
                      rustls-tls-webpki-roots, or hand a configuration to tls()";
        return Err(ConnectError::new(Failure::Tls, advice));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ConnectError::new(Failure::Tls, error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
