//! The banner as it is drawn, line by line.

use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;
use relink::link::{Indicator, Status, StatusView, StatusViewConfig};
use relink::{CloseCode, ClosedReason, Event, Failure, Instant, Reason, StopReason};
use relink_examples::banner::{Screen, draw};

const SECOND: Duration = Duration::from_secs(1);

/// The screen of a link, as its status view reports.
struct Link {
    surface: StatusView,
    screen: Screen,
    now: Instant,
    /// Whether a banner was ever shown.
    has_shown_banner: bool,
}

impl Link {
    fn connected() -> Self {
        let config = StatusViewConfig::default().with_grace(Some(SECOND));
        let surface = StatusView::new(config);
        let screen = Screen::new("ws://example.org/");
        let mut link = Self { surface, screen, now: Instant::ORIGIN, has_shown_banner: false };
        link.becomes(Status::Connecting);
        link.becomes(Status::Connected);
        link
    }

    fn tell(&mut self, event: &Event) {
        self.screen.apply(event, self.surface.indicator(), self.now);
        self.has_shown_banner |= self.screen.drawn().banner;
    }

    fn becomes(&mut self, status: Status) {
        let mut shown = Vec::new();
        self.surface.observe(status, self.now, |change| shown.push(change));
        shown.into_iter().for_each(|change| self.tell(&Event::StatusChange(change)));
    }

    fn passes(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.surface.poll_timeout().filter(|at| *at <= end) {
            self.now = at;
            let mut shown = Vec::new();
            self.surface.handle_timeout(at, |change| shown.push(change));
            shown.into_iter().for_each(|change| self.tell(&Event::StatusChange(change)));
        }
        self.now = end;
    }

    fn lost(&mut self, retry_in: Duration) {
        self.becomes(Status::Reconnecting);
        self.tell(&Event::Disconnected {
            code: CloseCode::ABNORMAL,
            detail: String::new(),
            reason: Reason::Failed(Failure::Reset),
            retry_in: Some(retry_in),
        });
    }

    fn picture(&self) -> Picture {
        let mut terminal = Terminal::new(TestBackend::new(60, 7)).expect("a terminal in memory");
        terminal.draw(|frame| draw(&self.screen, self.now, frame)).expect("it is drawn");
        let buffer = terminal.backend().buffer();
        let line =
            |y| (0..60).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
        Picture {
            lines: (0..7).map(line).collect(),
            dot: buffer[(0, 0)].fg,
            banner: buffer[(0, 1)].bg,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Picture {
    lines: Vec<String>,
    dot: Color,
    /// What follows the second line.
    banner: Color,
}

fn picture(dot: Color, banner: Color, lines: [&str; 7]) -> Picture {
    Picture { lines: lines.map(str::to_owned).into(), dot, banner }
}

const KEYS: &str = "m say something   r retry now   q quit";
const CONNECTED: &str = "● connected  ws://example.org/";
const RECONNECTING: &str = "● reconnecting  ws://example.org/";

#[test]
fn m15_a_drop_within_the_grace_changes_nothing_on_the_screen() {
    let mut link = Link::connected();
    let before = link.picture();
    assert_eq!(before, picture(Color::Green, Color::Reset, [CONNECTED, "", "", "", "", "", KEYS]));
    link.lost(SECOND / 2);
    link.passes(SECOND - Duration::from_millis(1));
    assert_eq!(link.picture(), before);
    link.tell(&Event::Connected { is_reconnect: true });
    link.becomes(Status::Connected);
    link.passes(SECOND * 100);
    assert_eq!(link.picture(), before);
    assert!(!link.has_shown_banner);
}

#[test]
fn m15_a_longer_drop_shows_a_banner_that_counts_down() {
    let mut link = Link::connected();
    link.lost(SECOND * 4);
    link.passes(SECOND);
    let banner =
        |words| picture(Color::Yellow, Color::Yellow, [RECONNECTING, words, "", "", "", "", KEYS]);
    assert_eq!(link.picture(), banner("Reconnecting: next attempt in 3 s."));
    link.passes(Duration::from_millis(2_999));
    assert_eq!(link.picture(), banner("Reconnecting: next attempt in 1 s."));
    link.passes(Duration::from_millis(1));
    link.tell(&Event::Dialing { attempt: 1, address: "ws://example.org/".into() });
    assert_eq!(link.picture(), banner("Reconnecting: trying now."));
    link.becomes(Status::Connected);
    assert_eq!(
        link.picture(),
        picture(Color::Green, Color::Reset, [CONNECTED, "", "", "", "", "", KEYS])
    );
}

#[test]
fn m16_after_30_s_retrying_now_is_offered() {
    let mut link = Link::connected();
    link.lost(SECOND * 50);
    link.passes(SECOND * 30 - Duration::from_millis(1));
    assert!(!link.picture().lines[2].contains("Press r"));
    link.passes(Duration::from_millis(1));
    let stuck = [
        "Still trying to reconnect: next attempt in 20 s.",
        "This takes long. Press r to retry now.",
    ];
    let lines = [RECONNECTING, stuck[0], stuck[1], "", "", "", KEYS];
    assert_eq!(link.picture(), picture(Color::Yellow, Color::Yellow, lines));
}

#[test]
fn m16_it_is_offered_on_the_way_to_the_first_connection_too() {
    let mut link = Link::connected();
    link.surface = StatusView::new(StatusViewConfig::default());
    link.becomes(Status::Connecting);
    link.passes(SECOND * 30);
    assert_eq!(link.picture().lines[1], "Still trying to connect: trying now.");
}

#[test]
fn an_end_says_what_to_do() {
    let mut link = Link::connected();
    let code = Some(CloseCode::ADMIN_DISCONNECT);
    link.becomes(Status::Closed);
    link.tell(&Event::Closed {
        reason: ClosedReason::Stopped { reason: StopReason::ADMIN_DISCONNECT, code },
    });
    let lines = link.picture();
    assert_eq!((lines.dot, lines.banner), (Color::Red, Color::Red));
    assert_eq!(lines.lines[0], "● closed  ws://example.org/");
    assert_eq!(lines.lines[1], "Disconnected: admin_disconnect (close code 4020).");
    let advice = lines.lines[2..].join(" ");
    assert!(
        advice.contains("An administrator disconnected this client; ask them before coming"),
        "{advice}"
    );
    assert!(advice.contains("back."), "nothing of the advice is cut off: {advice}");
    assert!(advice.contains("q quit") && !advice.contains("retry"), "{advice}");
}

#[test]
fn an_end_that_was_asked_for_needs_no_banner() {
    let mut link = Link::connected();
    link.becomes(Status::Closed);
    link.tell(&Event::Closed { reason: ClosedReason::Requested });
    assert_eq!(
        link.picture(),
        picture(
            Color::Red,
            Color::Reset,
            ["● closed  ws://example.org/", "", "", "", "", "", "q quit"]
        )
    );
}

#[test]
fn m10_tokens_that_are_of_no_use_ask_for_a_login_and_trying_goes_on() {
    let mut link = Link::connected();
    link.tell(&Event::TokenError { consecutive_failures: 3, detail: "503".to_owned() });
    let words = link.picture().lines.join(" ");
    assert!(words.contains("3 tokens in a row were of no use (503)."), "{words}");
    assert!(words.contains("You may have to log in again."), "{words}");
    link.tell(&Event::Connected { is_reconnect: true });
    assert_eq!(link.picture().lines[1], "");
}

#[test]
fn the_log_has_the_newest_on_top_and_no_tricks() {
    let mut link = Link::connected();
    link.screen.said("hello 1");
    link.tell(&Event::Message("hello\u{1b}[2J 1".into()));
    link.lost(SECOND);
    link.passes(SECOND);
    link.screen.said("hello 2");
    let lines = link.picture().lines;
    assert_eq!(lines[2..5], ["→ hello 2 (waits for the connection)", "← hello[2J 1", "→ hello 1"]);
    assert_eq!(Indicator::Neutral, link.screen.drawn().color);
}
