//! Subscriptions, without a session around them.

use core::time::Duration;

use relink::policy::Jitter;
use relink::session::{SubscriptionAction, SubscriptionState, Subscriptions, SubscriptionsConfig};
use relink::{Backoff, Instant};

use crate::support::{dice, secs};

const START: Instant = Instant::from_origin(secs(50));

/// Retries after exactly 1, 2, 4 … s.
fn sharp() -> SubscriptionsConfig {
    let curve = relink::policy::Curve::Exponential { initial: secs(1), factor_pct: 200 };
    let retry = Backoff::default().with_curve(curve).with_jitter(Jitter::None);
    SubscriptionsConfig::default().with_retry(retry)
}

fn up() -> Subscriptions<char> {
    let mut subscriptions = Subscriptions::new(sharp()).expect("valid");
    subscriptions.up();
    subscriptions
}

fn wants(subscriptions: &mut Subscriptions<char>, now: Instant) -> Vec<SubscriptionAction<char>> {
    core::iter::from_fn(|| subscriptions.poll_want(now)).collect()
}

#[test]
fn m03_all_that_is_wanted_is_asked_for_when_the_link_is_back_in_the_order_of_the_keys() {
    let mut subscriptions = Subscriptions::new(sharp()).expect("valid");
    for key in ['c', 'a', 'b'] {
        subscriptions.subscribe(key, key == 'b');
    }
    assert_eq!(wants(&mut subscriptions, START), []);
    for _ in 0..2 {
        subscriptions.up();
        subscriptions.up();
        let all = [
            SubscriptionAction::Subscribe('a'),
            SubscriptionAction::Token('b'),
            SubscriptionAction::Subscribe('c'),
        ];
        assert_eq!(wants(&mut subscriptions, START), all);
        assert!(subscriptions.granted(&'b', START));
        assert!(!subscriptions.granted(&'b', START) && !subscriptions.granted(&'a', START));
        for key in ['a', 'b', 'c'] {
            assert!(subscriptions.confirmed(&key));
        }
        assert!(subscriptions.iter().all(|(_, standing)| standing == SubscriptionState::Active));
        assert_eq!(subscriptions.poll_timeout(), None);
        subscriptions.down();
        assert_eq!(wants(&mut subscriptions, START), []);
    }
}

#[test]
fn m03_without_resubscription_what_went_with_the_link_is_over() {
    let config = sharp().with_resubscribe(false);
    let mut subscriptions = Subscriptions::new(config).unwrap();
    subscriptions.up();
    subscriptions.subscribe('a', false);
    assert_eq!(wants(&mut subscriptions, START), [SubscriptionAction::Subscribe('a')]);
    subscriptions.confirmed(&'a');
    subscriptions.subscribe('b', false);
    subscriptions.down();
    assert_eq!(subscriptions.standing(&'a'), Some(SubscriptionState::Over));
    assert_eq!(
        subscriptions.standing(&'b'),
        Some(SubscriptionState::Wanted),
        "it was not requested yet"
    );
    subscriptions.up();
    assert_eq!(wants(&mut subscriptions, START), [SubscriptionAction::Subscribe('b')]);
}

#[test]
fn i28_retries_follow_the_schedule_and_start_over_after_a_success() {
    let mut subscriptions = up();
    subscriptions.subscribe('a', false);
    let mut now = START;
    for wait in [1, 2, 4] {
        assert_eq!(wants(&mut subscriptions, now), [SubscriptionAction::Subscribe('a')]);
        let retry_in = subscriptions.failed(&'a', true, now, &mut dice(1));
        assert_eq!(retry_in, Some(secs(wait)));
        assert_eq!(subscriptions.poll_timeout(), Some(now + secs(wait)));
        assert_eq!(
            subscriptions.standing(&'a'),
            Some(SubscriptionState::Waiting { until: now + secs(wait) })
        );
        now = now + secs(wait);
        subscriptions.handle_timeout(now, &mut dice(1));
    }
    assert_eq!(wants(&mut subscriptions, now), [SubscriptionAction::Subscribe('a')]);
    subscriptions.confirmed(&'a');
    assert_eq!(subscriptions.failed(&'a', true, now, &mut dice(1)), Some(secs(1)));
    assert_eq!(subscriptions.failed(&'a', false, now, &mut dice(1)), None);
    assert_eq!(
        (subscriptions.standing(&'a'), subscriptions.poll_timeout()),
        (Some(SubscriptionState::Over), None)
    );
    assert_eq!(subscriptions.failed(&'z', true, now, &mut dice(1)), None, "it is unknown");
    assert!(!subscriptions.confirmed(&'z'));
}

#[test]
fn i28_no_answer_in_time_is_a_failure_for_now_whatever_was_asked() {
    let mut subscriptions = up();
    subscriptions.subscribe('a', false);
    subscriptions.subscribe('b', true);
    wants(&mut subscriptions, START);
    subscriptions.handle_timeout(START + Duration::from_millis(9_999), &mut dice(1));
    assert_eq!(subscriptions.poll_unanswered(), None);
    let late = START + secs(10);
    assert_eq!(subscriptions.poll_timeout(), Some(late));
    subscriptions.handle_timeout(late, &mut dice(1));
    assert_eq!(subscriptions.poll_unanswered(), Some(('a', secs(1))));
    assert_eq!(subscriptions.poll_unanswered(), Some(('b', secs(1))));
    assert_eq!(subscriptions.poll_unanswered(), None);
    assert!(!subscriptions.granted(&'b', late), "too late");
    subscriptions.handle_timeout(late + secs(1), &mut dice(1));
    assert_eq!(
        wants(&mut subscriptions, late + secs(1)),
        [SubscriptionAction::Subscribe('a'), SubscriptionAction::Token('b')]
    );
}

#[test]
fn the_application_asks_again_without_waiting() {
    let mut subscriptions = up();
    subscriptions.subscribe('a', false);
    wants(&mut subscriptions, START);
    subscriptions.failed(&'a', true, START, &mut dice(1));
    subscriptions.subscribe('a', false);
    assert_eq!(wants(&mut subscriptions, START), [SubscriptionAction::Subscribe('a')]);
    subscriptions.failed(&'a', false, START, &mut dice(1));
    subscriptions.subscribe('a', true);
    assert_eq!(wants(&mut subscriptions, START), [SubscriptionAction::Token('a')]);
    subscriptions.subscribe('a', true);
    assert_eq!(wants(&mut subscriptions, START), [], "that is under way");
}

#[test]
fn what_the_peer_may_know_of_is_given_up_in_words_and_the_rest_in_silence() {
    let mut subscriptions = up();
    assert!(!subscriptions.unsubscribe(&'a'));
    subscriptions.subscribe('a', false);
    assert!(subscriptions.unsubscribe(&'a'));
    assert_eq!(wants(&mut subscriptions, START), []);
    // Requested and never answered: the server may have got it.
    subscriptions.subscribe('a', false);
    wants(&mut subscriptions, START);
    subscriptions.handle_timeout(START + secs(10), &mut dice(1));
    subscriptions.unsubscribe(&'a');
    assert_eq!(wants(&mut subscriptions, START), [SubscriptionAction::Unsubscribe('a')]);
    assert_eq!(subscriptions.poll_timeout(), None);
    // Refused: the server knows that it is over.
    subscriptions.subscribe('a', false);
    wants(&mut subscriptions, START);
    subscriptions.failed(&'a', true, START, &mut dice(1));
    subscriptions.unsubscribe(&'a');
    assert_eq!(wants(&mut subscriptions, START), []);
    // About to be requested again.
    subscriptions.subscribe('a', false);
    wants(&mut subscriptions, START);
    subscriptions.confirmed(&'a');
    subscriptions.again(&'a');
    subscriptions.unsubscribe(&'a');
    assert_eq!(wants(&mut subscriptions, START), [SubscriptionAction::Unsubscribe('a')]);
    // The link is lost: the server has forgotten it.
    subscriptions.subscribe('a', false);
    wants(&mut subscriptions, START);
    subscriptions.subscribe('b', false);
    wants(&mut subscriptions, START);
    subscriptions.unsubscribe(&'b');
    subscriptions.down();
    subscriptions.unsubscribe(&'a');
    subscriptions.up();
    assert_eq!(wants(&mut subscriptions, START), []);
}

#[test]
fn to_ask_again_is_not_forgotten_for_the_answer_to_what_was_asked_before() {
    let mut subscriptions = up();
    subscriptions.again(&'a');
    subscriptions.subscribe('a', false);
    wants(&mut subscriptions, START);
    subscriptions.again(&'a');
    assert!(subscriptions.confirmed(&'a'));
    assert_eq!(subscriptions.standing(&'a'), Some(SubscriptionState::Wanted));
    assert_eq!(wants(&mut subscriptions, START), [SubscriptionAction::Subscribe('a')]);
    subscriptions.again(&'a');
    subscriptions.failed(&'a', false, START, &mut dice(1));
    assert_eq!(wants(&mut subscriptions, START), [], "refused for good meanwhile");
}

#[test]
fn i32_deadlines_make_progress_at_the_end_of_time_and_in_reverse() {
    let end = Instant::from_origin(Duration::MAX);
    let mut subscriptions = up();
    subscriptions.subscribe('a', false);
    wants(&mut subscriptions, end);
    assert_eq!(subscriptions.poll_timeout(), None, "that never comes");
    subscriptions.handle_timeout(end, &mut dice(1));
    subscriptions.subscribe('b', true);
    wants(&mut subscriptions, START);
    subscriptions.handle_timeout(Instant::ORIGIN, &mut dice(1));
    assert!(matches!(subscriptions.standing(&'b'), Some(SubscriptionState::Authorizing { .. })));
}
