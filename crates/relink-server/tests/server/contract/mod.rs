//! What every history must do: each sentence of [`StoreRequest`] and [`StoreResponse`] as a case,
//! the same for all of them.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a case picks the answers and news that it is about"
)]

mod members;
mod room;
mod sessions;
mod streams;

use std::{any::Any, sync::Arc, time::Duration};

use relink::protocol::Rejection;
use relink::session::{Member, MemberChange, Problem};
use relink::{Channel, CloseCode, CloseFrame, Message, Position, SessionId};
use relink_node::{
    Full, HistoryConfig, Publication, StoreEvent, StoreRequest, StoreResponse, Stream,
};
use relink_server::{History, StoreEventReceiver, Watch, news};
use tokio::time::{sleep, timeout};

pub(crate) use self::{members::*, room::*, sessions::*, streams::*};

/// Longer than anything takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// One store, as two nodes see it.
pub(crate) struct SharedStore {
    pub(crate) one: Arc<dyn History>,
    pub(crate) other: Arc<dyn History>,
    /// What must live as long as the store is used.
    pub(crate) _kept: Box<dyn Any>,
}

/// Makes the store that a case is about.
pub(crate) trait NewStore: AsyncFn(HistoryConfig) -> SharedStore {}

impl<F: AsyncFn(HistoryConfig) -> SharedStore> NewStore for F {}

/// Makes a test of each case, for the store that `$new_store` makes from a [`HistoryConfig`].
#[macro_export]
macro_rules! history_contract {
    ($new_store:path $(, $time:meta)?) => {
        $crate::history_contract! { $new_store $(, $time)?:
            w15_a_stream_begins_at_0_in_an_epoch_that_all_nodes_agree_on
            i26_offsets_count_from_1_without_holes
            w15_since_tells_what_follows_up_to_the_limit
            w15_since_is_honest_about_what_it_cannot_tell
            w15_messages_are_bounded_in_number
            w15_messages_are_bounded_in_bytes_but_the_last_one_is_kept
            w15_messages_are_bounded_in_age
            w15_streams_do_not_mix
            w15_any_payload_comes_back_as_it_was
            w15_news_of_a_watched_stream_reach_every_node
            w15_what_is_not_watched_is_not_told
            w15_nothing_falls_between_the_answer_and_the_news
            w09_a_session_is_known_to_all_nodes
            w09_a_session_begins_once
            w09_an_unknown_session_is_not_resumed
            w09_a_session_of_somebody_else_is_left_alone
            i25_a_resume_begins_a_generation_and_tells_it
            i25_a_commit_of_an_earlier_generation_changes_nothing
            w09_a_commit_is_all_or_nothing_and_once
            w09_two_nodes_commit_the_same_serial_once
            w09_a_commit_with_a_hole_before_it_changes_nothing
            w09_rejections_are_remembered_in_order
            w09_rejections_are_bounded
            w09_a_session_lasts_for_its_time_unless_it_is_kept
            w09_a_session_that_is_not_has_no_stream
            w09_an_ended_session_is_gone_with_its_stream
            i25_an_earlier_generation_cannot_end_a_session
            w09_who_keeps_a_session_that_is_gone_hears_of_it
            m07_all_sessions_of_a_user_end_and_those_of_others_go_on
            m07_the_end_of_a_user_is_told_with_its_frame
            m07_a_session_that_begins_after_the_end_of_its_user_goes_on
            m07_a_message_without_a_serial_is_not_published_for_a_session_that_is_over
            a09_the_members_of_a_user_leave_with_its_sessions
            a09_members_are_told_by_session
            a09_a_member_that_comes_back_keeps_its_name_and_is_told_to_nobody
            a09_a_member_that_comes_back_with_other_words_is_told_again
            a09_a_lease_that_was_replaced_cannot_leave
            a09_a_session_that_nobody_knows_cannot_join
            a09_members_leave_with_their_session
            a09_members_whose_node_is_gone_leave_once
            a09_members_that_are_kept_stay
            a09_any_name_is_a_name
            a09_a_resume_tells_the_seats_that_are_to_be_watched
            w09_one_user_cannot_fill_the_store
            w09_one_anonymous_client_cannot_use_up_the_room_of_the_others
            w09_a_stream_counts_for_the_user_who_began_it
            w09_a_stream_that_a_reader_began_counts_for_its_user
            w09_refusals_are_bounded_in_bytes_and_the_last_ones_are_kept
            a09_members_count_for_their_users
            w09_what_a_stream_gives_up_counts_no_more
            w09_what_is_too_old_counts_no_more
            w09_sessions_are_bounded_in_all_and_per_user
            w09_sessions_that_are_over_count_no_more
            a09_members_are_bounded_in_number
            a09_words_are_bounded_and_left_out_beyond
        }
    };
    ($new_store:path: $($case:ident)*) => { $($crate::history_contract! { @ $case $new_store })* };
    ($new_store:path, $time:meta: $($case:ident)*) => { $($crate::history_contract! { @ $case $new_store, $time })* };
    (@ $case:ident $new_store:path $(, $time:meta)?) => {
        #[tokio::test$(($time))?]
        async fn $case() {
            $crate::contract::$case(async |config| $new_store(config).await).await;
        }
    };
}

/// A configuration whose times no test reaches by accident.
pub(crate) fn config() -> HistoryConfig {
    HistoryConfig::default()
}

pub(crate) async fn ask(history: &dyn History, question: StoreRequest) -> StoreResponse {
    history.answer(question).await.expect("the store answers")
}

pub(crate) fn text(text: &str) -> Message {
    Message::Text(text.into())
}

pub(crate) fn channel(name: &str) -> Stream {
    Stream::Channel(Channel::from(name))
}

pub(crate) async fn publish(history: &dyn History, stream: &Stream, words: &[&str]) {
    let publications = words.iter().map(|word| (stream.clone(), text(word))).collect();
    assert_eq!(
        ask(history, StoreRequest::Publish { session: None, publications }).await,
        StoreResponse::Done
    );
}

pub(crate) async fn top(history: &dyn History, stream: &Stream) -> Position {
    since(history, stream, None, 1).await.0
}

pub(crate) async fn since(
    history: &dyn History,
    stream: &Stream,
    after: Option<Position>,
    limit: usize,
) -> (Position, Option<Vec<Publication>>) {
    match ask(history, StoreRequest::Read { stream: stream.clone(), after, limit, by: None }).await
    {
        StoreResponse::Read { top, missed } => (top, missed),
        other => panic!("{other:?}"),
    }
}

/// Everything after an offset in the present epoch, as offsets and texts.
pub(crate) async fn words(
    history: &dyn History,
    stream: &Stream,
    after: u64,
) -> Option<Vec<(u64, String)>> {
    let epoch = top(history, stream).await.epoch;
    let (_, missed) =
        since(history, stream, Some(Position::new(epoch, after)), usize::MAX >> 12).await;
    let word =
        |Publication { offset, message }| (offset, message.as_text().unwrap_or("?").to_owned());
    missed.map(|missed| missed.into_iter().map(word).collect())
}

pub(crate) fn numbered(words: &[(u64, &str)]) -> Option<Vec<(u64, String)>> {
    Some(words.iter().map(|(offset, word)| (*offset, (*word).to_owned())).collect())
}

pub(crate) async fn create(history: &dyn History, session: &str, user: &str) {
    let question = StoreRequest::Create { session: session.into(), user: user.to_owned() };
    assert_eq!(ask(history, question).await, session_of(user, 0, &[], 0));
}

/// The response for a session without memberships.
pub(crate) fn session_of(
    user: &str,
    received: u64,
    rejected: &[Rejection],
    generation: u64,
) -> StoreResponse {
    let (rejected, seats) = (rejected.to_vec(), Vec::new());
    StoreResponse::Session { user: user.to_owned(), received, rejected, generation, seats }
}

pub(crate) async fn resume(history: &dyn History, session: &str, user: &str) -> StoreResponse {
    ask(history, StoreRequest::Resume { session: session.into(), user: user.to_owned() }).await
}

pub(crate) async fn keep(history: &dyn History, session: &str) {
    let question = StoreRequest::Touch { sessions: vec![SessionId::from(session)] };
    assert_eq!(ask(history, question).await, StoreResponse::Touched { lost: Vec::new() });
}

/// A commit of texts to channels.
pub(crate) fn commit(
    session: &str,
    generation: u64,
    serial: u64,
    words: &[(&str, &str)],
) -> StoreRequest {
    let publications = words.iter().map(|(to, word)| (channel(to), text(word))).collect();
    StoreRequest::Commit {
        session: session.into(),
        generation,
        serial,
        publications,
        rejection: None,
    }
}

pub(crate) fn refused(
    session: &str,
    serial: u64,
    name: &'static str,
    detail: &str,
) -> StoreRequest {
    let rejection = Some(rejection(serial, name, detail));
    StoreRequest::Commit {
        session: session.into(),
        generation: 0,
        serial,
        publications: Vec::new(),
        rejection,
    }
}

pub(crate) fn rejection(serial: u64, name: &'static str, detail: &str) -> Rejection {
    Rejection { serial, problem: Problem::new(name, detail) }
}

pub(crate) fn member(user: &str, join: &str) -> Member {
    Member { user: user.to_owned(), join: join.to_owned(), info: Some("hello".into()) }
}

pub(crate) async fn join(
    history: &dyn History,
    to: &str,
    session: &str,
    member: Member,
    lease: u64,
) -> StoreResponse {
    let question =
        StoreRequest::Join { channel: to.into(), session: session.into(), member, lease };
    ask(history, question).await
}

pub(crate) async fn leave(history: &dyn History, from: &str, session: &str, lease: u64) {
    let question = StoreRequest::Leave { channel: from.into(), session: session.into(), lease };
    assert_eq!(ask(history, question).await, StoreResponse::Done);
}

pub(crate) async fn members(history: &dyn History, of: &str) -> Vec<Member> {
    match ask(history, StoreRequest::Members { channel: of.into() }).await {
        StoreResponse::Members(members) => members,
        other => panic!("{other:?}"),
    }
}

/// Repeats `attempt` until it returns something.
pub(crate) async fn until<T>(mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = attempt().await {
                return found;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("it happens in time")
}

/// The store events of one node.
pub(crate) struct Ear {
    news: StoreEventReceiver,
    watch: Arc<dyn Watch>,
}

impl Ear {
    /// Watches these, and returns once that is in effect.
    pub(crate) async fn on(history: &dyn History, streams: &[&Stream]) -> Self {
        let (sender, news) = news();
        let ear = Self { watch: history.listen(sender), news };
        for stream in streams {
            ear.watch(history, stream).await;
        }
        ear
    }

    pub(crate) async fn watch(&self, history: &dyn History, stream: &Stream) {
        self.watch.watch(stream.clone());
        _ = top(history, stream).await;
    }

    pub(crate) fn unwatch(&self, stream: &Stream) {
        self.watch.unwatch(stream);
    }

    /// The next event but `Lagged`, which may come at any time.
    pub(crate) async fn hear(&mut self) -> StoreEvent {
        loop {
            let news =
                timeout(PATIENCE, self.news.recv()).await.expect("news in time").expect("news");
            if news != StoreEvent::Lagged {
                return news;
            }
        }
    }

    #[cfg(feature = "redis")]
    pub(crate) async fn doubt(&mut self) {
        let doubt = async { while self.news.recv().await.expect("news") != StoreEvent::Lagged {} };
        timeout(PATIENCE, doubt).await.expect("a doubt in time");
    }

    pub(crate) async fn hear_word(&mut self) -> (Stream, u64, String) {
        match self.hear().await {
            StoreEvent::Published { stream, publication, .. } => (
                stream,
                publication.offset,
                publication.message.as_text().unwrap_or("?").to_owned(),
            ),
            other => panic!("{other:?}"),
        }
    }
}
