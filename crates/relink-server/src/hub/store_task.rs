//! The tasks between the node and its store.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Weak},
};

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use relink_node::{NodeInput, StoreRequest, StoreRequestId, Stream};
use tokio::sync::mpsc::UnboundedReceiver;

use super::Hub;
use crate::history::{History, StoreEventReceiver, Watch};

/// A task for the store.
pub(crate) enum StoreTask {
    Ask(StoreRequestId, StoreRequest),
    Watch(Stream),
    Unwatch(Stream),
}

/// Starts the tasks in order. Answers may arrive in any order.
pub(super) async fn run(
    hub: Weak<Hub>,
    mut tasks: UnboundedReceiver<StoreTask>,
    history: Arc<dyn History>,
    watch: Arc<dyn Watch>,
) {
    let mut asked = FuturesUnordered::new();
    loop {
        tokio::select! {
            task = tasks.recv() => match task {
                Some(StoreTask::Ask(question, what)) => asked.push(ask(Arc::clone(&history), question, what)),
                Some(StoreTask::Watch(stream)) => watch.watch(stream),
                Some(StoreTask::Unwatch(stream)) => watch.unwatch(&stream),
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
    while let Some(news) = news.recv().await {
        let Some(hub) = hub.upgrade() else { return };
        hub.drive(NodeInput::StoreEvent(news));
    }
}
