//! Opening a transport: TCP or a custom connector, and TLS on top if the address has it.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use relink::session::{InvalidUrl, Secret};
use relink::{Address, Failure};

use crate::happy_eyeballs;
use crate::request::{Prepared, Target, Template};
use crate::runtime::{ConnectError, Runtime};
use crate::stream::{BoxStream, ByteStream, Guarded, Heard};
use crate::wire::{Wire, WireError, WireLimits};

/// Opens the byte stream of an attempt in place of the runtime's TCP.
pub(crate) type Connector =
    Arc<dyn Fn(Target) -> BoxFuture<'static, Result<Opened, ConnectError>> + Send + Sync>;

/// TLS by another library than rustls.
pub(crate) type SecureBy =
    Arc<dyn Fn(BoxStream, Target) -> BoxFuture<'static, io::Result<BoxStream>> + Send + Sync>;

/// A stream from a connector.
pub(crate) struct Opened {
    pub(crate) stream: BoxStream,
    /// What was seen beneath TLS, if the stream has it already.
    pub(crate) beneath: Option<Heard>,
}

/// The parts that every attempt of a link needs to open its transport.
#[derive(Clone)]
pub(crate) struct Dialer {
    pub(crate) template: Template,
    pub(crate) limits: WireLimits,
    pub(crate) connector: Option<Connector>,
    #[cfg(feature = "tls")]
    pub(crate) tls: crate::tls::Tls,
}

/// An open transport, before the WebSocket handshake.
pub(crate) struct Dialed {
    pub(crate) stream: BoxStream,
    pub(crate) heard: Heard,
    pub(crate) wire: Wire,
}

impl Dialer {
    pub(crate) fn dial<Rt: Runtime>(
        &self,
        runtime: &Rt,
        address: &Address,
        token: Option<&Secret>,
        is_trusted: bool,
    ) -> BoxFuture<'static, Result<Dialed, ConnectError>> {
        let prepared = self.template.prepare(address, token, is_trusted);
        let (dialer, runtime) = (self.clone(), runtime.clone());
        let attempt = async move {
            // The configured addresses were checked; a redirect may lead elsewhere next time.
            let bad =
                |error: InvalidUrl| ConnectError::new(Failure::NotWebSocket, error.to_string());
            let Prepared { target, request, visit } = prepared.map_err(bad)?;
            let wire = Wire::visit(&request, visit, dialer.limits)
                .map_err(|WireError { failure, detail, .. }| ConnectError::new(failure, detail))?;
            let (stream, heard) = dialer.open(&runtime, target, is_trusted).await?;
            Ok(Dialed { stream, heard, wire })
        };
        // A connector is the application's code, and so is a verifier of certificates.
        let caught = AssertUnwindSafe(attempt).catch_unwind();
        let panicked =
            || Err(ConnectError::new(Failure::Io, "the code that opens the connection panicked"));
        Box::pin(caught.map(move |dialed| dialed.unwrap_or_else(|_| panicked())))
    }

    async fn open<Rt: Runtime>(
        self,
        runtime: &Rt,
        target: Target,
        is_trusted: bool,
    ) -> Result<(BoxStream, Heard), ConnectError> {
        let Target { host, port, tls } = target.clone();
        let opened = match &self.connector {
            Some(connect) => connect(target).await?,
            None => dial_direct(runtime, host.clone(), port).await.map(Opened::new)?,
        };
        if let Opened { stream, beneath: Some(heard) } = opened {
            return Ok((stream, heard));
        }
        let (stream, heard) = Guarded::new(opened.stream, tls);
        let stream: BoxStream = Box::new(stream);
        let stream = if tls { self.secure(stream, &host, is_trusted).await? } else { stream };
        Ok((stream, heard))
    }

    #[cfg(feature = "tls")]
    fn secure(
        self,
        stream: BoxStream,
        host: &str,
        is_trusted: bool,
    ) -> impl Future<Output = Result<BoxStream, ConnectError>> {
        self.tls.wrap(stream, host, is_trusted)
    }

    #[cfg(not(feature = "tls"))]
    async fn secure(self, _: BoxStream, _: &str, _: bool) -> Result<BoxStream, ConnectError> {
        let advice =
            "this program was built without TLS; enable the feature rustls-tls-webpki-roots";
        Err(ConnectError::new(Failure::Tls, advice))
    }
}

impl Opened {
    pub(crate) fn new(stream: impl ByteStream) -> Self {
        Self { stream: Box::new(stream), beneath: None }
    }

    /// Adds TLS by another library, if the target has it.
    async fn secure(self, by: &SecureBy, target: Target) -> Result<Self, ConnectError> {
        if !target.tls {
            return Ok(self);
        }
        let (stream, heard) = Guarded::new(self.stream, true);
        let stream = by(Box::new(stream), target).await.map_err(ConnectError::tls)?;
        Ok(Self { stream, beneath: Some(heard) })
    }
}

/// What opens a stream, TCP without a connector, and then adds TLS by another library.
pub(crate) fn secured<Rt: Runtime>(
    connector: Option<Connector>,
    by: SecureBy,
    runtime: Rt,
) -> Connector {
    Arc::new(move |target: Target| {
        let (connector, by, runtime) = (connector.clone(), Arc::clone(&by), runtime.clone());
        Box::pin(async move {
            let opened = match connector {
                Some(connect) => connect(target.clone()).await?,
                None => dial_direct(&runtime, target.host.clone(), target.port)
                    .await
                    .map(Opened::new)?,
            };
            opened.secure(&by, target).await
        })
    })
}

/// TCP to a host, by its name or address.
pub(crate) async fn dial_direct<Rt: Runtime>(
    runtime: &Rt,
    host: String,
    port: u16,
) -> Result<Rt::Tcp, ConnectError> {
    let addresses = runtime.lookup(host, port).await.map_err(ConnectError::lookup)?;
    happy_eyeballs::connect(runtime, addresses).await
}
