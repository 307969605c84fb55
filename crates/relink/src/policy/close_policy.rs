//! What to do after a close code, or an HTTP status other than 101 in answer to the handshake.
//!
//! A policy is a table of ranges, read from the most recent edit to the first row of its base. The
//! base is a `static`, shared by all links, so that a profile can be compared with the document it
//! comes from; edits are kept in place.

use core::fmt;
use core::time::Duration;

use crate::base::config::{ConfigError, YEAR};
use crate::base::setting::within;
use crate::policy::close_code::CloseCode;
use crate::policy::close_codes::{CLOSE_CODES, HTTP_STATUSES};
use crate::policy::stop_reason::StopReason;

/// What to do after a transport or an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields, remote = "Self")
)]
#[non_exhaustive]
pub enum Verdict {
    /// Try again on the backoff curve.
    Retry,
    /// Try again after the backoff's floor: the peer asked for a quick return. The budgets still
    /// count it.
    RetryNow,
    /// Try again on the curve, but no sooner than the floor.
    RetrySlow {
        /// The minimum delay.
        #[cfg_attr(feature = "serde", serde(with = "relink::internal::setting"))]
        floor: Duration,
    },
    /// Fetch a fresh token, then try again on the curve; without a token provider, stop, since
    /// nothing would change.
    RefreshToken,
    /// Try the next endpoint, on the curve.
    SwitchEndpoint,
    /// Do not dial this endpoint again; the reason has advice for the user. The link ends if this
    /// is the last verdict on every endpoint, or at once if the reason is about the client and not
    /// about the endpoint ([`StopReason::holds_everywhere`]).
    Stop(StopReason),
}

#[cfg(feature = "serde")]
crate::base::tables::from_tables!(Verdict);

/// One row of a table: a range of codes, both ends included, what they mean, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields, remote = "Self")
)]
#[expect(clippy::exhaustive_structs, reason = "a row of a table that profiles write as literals")]
pub struct CloseRule {
    /// The first code of the range.
    pub from: u16,
    /// The last code of the range.
    pub to: u16,
    /// What its codes mean.
    pub verdict: Verdict,
    /// The reason, for people; empty for an edit. Not part of the configuration.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub why: &'static str,
}

#[cfg(feature = "serde")]
crate::base::tables::from_tables!(CloseRule);

impl CloseRule {
    /// A rule for one code.
    #[must_use]
    pub const fn new(code: u16, verdict: Verdict, why: &'static str) -> Self {
        Self::range(code, code, verdict, why)
    }

    /// A rule for a range of codes, both ends included.
    #[must_use]
    pub const fn range(from: u16, to: u16, verdict: Verdict, why: &'static str) -> Self {
        Self { from, to, verdict, why }
    }

    /// Whether the code is in the range.
    #[must_use]
    pub const fn covers(&self, code: u16) -> bool {
        self.from <= code && code <= self.to
    }
}

/// What close codes and HTTP statuses mean: a base table each, and edits in front of it.
///
/// The default is [`CLOSE_CODES`] and [`HTTP_STATUSES`].
///
/// ```
/// use relink::{CloseCode, ClosePolicy, StopReason, Verdict};
///
/// let mut policy = ClosePolicy::default();
/// assert_eq!(policy.on_close(CloseCode(4020)), Verdict::Stop(StopReason::ADMIN_DISCONNECT));
/// policy.set_close(4000..=4099, Verdict::Retry)?;
/// assert_eq!(policy.on_close(CloseCode(4020)), Verdict::Retry);
/// # Ok::<(), relink::ConfigError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ClosePolicy {
    close: Table,
    status: Table,
}

impl Default for ClosePolicy {
    fn default() -> Self {
        Self::new(&CLOSE_CODES, &HTTP_STATUSES)
    }
}

impl ClosePolicy {
    /// Creates a policy from two base tables. The first row that covers a code counts; a code
    /// without a row is retried.
    #[must_use]
    pub const fn new(
        close_codes: &'static [CloseRule],
        http_statuses: &'static [CloseRule],
    ) -> Self {
        Self { close: Table::new(close_codes), status: Table::new(http_statuses) }
    }

    /// Gives a range of close codes another meaning, in front of all earlier ones.
    ///
    /// # Errors
    ///
    /// If there are 16 edits already, for more of which [`new`](Self::new) takes a base table, or
    /// if the range is empty.
    pub fn set_close(
        &mut self,
        codes: core::ops::RangeInclusive<u16>,
        verdict: Verdict,
    ) -> Result<(), ConfigError> {
        self.close.edit(&CLOSE, CloseRule::range(*codes.start(), *codes.end(), verdict, ""))
    }

    /// Gives a range of HTTP statuses another meaning.
    ///
    /// # Errors
    ///
    /// As for [`set_close`](Self::set_close).
    pub fn set_status(
        &mut self,
        statuses: core::ops::RangeInclusive<u16>,
        verdict: Verdict,
    ) -> Result<(), ConfigError> {
        let rule = CloseRule::range(*statuses.start(), *statuses.end(), verdict, "");
        self.status.edit(&STATUS, rule)
    }

    /// The verdict on a close code from the peer.
    #[must_use]
    pub fn on_close(&self, code: CloseCode) -> Verdict {
        self.close.verdict(code.0)
    }

    /// The verdict on an HTTP status in answer to the handshake.
    #[must_use]
    pub fn on_status(&self, status: u16) -> Verdict {
        self.status.verdict(status)
    }

    /// The edits of close codes, in the order in which they were made; the last one that covers a
    /// code counts.
    #[must_use]
    pub fn close_edits(&self) -> &[CloseRule] {
        self.close.edits()
    }

    /// The edits of HTTP statuses, likewise.
    #[must_use]
    pub fn status_edits(&self) -> &[CloseRule] {
        self.status.edits()
    }

    /// Checks the edits.
    ///
    /// # Errors
    ///
    /// If an edit's range is empty or its floor above 365 days.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.close.validate(&CLOSE)?;
        self.status.validate(&STATUS)
    }
}

impl fmt::Debug for ClosePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClosePolicy")
            .field("close", &self.close.edits())
            .field("status", &self.status.edits())
            .finish_non_exhaustive()
    }
}

/// The paths of the fields of a table of edits.
struct Names {
    list: &'static str,
    to: &'static str,
    floor: &'static str,
}

const CLOSE: Names = Names {
    list: "close_policy.close (number of rules)",
    to: "close_policy.close.to",
    floor: "close_policy.close.verdict.retry-slow.floor",
};
const STATUS: Names = Names {
    list: "close_policy.status (number of rules)",
    to: "close_policy.status.to",
    floor: "close_policy.status.verdict.retry-slow.floor",
};

const MAX_EDITS: usize = 16;
const NO_RULE: CloseRule = CloseRule::range(1, 0, Verdict::Retry, "");

#[derive(Clone, Copy, PartialEq, Eq)]
struct Table {
    base: &'static [CloseRule],
    edits: [CloseRule; MAX_EDITS],
    len: u8,
}

impl Table {
    const fn new(base: &'static [CloseRule]) -> Self {
        Self { base, edits: [NO_RULE; MAX_EDITS], len: 0 }
    }

    fn edits(&self) -> &[CloseRule] {
        &self.edits[..usize::from(self.len)]
    }

    fn edit(&mut self, names: &Names, rule: CloseRule) -> Result<(), ConfigError> {
        let len = usize::from(self.len);
        within(names.list, len + 1, ..=MAX_EDITS)?;
        check(names, &rule)?;
        self.edits[len] = rule;
        self.len += 1;
        Ok(())
    }

    fn verdict(&self, code: u16) -> Verdict {
        let mut rules = self.edits().iter().rev().chain(self.base);
        rules.find(|rule| rule.covers(code)).map_or(Verdict::Retry, |rule| rule.verdict)
    }

    fn validate(&self, names: &Names) -> Result<(), ConfigError> {
        self.edits().iter().try_for_each(|rule| check(names, rule))
    }
}

fn check(names: &Names, rule: &CloseRule) -> Result<(), ConfigError> {
    within(names.to, rule.to, rule.from..)?;
    if let Verdict::RetrySlow { floor } = rule.verdict {
        within(names.floor, floor, ..=YEAR)?;
    }
    Ok(())
}

/// In configuration files, a policy is its edits: `close` and `status`, a list of rules each, in
/// front of the default.
#[cfg(feature = "serde")]
mod policy_serde {
    use alloc::vec::Vec;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{ClosePolicy, CloseRule};

    #[derive(Default, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields, remote = "Self")]
    struct Edits {
        close: Vec<CloseRule>,
        status: Vec<CloseRule>,
    }

    crate::base::tables::from_tables!(Edits);

    impl Serialize for ClosePolicy {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            let edits =
                Edits { close: self.close.edits().into(), status: self.status.edits().into() };
            edits.serialize(to)
        }
    }

    impl<'de> Deserialize<'de> for ClosePolicy {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            let edits = <Edits as Deserialize>::deserialize(from)?;
            let mut policy = Self::default();
            for rule in edits.close {
                policy.set_close(rule.from..=rule.to, rule.verdict).map_err(D::Error::custom)?;
            }
            for rule in edits.status {
                policy.set_status(rule.from..=rule.to, rule.verdict).map_err(D::Error::custom)?;
            }
            Ok(policy)
        }
    }
}
