//! TLS on top of a transport, by [`rustls`]: what a configuration of one's own begins with.
//!
//! A client certificate, with the authorities that are known by default:
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use relink_driver::{Builder, Runtime, tls};
//! # use relink_driver::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
//! # fn known<Rt: Runtime>(builder: Builder<Rt>) -> Result<Builder<Rt>, Box<dyn std::error::Error>> {
//! let chain = CertificateDer::pem_file_iter("client.pem")?.collect::<Result<_, _>>()?;
//! let key = PrivateKeyDer::from_pem_file("client.key")?;
//! let config = tls::client(tls::roots().store)?.with_client_auth_cert(chain, key)?;
//! Ok(builder.tls(Arc::new(config)))
//! # }
//! ```
//!
//! It is shown to the origins of the configured addresses only, and never to a proxy.
//!
//! The cryptography is that of the process's [`CryptoProvider`], if the application installed one:
//!
//! ```
//! use relink_driver::{rustls::crypto::{CryptoProvider, ring}, tls};
//!
//! // Or aws_lc_rs, or one of your own, whose crate the application depends on.
//! ring::default_provider().install_default().expect("nothing was installed before");
//! let installed = CryptoProvider::get_default().expect("it was installed");
//! assert!(std::sync::Arc::ptr_eq(&tls::provider(), installed));
//! ```

use std::io;
use std::sync::Arc;

use futures_rustls::TlsConnector;
use relink::Failure;
use rustls::client::{ResolvesClientCert, Resumption, WantsClientCert};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, ClientConfig, ConfigBuilder, RootCertStore, SignatureScheme};

use crate::runtime::ConnectError;
use crate::stream::BoxStream;

/// Certificate authorities.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Roots {
    /// Those that are trusted.
    pub store: RootCertStore,
    /// What the system's store could not read, in words: a file, or a certificate in it. The link
    /// works without them; if a server turns out to be certified by an unknown authority, the error
    /// names them as well.
    pub problems: Vec<String>,
}

/// The certificate authorities that links trust by default: Mozilla's with the feature
/// `rustls-tls-webpki-roots`, those of the operating system with `rustls-tls-native-roots`, and
/// both together with both; none with neither. Since `rustls-tls-webpki-roots` is a default feature
/// of the driver crates, only `default-features = false` leaves the system's alone.
///
/// The system's store is read anew by each call. `SSL_CERT_FILE` and `SSL_CERT_DIR` replace it.
#[must_use]
pub fn roots() -> Roots {
    #[cfg_attr(
        not(any(feature = "rustls-tls-native-roots", feature = "rustls-tls-webpki-roots")),
        expect(unused_mut, reason = "no feature adds roots")
    )]
    let mut roots = Roots { store: RootCertStore::empty(), problems: Vec::new() };
    #[cfg(feature = "rustls-tls-native-roots")]
    {
        let found = rustls_native_certs::load_native_certs();
        roots.problems.extend(found.errors.iter().map(ToString::to_string));
        let (_, unusable) = roots.store.add_parsable_certificates(found.certs);
        if unusable > 0 {
            roots.problems.push(format!("{unusable} certificates cannot be parsed"));
        }
    }
    #[cfg(feature = "rustls-tls-webpki-roots")]
    roots.store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    roots
}

/// The cryptography that links use by default: that of the process
/// ([`CryptoProvider::install_default`]), or ring's if nothing was installed.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    let installed = CryptoProvider::get_default().cloned();
    installed.unwrap_or_else(|| Arc::new(ring::default_provider()))
}

/// A configuration with the [provider] and these authorities, which needs only to know whether
/// there is a client certificate. Unlike `ClientConfig::builder`, it never panics.
///
/// # Errors
///
/// If the provider has no cipher suite for TLS 1.2 or 1.3.
pub fn client(
    roots: RootCertStore,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, ConnectError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| ConnectError::new(Failure::Tls, error.to_string()))?;
    Ok(builder.with_root_certificates(roots))
}

/// A TLS client: the application's configuration (roots, client certificates), or the default of
/// the features.
#[derive(Clone, Default)]
pub(crate) struct Tls {
    config: Option<Arc<ClientConfig>>,
    is_own: bool,
}

impl Tls {
    pub(crate) const fn custom(config: Arc<ClientConfig>) -> Self {
        Self { config: Some(config), is_own: true }
    }

    pub(crate) const fn is_own(&self) -> bool {
        self.is_own
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
        let failed = if self.is_own { ConnectError::tls } else { unknown_authority };
        let stream = TlsConnector::from(config).connect(name, stream).await.map_err(failed)?;
        Ok(Box::new(stream))
    }
}

/// The same without a client certificate.
fn without_certificate(config: &ClientConfig) -> ClientConfig {
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
fn default_config() -> Result<ClientConfig, ConnectError> {
    let Roots { store, problems } = roots();
    if store.is_empty() {
        let advice = "no certificate authority is known; enable rustls-tls-native-roots or \
                      rustls-tls-webpki-roots, or hand a configuration to tls()";
        let detail = format!("{advice}{}", in_brackets(&problems));
        return Err(ConnectError::new(Failure::Tls, detail));
    }
    Ok(client(store)?.with_no_client_auth())
}

/// An authority is unknown, maybe because the system's store could not be read.
fn unknown_authority(error: io::Error) -> ConnectError {
    let inner = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    let is_unknown =
        matches!(inner, Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)));
    match in_brackets(&if is_unknown { roots().problems } else { Vec::new() }) {
        problems if problems.is_empty() => ConnectError::tls(error),
        problems => ConnectError::tls(io::Error::new(error.kind(), format!("{error}{problems}"))),
    }
}

fn in_brackets(problems: &[String]) -> String {
    match problems {
        [] => String::new(),
        [first, rest @ ..] => {
            let more = if rest.is_empty() { "" } else { ", and more" };
            format!(" (the system's certificate authorities: {first}{more})")
        }
    }
}
