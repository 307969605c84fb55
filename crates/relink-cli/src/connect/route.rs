//! `--ca`: TLS that trusts the certificate authorities of a file, and no others.

use std::path::Path;
use std::sync::Arc;

use relink_tokio::rustls::crypto::ring;
use relink_tokio::rustls::pki_types::CertificateDer;
use relink_tokio::rustls::pki_types::pem::{self, PemObject};
use relink_tokio::rustls::{ClientConfig, RootCertStore};

use crate::exit::Mistake;

/// A TLS client that trusts what the file names.
pub(crate) fn trusting(file: &Path) -> Result<Arc<ClientConfig>, Mistake> {
    let name = file.display();
    let roots = authorities(file)
        .map_err(|problem| Mistake::usage(format!("{name} cannot be used as --ca: {problem}")))?;
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Mistake::failed)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn authorities(file: &Path) -> Result<RootCertStore, String> {
    let problem = |error: pem::Error| {
        if let pem::Error::Io(error) = error {
            error.to_string()
        } else {
            format!("it is not PEM ({error})")
        }
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(problem)? {
        let certificate = certificate.map_err(problem)?;
        roots
            .add(certificate)
            .map_err(|error| format!("a certificate in it is not valid ({error})"))?;
    }
    if roots.is_empty() { Err("there is no certificate in it".to_owned()) } else { Ok(roots) }
}
