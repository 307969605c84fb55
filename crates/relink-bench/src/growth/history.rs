//! The store in memory, with one long stream.

use std::time::Duration;

use bytes::Bytes;
use relink_node::{HistoryConfig, MemoryStore, StoreRequest, StoreResponse, Stream};
use relink_server::relink::{Instant, Message, Position};

use super::measured;
use crate::Result;

/// At most a page is read, the last of what is kept.
const PAGE: u64 = 100;

pub(super) fn run(size: u64) -> Result<()> {
    let kept = usize::try_from(size)?;
    let config = HistoryConfig::default().with_max_messages(kept).with_max_total_bytes(1 << 40);
    let mut store = MemoryStore::new(config.with_max_bytes(1 << 40), 1)?;
    let now = Instant::from_origin(Duration::from_secs(1));
    let stream = Stream::Channel("lobby".into());
    let publish = |store: &mut MemoryStore| {
        let message = Message::from(Bytes::from_static(&[b'x'; 64]));
        let publications = vec![(stream.clone(), message)];
        store.answer(StoreRequest::Publish { session: None, publications }, now)
    };
    for _ in 0..size {
        publish(&mut store);
    }
    measured("publish", 1, || publish(&mut store));
    let read = |store: &mut MemoryStore, after| {
        let read = StoreRequest::Read { stream: stream.clone(), after, limit: 1000, by: None };
        store.answer(read, now)
    };
    let StoreResponse::Read { top, .. } = read(&mut store, None) else {
        return Err("the stream cannot be read".into());
    };
    let page = size.min(PAGE);
    let after = Position::new(top.epoch, top.offset - page);
    measured("read", page, || read(&mut store, Some(after)));
    std::process::exit(0)
}
