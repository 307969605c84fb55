//! What a person should see.

use relink::Instant;
use relink::link::{Indicator, Status, StatusChange, StatusView, StatusViewConfig};

use crate::support::{at, millis, secs};

#[test]
fn a05_a_recovery_within_the_grace_shows_nothing_at_all() {
    let mut screen = Screen::connected(grace());
    screen.status(Status::Reconnecting, 10);
    assert_eq!(screen.surface.shown(), Status::Connected);
    screen.until(13);
    screen.status(Status::Connected, 13);
    screen.until(100);
    assert_eq!(screen.seen, []);
    assert_eq!(screen.surface.poll_timeout(), None, "what was hidden leaves no deadline behind");
}

#[test]
fn a05_a_loss_that_outlasts_the_grace_shows_when_it_ends() {
    let mut screen = Screen::connected(grace());
    screen.status(Status::Reconnecting, 10);
    screen.until(14);
    assert_eq!(screen.seen, [(at(secs(14)), StatusChange::Status(Status::Reconnecting))]);
    screen.status(Status::Connected, 15);
    assert_eq!(screen.seen.last(), Some(&(at(secs(15)), StatusChange::Status(Status::Connected))));
}

#[test]
fn a05_an_end_within_the_grace_shows_at_once() {
    for end in [Status::Closing, Status::Closed] {
        let mut screen = Screen::connected(grace());
        screen.status(Status::Reconnecting, 10);
        screen.status(end, 11);
        screen.until(100);
        assert_eq!(screen.seen, [(at(secs(11)), StatusChange::Status(end))]);
    }
}

#[test]
fn a05_the_grace_covers_losses_and_not_the_first_attempt() {
    let mut screen = Screen::new(grace());
    screen.status(Status::Connecting, 0);
    assert_eq!(screen.seen, [(at(secs(0)), StatusChange::Status(Status::Connecting))]);
}

#[test]
fn m15_the_banner_appears_after_a_second_and_not_for_a_short_drop() {
    let mut screen = Screen::connected(StatusViewConfig::default());
    screen.status(Status::Reconnecting, 10);
    screen.status(Status::Connected, 10);
    screen.until(20);
    assert!(
        !screen.seen.iter().any(|(_, shown)| matches!(shown, StatusChange::Banner(_))),
        "{:?}",
        screen.seen
    );

    screen.status(Status::Reconnecting, 20);
    screen.until(25);
    screen.status(Status::Connected, 25);
    let banners: Vec<_> =
        screen.seen.iter().filter(|(_, shown)| matches!(shown, StatusChange::Banner(_))).collect();
    assert_eq!(
        banners,
        [&(at(secs(21)), StatusChange::Banner(true)), &(at(secs(25)), StatusChange::Banner(false))]
    );
}

#[test]
fn m15_the_banner_does_not_announce_what_the_grace_hides() {
    let mut screen = Screen::connected(grace().with_banner_after(Some(secs(1))));
    screen.status(Status::Reconnecting, 10);
    screen.until(13);
    assert_eq!(screen.seen, []);
    screen.until(14);
    assert_eq!(
        screen.seen,
        [
            (at(secs(14)), StatusChange::Status(Status::Reconnecting)),
            (at(secs(14)), StatusChange::Banner(true))
        ]
    );
}

#[test]
fn m15_there_is_no_banner_before_the_first_connection() {
    let mut screen = Screen::new(StatusViewConfig::default().with_stuck_after(None));
    screen.status(Status::Connecting, 0);
    screen.until(100);
    assert_eq!(screen.seen, [(at(secs(0)), StatusChange::Status(Status::Connecting))]);
}

#[test]
fn m16_after_thirty_seconds_without_a_link_it_says_that_it_is_stuck() {
    for trying in [Status::Connecting, Status::Reconnecting] {
        let mut screen = Screen::new(StatusViewConfig::default().with_banner_after(None));
        if trying == Status::Reconnecting {
            screen.status(Status::Connected, 0);
        }
        screen.status(trying, 100);
        screen.seen.clear();
        screen.until(129);
        assert_eq!(screen.seen, []);
        screen.until(140);
        assert_eq!(screen.seen, [(at(secs(130)), StatusChange::Stuck(true))]);
        screen.status(Status::Connected, 141);
        assert!(screen.seen.contains(&(at(secs(141)), StatusChange::Stuck(false))));
    }
}

#[test]
fn m16_the_end_takes_every_notice_away() {
    let mut screen = Screen::connected(StatusViewConfig::default());
    screen.status(Status::Reconnecting, 0);
    screen.until(60);
    screen.seen.clear();
    screen.status(Status::Closed, 60);
    let now = at(secs(60));
    assert_eq!(
        screen.seen,
        [
            (now, StatusChange::Banner(false)),
            (now, StatusChange::Stuck(false)),
            (now, StatusChange::Status(Status::Closed))
        ]
    );
    assert_eq!(screen.surface.poll_timeout(), None);
}

#[test]
fn d09_the_color_follows_from_the_state() {
    let colors = [
        (Status::Idle, Indicator::Bad),
        (Status::Connecting, Indicator::Neutral),
        (Status::Connected, Indicator::Good),
        (Status::Reconnecting, Indicator::Neutral),
        (Status::Closing, Indicator::Neutral),
        (Status::Closed, Indicator::Bad),
    ];
    let mut screen = Screen::new(StatusViewConfig::default());
    for (status, color) in colors {
        screen.status(status, 0);
        assert_eq!(screen.surface.indicator(), color, "{status}");
    }
    let mut hidden = Screen::connected(grace());
    hidden.status(Status::Reconnecting, 1);
    assert_eq!(
        hidden.surface.indicator(),
        Indicator::Good,
        "what the grace hides has no color of its own"
    );
}

#[test]
fn s07_every_change_is_told_once() {
    let mut screen = Screen::connected(StatusViewConfig::default());
    screen.status(Status::Connected, 1);
    screen.status(Status::Connected, 2);
    assert_eq!(screen.seen, []);
    screen.status(Status::Reconnecting, 3);
    screen.status(Status::Reconnecting, 4);
    assert_eq!(screen.seen, [(at(secs(3)), StatusChange::Status(Status::Reconnecting))]);
}

#[test]
fn a_late_or_an_early_timeout_shows_what_is_due_and_no_more() {
    let mut screen = Screen::connected(grace().with_stuck_after(Some(secs(30))));
    screen.status(Status::Reconnecting, 0);
    screen.timeout(at(millis(3_999)));
    assert_eq!(screen.seen, []);
    screen.timeout(at(secs(3600)));
    assert_eq!(
        screen.seen.iter().map(|(_, shown)| *shown).collect::<Vec<_>>(),
        [StatusChange::Status(Status::Reconnecting), StatusChange::Stuck(true)]
    );
    assert_eq!(screen.surface.poll_timeout(), None);
}

fn grace() -> StatusViewConfig {
    StatusViewConfig::default()
        .with_grace(Some(secs(4)))
        .with_banner_after(None)
        .with_stuck_after(None)
}

/// A status view, and everything that it has reported, with the times.
struct Screen {
    surface: StatusView,
    seen: Vec<(Instant, StatusChange)>,
}

impl Screen {
    fn new(config: StatusViewConfig) -> Self {
        Self { surface: StatusView::new(config), seen: Vec::new() }
    }

    /// A status view that shows a usable link; earlier reports are dropped.
    fn connected(config: StatusViewConfig) -> Self {
        let mut screen = Self::new(config);
        screen.status(Status::Connecting, 0);
        screen.status(Status::Connected, 0);
        screen.seen.clear();
        screen
    }

    fn status(&mut self, status: Status, second: u64) {
        let (now, seen) = (at(secs(second)), &mut self.seen);
        self.surface.observe(status, now, |shown| seen.push((now, shown)));
    }

    fn timeout(&mut self, now: Instant) {
        let seen = &mut self.seen;
        self.surface.handle_timeout(now, |shown| seen.push((now, shown)));
    }

    /// Handles every deadline up to this second when it is due.
    fn until(&mut self, second: u64) {
        while let Some(due) = self.surface.poll_timeout().filter(|due| *due <= at(secs(second))) {
            self.timeout(due);
        }
    }
}
