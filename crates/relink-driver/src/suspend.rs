//! Notices that the machine was suspended.
//!
//! The timers of a runtime stop during suspension, whatever its clock does: one that had 20 s left
//! still has them on waking, although hours have passed. One thread for all links of a process
//! watches a clock that counts suspended time, and notifies them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use crate::clock::StdClock;
use crate::handle_state::Shared;

/// How often the clock is read, and so the maximum delay of the notification.
const INTERVAL: Duration = Duration::from_secs(1);
/// An interval that took this much longer counts as a suspension. A busy machine is rarely that
/// late, and then the hint only costs a ping.
const SUSPENDED: Duration = Duration::from_secs(5);

static LINKS: Links = Links(Mutex::new(Vec::new()));

/// Notifies this link when the machine wakes up, while the link exists.
pub(crate) fn watch(link: &Arc<Shared>) {
    if LINKS.add(link) {
        let watching =
            thread::Builder::new().name("relink-suspend".to_owned()).spawn(|| LINKS.run());
        if watching.is_err() {
            // Links notice by themselves when their next timer is late. The next link tries again.
            LINKS.lock().clear();
        }
    }
}

/// The links to notify. The thread runs while there are any.
struct Links(Mutex<Vec<Weak<Shared>>>);

impl Links {
    /// Whether it is the first.
    fn add(&self, link: &Arc<Shared>) -> bool {
        let mut links = self.lock();
        links.push(Arc::downgrade(link));
        links.len() == 1
    }

    fn run(&self) {
        let clock = StdClock::start();
        loop {
            let before = clock.now();
            thread::sleep(INTERVAL);
            if !self.look(clock.now() - before) {
                return;
            }
        }
    }

    /// Handles an interval that took `took`. Returns true if there is a link left.
    fn look(&self, took: Duration) -> bool {
        let mut links = self.lock();
        links.retain(|link| link.strong_count() > 0);
        if links.is_empty() {
            return false;
        }
        if took >= INTERVAL + SUSPENDED {
            let woken: Vec<_> = links.iter().filter_map(Weak::upgrade).collect();
            drop(links);
            for link in woken {
                link.wake_up();
            }
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Shared>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::{Wake, Waker};

    use rand::SeedableRng;
    use rand::rngs::SmallRng;
    use relink::protocol::{ClientFrame, ProtocolEvent};
    use relink::session::Frame;
    use relink::{
        Instant, Message, Plain, Protocol, Session, SessionAction, SessionConfig, SessionInput,
    };

    use super::*;
    use crate::inbox::InboxLimits;

    #[derive(Default)]
    struct Wakes(AtomicU32);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A protocol that panics on heartbeats.
    struct Panics;

    impl Protocol for Panics {
        fn receive(&mut self, _message: Message, _signals: &mut Vec<ProtocolEvent>) {}

        fn send(&mut self, frame: ClientFrame, _frames: &mut Vec<Frame>, _now: Instant) {
            assert!(!matches!(frame, ClientFrame::Heartbeat { .. }), "on purpose");
        }
    }

    fn link() -> Arc<Shared> {
        link_with(Box::new(Plain::default()))
    }

    fn link_with(protocol: Box<dyn Protocol + Send>) -> Arc<Shared> {
        let rng = SmallRng::seed_from_u64(1);
        let session =
            Session::new(SessionConfig::default(), vec!["ws://h/".into()], protocol, rng).unwrap();
        Arc::new(Shared::new(session, InboxLimits::default(), Box::new(|| Instant::ORIGIN)))
    }

    #[test]
    fn links_are_told_of_a_suspension_and_not_of_a_busy_machine() {
        let (links, link, wakes) = (Links(Mutex::default()), link(), Arc::<Wakes>::default());
        assert!(links.add(&link), "the first starts the thread");
        assert!(!links.add(&link));
        link.engine.register(&Waker::from(wakes.clone()));
        assert!(links.look(INTERVAL + Duration::from_secs(2)));
        assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
        assert!(links.look(Duration::from_secs(8 * 60 * 60)));
        assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_protocol_that_panics_ends_its_own_link_and_not_the_watch() {
        let (links, link) = (Links(Mutex::default()), link_with(Box::new(Panics)));
        links.add(&link);
        link.hand_in(SessionInput::Connect);
        let id =
            std::iter::from_fn(|| link.lock().session_mut().poll_action()).find_map(|action| {
                if let SessionAction::Dial { id, .. } = action { Some(id) } else { None }
            });
        link.hand_in(SessionInput::Opened { id: id.expect("it dials") });
        assert!(link.lock().session().state().is_usable());
        assert!(links.look(Duration::from_secs(8 * 60 * 60)));
        // The engine passes it on, and catches the panic.
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| link.wakes_up()));
        assert!(told.is_err());
        assert!(!link.wakes_up(), "it is told once");
    }

    #[test]
    fn nobody_watches_for_links_that_are_gone() {
        let links = Links(Mutex::default());
        links.add(&link());
        assert!(!links.look(INTERVAL));
        assert!(links.add(&link()), "a new thread starts");
    }
}
