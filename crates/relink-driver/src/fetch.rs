//! What an attempt needs before it dials, fetched by the application's code: a token, an address.

use std::fmt::Display;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use relink::link::TransportId;
use relink::session::Secret;
use relink::{Address, SessionInput, Token};

use crate::channel_tokens::ChannelTokens;
use crate::request::Template;

/// The request to an address provider: where should this attempt go?
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AddressRequest {
    /// The configured endpoint whose turn it is.
    pub endpoint: Address,
    /// The token of this attempt, if there is a token provider: for a request that needs it.
    pub token: Option<Secret>,
}

/// The application's code: called once per fetch, never concurrently.
type Provider<In, Out> = Arc<dyn Fn(In) -> BoxFuture<'static, Result<Out, String>> + Send + Sync>;

/// The application's providers, if there are any.
#[derive(Default)]
pub(crate) struct Providers {
    pub(crate) token: Option<Provider<(), Token>>,
    pub(crate) address: Option<Provider<AddressRequest, Address>>,
    pub(crate) channels: ChannelTokens,
}

/// A fetch for one attempt or transport, until its result is passed to the session.
pub(crate) type Fetch = (TransportId, BoxFuture<'static, SessionInput>);

/// A provider as the application wrote it, with its error as text.
pub(crate) fn provider<F, In, Fut, Out, E, To>(provide: F) -> Provider<In, To>
where
    F: Fn(In) -> Fut + Send + Sync + 'static,
    In: Send + 'static,
    Fut: Future<Output = Result<Out, E>> + Send + 'static,
    Out: Into<To>,
    E: Display,
{
    let provide = Arc::new(provide);
    Arc::new(move |what| {
        let provide = Arc::clone(&provide);
        Box::pin(
            async move { provide(what).await.map(Into::into).map_err(|error| error.to_string()) },
        )
    })
}

impl Providers {
    pub(crate) fn fetch_token(&self, id: TransportId, template: &Template) -> Fetch {
        let (fetch, template) = (call(self.token.as_ref(), "token", ()), template.clone());
        let fetch = async move {
            let token = fetch.await?;
            template.check_token(&token.secret)?;
            Ok(token)
        };
        (id, Box::pin(fetch.map(move |result| SessionInput::Token { id, result })))
    }

    pub(crate) fn fetch_address(
        &self,
        id: TransportId,
        request: AddressRequest,
        template: &Template,
    ) -> Fetch {
        let (endpoint, has_token, template) =
            (request.endpoint.clone(), request.token.is_some(), template.clone());
        let fetch = call(self.address.as_ref(), "address", request);
        let fetch = async move {
            let address = fetch.await?;
            template
                .check_fetched(&endpoint, &address, has_token)
                .map_err(|error| error.to_string())
        };
        (id, Box::pin(fetch.map(move |result| SessionInput::Address { id, result })))
    }
}

/// Calls a provider; a panic of its counts as a failed fetch.
fn call<In: Send + 'static, Out: Send + 'static>(
    provider: Option<&Provider<In, Out>>,
    what: &'static str,
    input: In,
) -> impl Future<Output = Result<Out, String>> + Send + 'static {
    let provider = provider.cloned();
    let fetch = async move {
        let provider = provider.ok_or_else(|| format!("there is no {what} provider"))?;
        provider(input).await
    };
    let caught = AssertUnwindSafe(fetch).catch_unwind();
    caught
        .map(move |result| result.unwrap_or_else(|_| Err(format!("the {what} provider panicked"))))
}
