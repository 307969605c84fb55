//! Links inside an axum application.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use axum::{
    body::Body,
    extract::{ConnectInfo, FromRequestParts, Request},
    response::{IntoResponse, Response},
    routing::{MethodRouter, any},
};
use http::{HeaderValue, StatusCode, header, request::Parts};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use crate::{
    connection,
    handle::ServerHandle,
    handshake::{self, Refusal},
    user::User,
};

/// A request for a link: an extractor for your own handler.
///
/// ```
/// use axum::{Router, extract::State, response::Response, routing::any};
/// use relink_server::{ServerHandle, Upgrade, User};
///
/// async fn link(State(relink): State<ServerHandle>, upgrade: Upgrade) -> Response {
///     // Whatever else axum extracts tells who this is: a session, a cookie, a path.
///     relink.upgrade(upgrade, Some(User::new("alice"))).await
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = relink_server::Server::builder().build()?;
/// let app: Router = Router::new().route("/link", any(link)).with_state(server.handle());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Upgrade {
    request: http::Request<()>,
    upgrade: Option<OnUpgrade>,
    peer: Option<SocketAddr>,
}

impl<S: Sync> FromRequestParts<S> for Upgrade {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let mut request = http::Request::new(());
        request.method_mut().clone_from(&parts.method);
        request.uri_mut().clone_from(&parts.uri);
        *request.version_mut() = parts.version;
        request.headers_mut().clone_from(&parts.headers);
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
        Ok(Self { request, upgrade: parts.extensions.remove(), peer })
    }
}

impl ServerHandle {
    /// A route that serves links, authenticated by the server's own functions:
    /// `Router::new().route("/link", relink.route())`.
    ///
    /// With `into_make_service_with_connect_info::<SocketAddr>()`, addresses are counted for
    /// [`max_per_address`](crate::AdmissionConfig::max_per_address). axum's graceful shutdown does
    /// not wait for links: await [`drain`](Self::drain) in its signal.
    pub fn route<S: Clone + Send + Sync + 'static>(&self) -> MethodRouter<S> {
        let relink = self.clone();
        any(async move |request: Request| {
            let (mut parts, _) = request.into_parts();
            let Ok(upgrade) = Upgrade::from_request_parts(&mut parts, &()).await;
            relink.upgrade(upgrade, None).await
        })
    }

    /// Answers a request for a link. Without a `user`, the server's own functions authenticate.
    pub async fn upgrade(&self, upgrade: Upgrade, user: Option<User>) -> Response {
        match self.try_upgrade(upgrade, user).await {
            Ok(response) => response.map(|()| Body::empty()),
            Err(refusal) => refusal.into_response(),
        }
    }

    async fn try_upgrade(
        &self,
        upgrade: Upgrade,
        user: Option<User>,
    ) -> Result<http::Response<()>, Refusal> {
        let Upgrade { request, upgrade, peer } = upgrade;
        let permit = self.admit(peer.map(|peer| peer.ip()))?;
        let (response, wire) = handshake::agree(&request, &self.hub.config)?;
        let not_here =
            || Refusal::new(StatusCode::BAD_REQUEST, "this connection cannot be upgraded");
        let upgrade = upgrade.ok_or_else(not_here)?;
        let patience = self.hub.config.handshake_timeout;
        let user = match user {
            Some(user) => Some(user),
            None => {
                let identified = handshake::identify(request, &self.hub.handlers);
                let too_slow = Refusal::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "it took too long to find out who it is",
                );
                self.unless_draining(async {
                    timeout(patience, identified).await.map_err(|_| too_slow)?
                })
                .await?
            }
        };
        let hub = Arc::clone(&self.hub);
        tokio::spawn(async move {
            // Fails if the client is gone before it has read the answer.
            if let Ok(Ok(upgraded)) = timeout(patience, upgrade).await {
                connection::run(TokioIo::new(upgraded), wire, Vec::new(), hub, user, permit).await;
            }
        });
        Ok(response)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let extra = self.header();
        let mut response = (self.status, self.detail + "\n").into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if let Some((name, value)) = extra {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}
