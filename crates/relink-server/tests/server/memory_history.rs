//! The contract of a history, with the one in memory.

use std::sync::Arc;

use crate::contract::SharedStore;
use crate::history_contract;
use relink_node::HistoryConfig;
use relink_server::MemoryHistory;

history_contract!(new_store, start_paused = true);

async fn new_store(config: HistoryConfig) -> SharedStore {
    let one = MemoryHistory::new(config).expect("the configuration is good");
    SharedStore { one: Arc::new(one.clone()), other: Arc::new(one), _kept: Box::new(()) }
}
