//! The contract of a history, kept in memory.

use std::sync::Arc;

use crate::contract::Rig;
use crate::history_contract;
use relink_node::HistoryConfig;
use relink_server::MemoryHistory;

history_contract!(rig, start_paused = true);

async fn rig(config: HistoryConfig) -> Rig {
    let one = MemoryHistory::new(config).expect("the configuration is good");
    Rig { one: Arc::new(one.clone()), other: Arc::new(one), store: Box::new(()) }
}
