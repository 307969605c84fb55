//! [`ChannelTokens`]: concurrent fetches of tokens, one for each channel.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use relink::session::Secret;
use relink::{Channel, SessionInput};

/// Fetches the token for one channel.
type Provider = Arc<dyn Fn(Channel) -> BoxFuture<'static, Result<Secret, String>> + Send + Sync>;

/// The number of a fetch, its channel and its result, which counts only if no later fetch was
/// started for the channel.
type Fetched = (u64, Channel, Result<Secret, String>);

#[derive(Default)]
pub(crate) struct ChannelTokens {
    provider: Option<Provider>,
    /// `None` until there is one: few links have any.
    fetches: Option<FuturesUnordered<BoxFuture<'static, Fetched>>>,
    latest: BTreeMap<Channel, u64>,
    begun: u64,
}

impl ChannelTokens {
    pub(crate) fn new<F, Fut, E>(provider: F) -> Self
    where
        F: Fn(Channel) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Secret, E>> + Send + 'static,
        E: std::fmt::Display,
    {
        let provider = Arc::new(provider);
        let provider: Provider = Arc::new(move |channel| {
            let provider = provider.clone();
            Box::pin(async move { provider(channel).await.map_err(|error| error.to_string()) })
        });
        Self { provider: Some(provider), ..Self::default() }
    }

    /// Starts a fetch. A panic of the application's future counts as a failure.
    pub(crate) fn fetch(&mut self, channel: Channel) {
        self.begun += 1;
        let number = self.begun;
        self.latest.insert(channel.clone(), number);
        let provider = self.provider.clone();
        self.fetches.get_or_insert_default().push(Box::pin(async move {
            let Some(provider) = provider else {
                return (
                    number,
                    channel,
                    Err("there is no token provider for channels".to_owned()),
                );
            };
            let wanted = channel.clone();
            let fetch = AssertUnwindSafe(async move { provider(wanted).await }).catch_unwind();
            let result = fetch
                .await
                .unwrap_or_else(|_| Err("the token provider for channels panicked".to_owned()));
            (number, channel, result)
        }));
    }

    /// The next result; pending while there are no fetches.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<SessionInput> {
        let Some(fetches) = &mut self.fetches else { return Poll::Pending };
        while let Poll::Ready(Some((number, channel, result))) = fetches.poll_next_unpin(cx) {
            if self.latest.get(&channel) == Some(&number) {
                self.latest.remove(&channel);
                return Poll::Ready(SessionInput::ChannelToken { channel, result });
            }
        }
        Poll::Pending
    }
}
