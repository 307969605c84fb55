//! TLS for relink by the library of the operating system: SChannel on Windows, Secure Transport on
//! macOS, OpenSSL elsewhere.
//!
//! For networks whose rules are in the operating system: its authorities, its client certificates,
//! its revocation lists, its cryptography. Otherwise take rustls, which the drivers have, and which
//! is the same on every system. It works on any runtime.
//!
//! ```
//! use async_native_tls::TlsConnector;
//! use relink_driver::{Builder, Runtime};
//!
//! fn with_the_systems<Rt: Runtime>(builder: Builder<Rt>) -> Builder<Rt> {
//!     relink_native_tls::apply(builder, |_target| TlsConnector::new())
//! }
//! ```
//!
//! On Linux, its build and its tests need OpenSSL's headers (`libssl-dev`, `openssl-devel`), so it
//! is a workspace of its own: `just native-tls`.

use std::io;

pub use async_native_tls;
use async_native_tls::TlsConnector;
use relink_driver::{Builder, Runtime, Target};

/// Encrypts the link by what `connector` returns for a target: the server, an `https` proxy, or
/// where a redirect leads. A client certificate ([`TlsConnector::identity`]) is for the hosts that
/// it was meant for.
#[must_use]
pub fn apply<Rt: Runtime>(
    builder: Builder<Rt>,
    connector: impl Fn(&Target) -> TlsConnector + Send + Sync + 'static,
) -> Builder<Rt> {
    builder.tls_by(move |stream, target| {
        let connector = connector(&target);
        async move { connector.connect(&target.host, stream).await.map_err(io::Error::other) }
    })
}
