//! The tasks between the node and its store.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Weak},
};

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use relink_node::{NodeInput, StoreRequest, StoreRequestId};
use tokio::sync::mpsc::UnboundedReceiver;

use super::Hub;
use crate::history::{History, StoreEventReceiver};

/// Starts the requests in order. Answers may arrive in any order.
pub(super) async fn run(
    hub: Weak<Hub>,
    mut requests: UnboundedReceiver<(StoreRequestId, StoreRequest)>,
    history: Arc<dyn History>,
) {
    let mut asked = FuturesUnordered::new();
    loop {
        tokio::select! {
            request = requests.recv() => match request {
                Some((question, what)) => asked.push(ask(Arc::clone(&history), question, what)),
                None => return,
            },
            Some(answer) = asked.next() => match hub.upgrade() {
                Some(hub) => hub.drive(answer),
                None => return,
            },
        }
    }
}

async fn ask(history: Arc<dyn History>, question: StoreRequestId, what: StoreRequest) -> NodeInput {
    let asking = AssertUnwindSafe(async { history.answer(what).await }).catch_unwind();
    let answer = match asking.await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err("the store panicked".to_owned()),
    };
    NodeInput::Answered { question, answer }
}

/// Passes the store's events on.
pub(super) async fn hear(hub: Weak<Hub>, mut news: StoreEventReceiver) {
    while let Some(events) = news.recv_all().await {
        let Some(hub) = hub.upgrade() else { return };
        hub.drive_all(events.into_iter().map(NodeInput::StoreEvent));
    }
}
