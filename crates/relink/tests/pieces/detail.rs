//! The words that go with an event are about that event.

use core::time::Duration;

use relink::protocol::{Command, ProtocolEvent};
use relink::session::Frame;
use relink::{
    Event, Instant, Message, Protocol, Session, SessionAction, SessionConfig, SessionInput, Token,
};

use crate::bench::dice;

#[test]
fn a_loss_is_not_explained_by_a_token_that_could_not_be_renewed_before_it() {
    let mut config = SessionConfig::default();
    config.link.credentials.fetch = true;
    config.link.heartbeat.interval = None;
    config.link.heartbeat.watchdog = Some(Duration::from_secs(200));
    let mut session =
        Session::new(config, vec!["ws://peer".into()], Renewing, dice(7)).expect("valid");

    let (mut now, mut fetches) = (Instant::ORIGIN, 0);
    session.handle(SessionInput::Connect, now);
    let detail = loop {
        match session.poll_action() {
            Some(SessionAction::FetchToken { id }) => {
                fetches += 1;
                let token = Token::from("first").with_expires_in(Duration::from_secs(120));
                let result =
                    if fetches == 1 { Ok(token) } else { Err("the provider is down".into()) };
                session.handle(SessionInput::Token { id, result }, now);
            }
            Some(SessionAction::Dial { id, .. }) => {
                session.handle(SessionInput::Opened { id }, now)
            }
            Some(SessionAction::Event(Event::Disconnected { detail, .. })) => break detail,
            Some(_) => {}
            None => {
                now = session.poll_timeout().expect("a connected link has deadlines");
                session.handle(SessionInput::Timeout, now);
            }
        }
    };
    assert!(fetches > 1, "the token should have been renewed before the watchdog bit");
    assert_eq!(detail, "");
}

/// A protocol that can give the server a fresh token, and says nothing.
struct Renewing;

impl Protocol for Renewing {
    fn receive(&mut self, _: Message, _: &mut Vec<ProtocolEvent>) {}

    fn command(&mut self, _: Command<'_>, _: &mut Vec<Frame>) {}

    fn renews(&self) -> bool {
        true
    }
}
