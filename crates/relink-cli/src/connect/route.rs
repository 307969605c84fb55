//! How to get to the server: through a proxy, with certificates or without a look at them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use relink_tokio::Builder;
use relink_tokio::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use relink_tokio::rustls::crypto::{
    CryptoProvider, verify_tls12_signature, verify_tls13_signature,
};
use relink_tokio::rustls::pki_types::pem::{self, PemObject};
use relink_tokio::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use relink_tokio::rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use relink_tokio::tls;

use crate::exit::Mistake;

/// The way to the server.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "How to get there")]
pub(crate) struct RouteArgs {
    /// Go through this proxy, as in http://user:password@host:3128 or socks5h://host:1080; `env` for
    /// what the environment names
    ///
    /// With `http` and `https` by CONNECT, with `socks5h` and `socks5` by SOCKS5; `socks5` looks
    /// names up here. `env` reads HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, as curl does.
    /// Other users of this machine can see a password in a command line, but not in the
    /// environment.
    #[arg(long, value_name = "URL")]
    proxy: Option<String>,

    /// Trust the certificate authorities in this PEM file, and no others
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// Show the certificate in this PEM file to servers that ask for one
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,

    /// The private key of --cert, in a PEM file
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,

    /// Accept any certificate, for tests: anybody on the way can read and change all that is sent
    #[arg(long, conflicts_with = "ca")]
    insecure: bool,
}

impl RouteArgs {
    pub(crate) fn apply(&self, mut builder: Builder) -> Result<Builder, Mistake> {
        builder = match self.proxy.as_deref() {
            None => builder,
            Some("env") => builder.proxy_from_env(true),
            Some(proxy) => builder.proxy(proxy),
        };
        if self.ca.is_some() || self.cert.is_some() || self.insecure {
            builder = builder.tls(Arc::new(self.tls()?));
        }
        Ok(builder)
    }

    pub(crate) const fn is_insecure(&self) -> bool {
        self.insecure
    }

    fn tls(&self) -> Result<ClientConfig, Mistake> {
        let roots = match &self.ca {
            Some(file) => authorities(file).map_err(|problem| unusable(file, "--ca", &problem))?,
            None => tls::roots().store,
        };
        let config = tls::client(roots).map_err(Mistake::failed)?;
        let mut config = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => {
                let chain = chain(cert).map_err(|problem| unusable(cert, "--cert", &problem))?;
                let private = PrivateKeyDer::from_pem_file(key).map_err(not_pem);
                let private = private.map_err(|problem| unusable(key, "--key", &problem))?;
                config
                    .with_client_auth_cert(chain, private)
                    .map_err(|error| unusable(key, "--key", &format!("of --cert: {error}")))?
            }
            _ => config.with_no_client_auth(),
        };
        if self.insecure {
            let verifier = Arc::new(AnyCertificate(tls::provider()));
            config.dangerous().set_certificate_verifier(verifier);
        }
        Ok(config)
    }
}

fn unusable(file: &Path, option: &str, problem: &str) -> Mistake {
    Mistake::usage(format!("{} cannot be used as {option}: {problem}", file.display()))
}

fn not_pem(error: pem::Error) -> String {
    if let pem::Error::Io(error) = error {
        error.to_string()
    } else {
        format!("it is not PEM ({error})")
    }
}

fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_file_iter(file).map_err(not_pem)?;
    let chain = certificates.collect::<Result<Vec<_>, _>>().map_err(not_pem)?;
    if chain.is_empty() { Err("there is no certificate in it".to_owned()) } else { Ok(chain) }
}

fn authorities(file: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(file)? {
        roots
            .add(certificate)
            .map_err(|error| format!("a certificate in it is not valid ({error})"))?;
    }
    Ok(roots)
}

/// Takes any certificate, from a server that has its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
