//! Compares what a fleet received with what was sent: everything once, in order, and the same as in
//! the store.

use std::{collections::BTreeMap, fmt, thread, time::Duration};

use super::{CHANNELS, CLIENTS, Fleet, Seen, channel_of};
use crate::{Result, redis::Redis};

/// How long the last messages may travel.
const SETTLE: Duration = Duration::from_secs(20);
/// Long enough for a duplicate to arrive.
const LINGER: Duration = Duration::from_secs(1);
/// The maximum number of faults that are printed.
const TOLD: usize = 5;

/// What a check sent and found.
#[derive(Default)]
pub(crate) struct Totals {
    /// To channels.
    said: usize,
    /// Without a channel.
    asked: usize,
    delivered: usize,
    resumed: u64,
    lost: u64,
    disconnects: u64,
    duplicates: u64,
    gaps: u64,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { said, asked, delivered, resumed, lost, disconnects, duplicates, gaps } = self;
        writeln!(
            f,
            "    sessions   {disconnects} links lost, {resumed} sessions resumed, {lost} lost"
        )?;
        writeln!(
            f,
            "    messages   {} sent and acknowledged once: {said} to {CHANNELS} channels, {asked} to the server itself",
            said + asked
        )?;
        write!(
            f,
            "    received   {delivered} from channels and {asked} answers, none missing, none twice, in order, as in the store; the links dropped {duplicates} duplicates and closed on {gaps} gaps"
        )
    }
}

impl Fleet {
    /// Waits until everything has arrived, and judges it.
    pub(crate) fn judge(&self, redis: &Redis) -> Result<Totals> {
        self.talk(false);
        // Clients that were about to send have sent.
        thread::sleep(LINGER);
        let mut said = BTreeMap::<String, usize>::new();
        for (id, seen) in self.each().enumerate() {
            *said.entry(channel_of(id)).or_default() += seen.said.len();
        }
        let arrived = self.wait_all(|id, seen| {
            seen.acknowledged.len() >= seen.sent.len()
                && seen.answers.len() >= seen.asked.len()
                && said.get(&channel_of(id)).is_none_or(|said| seen.heard.len() >= *said)
        });
        thread::sleep(LINGER);
        let mut faults = Vec::new();
        let mut totals = Totals::default();
        let kept: BTreeMap<String, Vec<(u64, String)>> = (0..CHANNELS)
            .map(channel_of)
            .map(|name| Ok((name.clone(), redis.channel(&name)?)))
            .collect::<Result<_>>()?;
        for (id, seen) in self.each().enumerate() {
            let channel = kept.get(&channel_of(id)).map(Vec::as_slice).unwrap_or_default();
            faults.extend(seen.wrong.iter().map(|wrong| format!("client {id}: {wrong}")));
            faults.extend(
                own_faults(id, &seen, channel)
                    .into_iter()
                    .map(|fault| format!("client {id}: {fault}")),
            );
            totals.add(&seen);
        }
        let all: usize = kept.values().map(Vec::len).sum();
        if all != totals.said {
            faults.push(format!(
                "the store keeps {all} messages of channels, {} were sent",
                totals.said
            ));
        }
        if faults.is_empty() {
            return arrived.map(|()| totals);
        }
        let count = faults.len();
        faults.truncate(TOLD);
        Err(format!("{count} faults:\n    {}\n{totals}", faults.join("\n    ")).into())
    }

    fn wait_all(&self, so: impl Fn(usize, &Seen) -> bool) -> Result<()> {
        let deadline = crate::clock::Deadline::within(SETTLE);
        loop {
            let missing = self.each().enumerate().filter(|(id, seen)| !so(*id, seen)).count();
            if missing == 0 {
                return Ok(());
            }
            if deadline.left().is_zero() {
                return Err(
                    format!("{missing} of {CLIENTS} clients still wait for something").into()
                );
            }
            thread::sleep(crate::child::POLL * 10);
        }
    }
}

/// Compares what one client sent and received with what the store has of its channel.
fn own_faults(id: usize, seen: &Seen, kept: &[(u64, String)]) -> Vec<String> {
    let mut faults = Vec::new();
    if seen.acknowledged != seen.sent {
        let missing = seen.sent.difference(&seen.acknowledged).count();
        let strange = seen.acknowledged.difference(&seen.sent).count();
        faults.push(format!(
            "{missing} messages were not acknowledged, {strange} were and are not its own"
        ));
    }
    let texts =
        |numbers: &[u64]| numbers.iter().map(|number| format!("{id}:{number}")).collect::<Vec<_>>();
    if seen.answers != texts(&seen.asked) {
        faults.push(format!("it asked {:?} and was answered {:?}", seen.asked, seen.answers));
    }
    let prefix = format!("{id}:");
    let own: Vec<String> = kept
        .iter()
        .map(|(_, text)| text)
        .filter(|text| text.starts_with(&prefix))
        .cloned()
        .collect();
    if own != texts(&seen.said) {
        faults.push(format!("it said {:?}, the store has {own:?}", seen.said));
    }
    let heard = seen.heard.iter().map(|(position, text)| (position.offset, text));
    if !heard.eq(kept.iter().map(|(offset, text)| (*offset, text))) {
        faults.push(format!(
            "it heard {} messages of its channel, the store has {}, or others",
            seen.heard.len(),
            kept.len()
        ));
    }
    let whole = kept.iter().map(|(offset, _)| *offset).eq(1..=kept.len() as u64);
    if !whole {
        faults.push("the store's offsets have a hole".to_owned());
    }
    faults
}

impl Totals {
    fn add(&mut self, seen: &Seen) {
        self.said += seen.said.len();
        self.asked += seen.asked.len();
        self.delivered += seen.heard.len();
        self.resumed += seen.stats.sessions_resumed;
        self.lost += seen.stats.sessions_lost;
        self.disconnects += seen.stats.disconnects;
        self.duplicates += seen.stats.duplicates;
        self.gaps += seen.stats.gaps;
    }
}
