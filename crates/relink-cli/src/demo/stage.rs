//! The stage: a scripted server, a client that stays connected, and checks of what they do.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anstyle::Style;
use relink::{CloseCode, ClosedReason, Event, Reason, SessionConfig, Token};
use relink_testing::{EventKind, Script, Server, ServerEvent};
use relink_tokio::{Client, Events};
use tokio::time::{Instant, interval, sleep_until};

use super::timeline::{Timeline, Who};
use crate::style::{BAD, GOOD, WAIT};
use crate::text::{cause, soon};

/// The timeout of every expectation, far above all delays of the demo.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How often the clock on the screen is updated.
const TICK: Duration = Duration::from_millis(100);

/// Why the demo was stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// Stdout is closed.
    #[error("stdout is closed: {0}")]
    Screen(#[from] io::Error),
    /// An expectation failed.
    #[error("{0}")]
    Promise(String),
}

/// Fails if an expectation was not met.
pub(crate) fn promise<T>(kept: bool, broken: impl FnOnce() -> T) -> Result<(), Broken>
where
    T: Into<String>,
{
    if kept { Ok(()) } else { Err(Broken::Promise(broken().into())) }
}

/// How a usable connection was lost.
pub(crate) struct Lost {
    pub(crate) code: CloseCode,
    pub(crate) reason: Reason,
    pub(crate) retry_in: Duration,
}

pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) client: Client,
    pub(crate) screen: Timeline,
    events: Events,
    tokens: Arc<AtomicU32>,
    /// The number of orders sent so far; the first is "order 1".
    sent: u32,
    /// The number of orders that came back.
    echoed: u32,
    /// The act that is played.
    pub(super) act_number: u8,
}

impl Stage {
    pub(crate) async fn set(config: SessionConfig) -> Result<Self, Broken> {
        let started = Server::start(Script::echo()).await;
        let server = started
            .map_err(|error| Broken::Promise(format!("the server does not start: {error}")))?;
        let tokens = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&tokens);
        let provider = move || {
            let number = counter.fetch_add(1, Ordering::Relaxed) + 1;
            async move { Ok::<_, String>(Token::from(format!("demo-token-{number}"))) }
        };
        let builder = relink_tokio::builder(server.url()).config(config).token(provider);
        let (client, events) =
            builder.spawn().map_err(|error| Broken::Promise(error.to_string()))?;
        let screen = Timeline::start();
        Ok(Self { server, client, screen, events, tokens, sent: 0, echoed: 0, act_number: 0 })
    }

    // On the screen.

    /// Starts the next act, after a pause to read the last one.
    pub(crate) async fn act(&mut self, title: &str) -> Result<(), Broken> {
        self.pause(Duration::from_secs(1)).await?;
        Ok(self.screen.act(self.act_number, title)?)
    }

    pub(crate) fn server_says(&mut self, text: &str) -> Result<(), Broken> {
        Ok(self.screen.say(Who::Server, Style::new(), text)?)
    }

    pub(crate) fn client_says(&mut self, text: &str) -> Result<(), Broken> {
        Ok(self.screen.say(Who::Client, Style::new(), text)?)
    }

    pub(crate) fn client_is_up(&mut self, text: &str) -> Result<(), Broken> {
        Ok(self.screen.say(Who::Client, GOOD, text)?)
    }

    pub(crate) fn client_waits(&mut self, text: &str) -> Result<(), Broken> {
        Ok(self.screen.say(Who::Client, WAIT, text)?)
    }

    pub(crate) fn client_stops(&mut self, text: &str) -> Result<(), Broken> {
        Ok(self.screen.say(Who::Client, BAD, text)?)
    }

    pub(crate) fn why(&mut self, text: &str) -> Result<(), Broken> {
        Ok(self.screen.why(text)?)
    }

    /// Time to read.
    pub(crate) async fn pause(&mut self, time: Duration) -> Result<(), Broken> {
        let (end, mut ticks) = (Instant::now() + time, interval(TICK));
        loop {
            tokio::select! {
                () = sleep_until(end) => return Ok(()),
                _ = ticks.tick() => self.screen.tick()?,
            }
        }
    }

    // What the client sends.

    /// Sends this many orders; returns their names, and whether they had to wait for a link.
    pub(crate) fn send(&mut self, count: u32) -> Result<(String, bool), Broken> {
        let (mut names, mut queued) = (Vec::new(), false);
        for _ in 0..count {
            self.sent += 1;
            let name = format!("order {}", self.sent);
            let accepted = self.client.try_send(name.as_str());
            queued |= accepted.map_err(|refused| Broken::Promise(refused.to_string()))?.queued;
            names.push(name);
        }
        Ok((names.join(", "), queued))
    }

    /// Waits until the server has every order, in order and once, and the client has every echo.
    pub(crate) async fn all_arrived(&mut self) -> Result<(), Broken> {
        let all: Vec<_> = (1..=self.sent).map(|number| format!("order {number}")).collect();
        let seen = self.server.wait_for(|log| orders(log).eq(all.iter()), PATIENCE).await;
        seen.map_err(|error| {
            Broken::Promise(format!("the server should have every order, once: {error}"))
        })?;
        while self.echoed < self.sent {
            self.expect("an echo", |event| matches!(event, Event::Message(_)).then_some(()))
                .await?;
        }
        Ok(())
    }

    /// Proves that the link works: one order there and back.
    pub(crate) async fn proves_itself(&mut self) -> Result<(), Broken> {
        let (name, _) = self.send(1)?;
        self.all_arrived().await?;
        self.client_says(&format!("sends {name}; the server has it, and its echo is back"))
    }

    // What the client reports.

    /// The link must become usable, with a token that the server has not seen before. Returns the
    /// token's number.
    pub(crate) async fn connected(&mut self, again: bool) -> Result<u32, Broken> {
        let pick = |event: &Event| *event == Event::Connected { is_reconnect: again };
        self.expect("a connection", |event| pick(event).then_some(())).await?;
        let shown = |log: &[ServerEvent]| {
            let header = |event: &ServerEvent| {
                event.kind.request()?.header("authorization").map(str::to_owned)
            };
            let accepted =
                log.iter().filter(|event| matches!(event.kind, EventKind::Accepted { .. }));
            accepted.filter_map(header).collect::<Vec<_>>()
        };
        let connects = usize::try_from(self.client.stats().connects).unwrap_or(usize::MAX);
        let log = self.server.wait_for(|log| shown(log).len() == connects, PATIENCE).await;
        let mut tokens = shown(&log.map_err(|error| Broken::Promise(error.to_string()))?);
        let number = self.tokens.load(Ordering::Relaxed);
        let newest = tokens.pop();
        let fresh = newest.as_ref().is_some_and(|token| token.ends_with(&number.to_string()))
            && newest.is_none_or(|newest| !tokens.contains(&newest));
        promise(fresh, || "every connection should have a fresh token")?;
        Ok(number)
    }

    /// The link must be lost, and relink must reconnect; shows that on the screen.
    pub(crate) async fn lost(&mut self) -> Result<Lost, Broken> {
        let pick = |event: &Event| {
            let Event::Disconnected { code, reason, detail, retry_in: Some(retry_in) } = event
            else {
                return None;
            };
            Some((Lost { code: *code, reason: *reason, retry_in: *retry_in }, detail.clone()))
        };
        let (lost, detail) = self.expect("the loss of the link", pick).await?;
        let what = match lost.code {
            CloseCode::ABNORMAL => format!("lost the link: {}", cause(lost.reason, &detail)),
            code => format!("is told to go ({code})"),
        };
        self.client_waits(&format!("{what}; dials again {}", soon(lost.retry_in)))?;
        Ok(lost)
    }

    /// An attempt must fail; shows that on the screen.
    pub(crate) async fn attempt_failed(&mut self) -> Result<(), Broken> {
        let pick = |event: &Event| {
            let Event::AttemptFailed { attempt, reason, detail, retry_in: Some(retry_in) } = event
            else {
                return None;
            };
            let (cause, soon) = (cause(*reason, detail), soon(*retry_in));
            Some(format!("attempt {attempt} fails: {cause}; dials again {soon}"))
        };
        let text = self.expect("a failed attempt", pick).await?;
        self.client_waits(&text)
    }

    /// The server must ask the client to come back after a delay.
    pub(crate) async fn going_away(&mut self) -> Result<Duration, Broken> {
        let pick = |event: &Event| {
            if let Event::GoingAway { retry_after } = event { Some(*retry_after) } else { None }
        };
        self.expect("a hint when to come back", pick).await
    }

    /// The link must end for good, and stay closed.
    pub(crate) async fn ended(&mut self) -> Result<ClosedReason, Broken> {
        let lost = |event: &Event| {
            matches!(event, Event::Disconnected { retry_in: None, .. }).then_some(())
        };
        self.expect("the loss of the link", lost).await?;
        let pick =
            |event: &Event| if let Event::Closed { reason } = event { Some(*reason) } else { None };
        let reason = self.expect("the end", pick).await?;
        promise(self.events.recv().await.is_none(), || "nothing should come after the end")?;
        Ok(reason)
    }

    /// Waits for the event that `pick` accepts; only background events may come before it.
    async fn expect<T>(
        &mut self,
        awaited: &str,
        mut pick: impl FnMut(&Event) -> Option<T>,
    ) -> Result<T, Broken> {
        let deadline = Instant::now() + PATIENCE;
        let mut ticks = interval(TICK);
        loop {
            let event = tokio::select! {
                biased;
                event = self.events.recv() => event,
                () = sleep_until(deadline) => return Err(Broken::Promise(format!("waited in vain for {awaited}"))),
                _ = ticks.tick() => {
                    self.screen.tick()?;
                    continue;
                }
            };
            let event =
                event.ok_or_else(|| Broken::Promise(format!("the link ended before {awaited}")))?;
            if let Event::Message(message) = &event {
                self.echoed += 1;
                let due = format!("order {}", self.echoed);
                promise(message.as_text() == Some(&due), || format!("the echo of {due} was due"))?;
            }
            if let Some(found) = pick(&event) {
                return Ok(found);
            }
            promise(is_background(&event), || format!("expected {awaited}, not {event:?}"))?;
        }
    }
}

/// Events that may come before the expected one.
const fn is_background(event: &Event) -> bool {
    matches!(
        event,
        Event::State { .. }
            | Event::Dialing { .. }
            | Event::Sent { .. }
            | Event::Message(_)
            | Event::StatusChange(_)
    )
}

fn orders(log: &[ServerEvent]) -> impl Iterator<Item = &String> {
    log.iter()
        .filter_map(|event| if let EventKind::Text(text) = &event.kind { Some(text) } else { None })
}
