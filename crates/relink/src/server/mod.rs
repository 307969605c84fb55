//! The other half of a link: what a server needs to keep its side, as machines without IO.

mod history;

pub use history::{Answer, HistoryConfig, News, Publication, Question, Stream};
