//! Which endpoint the next attempt dials: the rotation, the last answer of each, and redirects.

use core::time::Duration;

use crate::base::bounded::Bounded;
use crate::base::time::Instant;
use crate::link::action::Endpoint;

/// The number of endpoints with a pause of their own; further ones share these places, and the
/// longer pause counts.
const PAUSES: u8 = 16;
const WORD: usize = u64::BITS as usize;
/// On a link that worked before, an HTTP status may come from a captive portal or a proxy. This
/// many in a row, over at least this long, count as the server's own.
const PROOF: (u32, Duration) = (10, Duration::from_secs(120));

/// The position among the configured endpoints, and in a chain of redirects.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    count: u8,
    current: u8,
    redirects: u8,
    /// When the endpoints that have a pause may be dialed again, by place.
    pauses: Bounded<(u8, Instant), { PAUSES as usize }>,
    /// The endpoints whose last answer was final, one bit each.
    finals: [u64; 256 / WORD],
    refusals: Refusals,
}

/// HTTP statuses in a row that would end the link, and since when.
#[derive(Debug, Clone, Copy, Default)]
struct Refusals {
    count: u32,
    since: Option<Instant>,
}

impl Route {
    /// The first of `count` endpoints.
    pub(crate) const fn new(count: u8) -> Self {
        Self {
            count,
            current: 0,
            redirects: 0,
            pauses: Bounded::new(),
            finals: [0; 256 / WORD],
            refusals: Refusals { count: 0, since: None },
        }
    }

    /// How many endpoints there are.
    pub(crate) const fn count(&self) -> u8 {
        self.count
    }

    /// The configured endpoint that the attempt began with.
    pub(crate) const fn origin(&self) -> u8 {
        self.current
    }

    /// Where to dial.
    pub(crate) const fn endpoint(&self) -> Endpoint {
        if self.redirects > 0 { Endpoint::Redirected } else { Endpoint::Configured(self.current) }
    }

    /// Follows a redirect, if the chain is not too long already.
    pub(crate) const fn redirect(&mut self, most: u8) -> bool {
        let allowed = self.redirects < most;
        if allowed {
            self.redirects += 1;
        }
        allowed
    }

    /// Forgets redirects: the next attempt dials the origin again.
    pub(crate) const fn back_to_origin(&mut self) {
        self.redirects = 0;
    }

    /// Moves to the next endpoint that may be dialed now; if there is none, to the one that may be
    /// dialed first.
    pub(crate) fn switch(&mut self, now: Instant) {
        self.redirects = 0;
        let (current, count) = (u16::from(self.current), u16::from(self.count));
        let in_turn = (1..=count).filter_map(|step| u8::try_from((current + step) % count).ok());
        self.current = in_turn.min_by_key(|next| self.pause(*next).max(now)).unwrap_or(0);
    }

    /// How long the endpoint must not be dialed from now on.
    pub(crate) fn pause_from(&self, now: Instant) -> Duration {
        self.pause(self.current) - now
    }

    fn pause(&self, endpoint: u8) -> Instant {
        let place = place_of(endpoint);
        let pause = self.pauses.newest().find(|(of, _)| *of == place);
        pause.map_or(Instant::ORIGIN, |(_, until)| until)
    }

    /// Does not dial the endpoint for this long.
    pub(crate) fn leave_alone(&mut self, pause: Duration, now: Instant) {
        let (place, until) = (place_of(self.current), now + pause);
        match self.pauses.find(|(of, _)| *of == place) {
            Some((_, known)) => *known = until.max(*known),
            None => self.pauses.push((place, until)),
        }
    }

    /// Records whether the endpoint's last answer was final.
    pub(crate) fn answered(&mut self, is_final: bool) {
        let (word, bit) = (usize::from(self.current) / WORD, usize::from(self.current) % WORD);
        self.finals[word] = self.finals[word] & !(1 << bit) | u64::from(is_final) << bit;
    }

    /// Whether the last answer of every endpoint was final.
    pub(crate) fn is_at_the_end(&self) -> bool {
        self.finals.iter().map(|word| word.count_ones()).sum::<u32>() >= u32::from(self.count)
    }

    /// Counts an HTTP status that would close the link; returns true if there were enough to
    /// believe them.
    pub(crate) fn refused(&mut self, now: Instant) -> bool {
        let (most, time) = PROOF;
        let Refusals { count, since } = &mut self.refusals;
        *count = count.saturating_add(1);
        let lasted = now - *since.get_or_insert(now);
        *count >= most && lasted >= time
    }

    /// Forgets those statuses: the answer was another one, or the network changed.
    pub(crate) fn doubt(&mut self) {
        self.refusals = Refusals::default();
    }

    /// Forgets all answers: the link is stable, or the user acted.
    pub(crate) fn reset_failures(&mut self) {
        *self = Self { current: self.current, redirects: self.redirects, ..Self::new(self.count) };
    }
}

const fn place_of(endpoint: u8) -> u8 {
    endpoint % PAUSES
}
