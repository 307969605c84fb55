//! What a close code, or a handshake that was answered with another HTTP status, means.
//!
//! A policy is a table of ranges, read from the most recent edit to the first row of its base. The base is a
//! `static`, so that a profile can be read beside the document it comes from and every link shares it; edits live
//! in place.

use core::fmt;
use core::time::Duration;

use crate::base::config::{ConfigError, LONGEST, within};
use crate::policy::close_code::CloseCode;
use crate::policy::close_codes::{CLOSE_CODES, HTTP_STATUSES};

/// What to do about the end of a transport, or of an attempt.
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
    /// Try again after the backoff's floor: the peer asked for a quick return. The budgets still count it.
    RetryNow,
    /// Try again on the curve, but never sooner than the floor.
    RetrySlow {
        /// The shortest delay that this end allows.
        #[cfg_attr(feature = "serde", serde(with = "crate::base::duration_text::serde_impl"))]
        floor: Duration,
    },
    /// Fetch a fresh token, then try again on the curve; without a token provider nothing would change, so stop.
    RefreshToken,
    /// Try the next endpoint, on the curve.
    SwitchEndpoint,
    /// Do not ask this endpoint again; the reason says why, and what a person can do. The link ends if every endpoint has
    /// said so in a row, or at once if the reason is about the client and not about the endpoint
    /// ([`StopReason::holds_everywhere`]).
    Stop(StopReason),
}

#[cfg(feature = "serde")]
crate::base::tables::from_tables!(Verdict);

/// Why trying again would be pointless: a symbolic name for programs, and advice for people.
///
/// ```
/// use relink::StopReason;
///
/// static MAINTENANCE: StopReason = StopReason::custom(&("maintenance", "Come back on Monday."));
/// assert_eq!(MAINTENANCE.name(), "maintenance");
/// assert_eq!(StopReason::ADMIN_DISCONNECT.name(), "admin_disconnect");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StopReason(&'static (&'static str, &'static str));

impl StopReason {
    /// The peer closed normally (1000).
    pub const NORMAL_CLOSURE: Self =
        Self(&("normal_closure", "The server says that nothing is left to do; connect again when there is."));
    /// The peer does not take this kind of data (1003).
    pub const UNSUPPORTED_DATA: Self = Self(&(
        "unsupported_data",
        "The server does not take this kind of message; check which protocol it speaks.",
    ));
    /// A policy was violated (1008).
    pub const POLICY_VIOLATION: Self = Self(&(
        "policy_violation",
        "The server refuses this client; check what it may do before connecting again.",
    ));
    /// An extension is missing (1010).
    pub const MANDATORY_EXTENSION: Self = Self(&(
        "mandatory_extension",
        "Client and server do not agree on an extension; check their versions.",
    ));
    /// The token is not valid (4001).
    pub const INVALID_TOKEN: Self = Self(&("invalid_token", "The token is not valid; log in again."));
    /// The token has expired and there is no provider for a fresh one (4002).
    pub const TOKEN_EXPIRED: Self =
        Self(&("token_expired", "The token has expired; log in again, or configure a token provider."));
    /// The token does not cover the channel (4003).
    pub const CHANNEL_NOT_AUTHORIZED: Self =
        Self(&("channel_not_authorized", "This login has no access to the channel; ask for it."));
    /// The account is suspended (4012).
    pub const ACCOUNT_SUSPENDED: Self =
        Self(&("account_suspended", "The account is suspended; check its billing."));
    /// An administrator ended it (4020).
    pub const ADMIN_DISCONNECT: Self = Self(&(
        "admin_disconnect",
        "An administrator disconnected this client; ask them before coming back.",
    ));
    /// The session goes on over another transport (4009 of `relink.v1`).
    pub const REPLACED: Self = Self(&(
        "replaced",
        "Another client goes on with this session; close that one, or begin a session of your own.",
    ));
    /// The heartbeat went unanswered, and the configuration stops there ([`OnDead`](crate::OnDead)).
    pub const HEARTBEAT_LOST: Self = Self(&(
        "heartbeat_lost",
        "The server does not answer any more; check the network, then connect anew.",
    ));
    /// HTTP 401 without a provider, or code 3000.
    pub const UNAUTHORIZED: Self =
        Self(&("unauthorized", "The server wants credentials; log in, or configure a token provider."));
    /// HTTP 403, or code 3003.
    pub const FORBIDDEN: Self = Self(&("forbidden", "This login may not connect here; ask for access."));
    /// HTTP 410.
    pub const GONE: Self = Self(&("gone", "This address is gone for good; look up the new one."));
    /// Any other HTTP status that will not change by asking again.
    pub const HANDSHAKE_REFUSED: Self = Self(&(
        "handshake_refused",
        "The server answers this address, but not as a WebSocket; check the URL.",
    ));
    /// A request that is not valid: an address, or a header, that cannot be sent.
    pub const INVALID_REQUEST: Self =
        Self(&("invalid_request", "The request cannot be sent as it is; check the address and the headers."));

    const EVERYWHERE: [Self; 5] = [
        Self::NORMAL_CLOSURE,
        Self::ACCOUNT_SUSPENDED,
        Self::ADMIN_DISCONNECT,
        Self::REPLACED,
        Self::HEARTBEAT_LOST,
    ];

    const KNOWN: [Self; 16] = [
        Self::NORMAL_CLOSURE,
        Self::UNSUPPORTED_DATA,
        Self::POLICY_VIOLATION,
        Self::MANDATORY_EXTENSION,
        Self::INVALID_TOKEN,
        Self::TOKEN_EXPIRED,
        Self::CHANNEL_NOT_AUTHORIZED,
        Self::ACCOUNT_SUSPENDED,
        Self::ADMIN_DISCONNECT,
        Self::REPLACED,
        Self::HEARTBEAT_LOST,
        Self::UNAUTHORIZED,
        Self::FORBIDDEN,
        Self::GONE,
        Self::HANDSHAKE_REFUSED,
        Self::INVALID_REQUEST,
    ];

    /// A reason of one's own: its name and its advice.
    #[must_use]
    pub const fn custom(name_and_advice: &'static (&'static str, &'static str)) -> Self {
        Self(name_and_advice)
    }

    /// One of the reasons above, by its name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::KNOWN.into_iter().find(|reason| reason.name() == name)
    }

    /// The symbolic name, stable, in `snake_case`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0.0
    }

    /// Whether the link ends at once, however many endpoints it has: [`NORMAL_CLOSURE`](Self::NORMAL_CLOSURE),
    /// [`ACCOUNT_SUSPENDED`](Self::ACCOUNT_SUSPENDED), [`ADMIN_DISCONNECT`](Self::ADMIN_DISCONNECT),
    /// [`REPLACED`](Self::REPLACED) and [`HEARTBEAT_LOST`](Self::HEARTBEAT_LOST). Somebody decided these about this client
    /// or this session, and a client that went to the next endpoint would get round the decision. All others, one's own
    /// too, are the word of one endpoint.
    #[must_use]
    pub fn holds_everywhere(self) -> bool {
        Self::EVERYWHERE.contains(&self)
    }

    /// What a person can do about it.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        self.0.1
    }
}

impl fmt::Debug for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(feature = "serde")]
mod reason_serde {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::StopReason;

    impl Serialize for StopReason {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            to.serialize_str(self.name())
        }
    }

    impl<'de> Deserialize<'de> for StopReason {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            let name = alloc::string::String::deserialize(from)?;
            Self::by_name(&name).ok_or_else(|| {
                let known = Self::KNOWN.map(Self::name).join(", ");
                D::Error::custom(alloc::format!("stop reason {name:?} is not one of: {known}"))
            })
        }
    }
}

/// One row of a table: a range of codes, both ends included, and what they mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields, remote = "Self")
)]
#[expect(clippy::exhaustive_structs, reason = "a row of a table that profiles write as literals")]
pub struct Rule {
    /// The first code of the range.
    pub from: u16,
    /// The last code of the range.
    pub to: u16,
    /// What its codes mean.
    pub verdict: Verdict,
}

#[cfg(feature = "serde")]
crate::base::tables::from_tables!(Rule);

/// A row of a base table: a rule and the reason for it.
pub type Row = (Rule, &'static str);

/// A row for one code.
#[must_use]
pub const fn row(code: u16, verdict: Verdict, why: &'static str) -> Row {
    rows(code, code, verdict, why)
}

/// A row for a range of codes, both ends included.
#[must_use]
pub const fn rows(from: u16, to: u16, verdict: Verdict, why: &'static str) -> Row {
    (Rule { from, to, verdict }, why)
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
    /// A policy on two base tables; the first row that covers a code counts, and a code that no row covers is retried.
    #[must_use]
    pub const fn new(close_codes: &'static [Row], http_statuses: &'static [Row]) -> Self {
        Self { close: Table::new(close_codes), status: Table::new(http_statuses) }
    }

    /// Gives a range of close codes another meaning, in front of all earlier ones.
    ///
    /// # Errors
    ///
    /// Where 16 edits are there already, or the range is empty: write a base table of your own then, see
    /// [`new`](Self::new).
    pub fn set_close(
        &mut self,
        codes: core::ops::RangeInclusive<u16>,
        verdict: Verdict,
    ) -> Result<(), ConfigError> {
        self.close.edit(&CLOSE, Rule { from: *codes.start(), to: *codes.end(), verdict })
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
        self.status.edit(&STATUS, Rule { from: *statuses.start(), to: *statuses.end(), verdict })
    }

    /// What a close code from the peer means.
    #[must_use]
    pub fn on_close(&self, code: CloseCode) -> Verdict {
        self.close.verdict(code.0)
    }

    /// What an HTTP status in answer to the handshake means.
    #[must_use]
    pub fn on_status(&self, status: u16) -> Verdict {
        self.status.verdict(status)
    }

    /// The edits of close codes, in the order in which they were made; the last one that covers a code counts.
    #[must_use]
    pub fn close_edits(&self) -> &[Rule] {
        self.close.edits()
    }

    /// The edits of HTTP statuses, likewise.
    #[must_use]
    pub fn status_edits(&self) -> &[Rule] {
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

/// What the fields of a table of edits are called.
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
const NO_RULE: Rule = Rule { from: 1, to: 0, verdict: Verdict::Retry };

#[derive(Clone, Copy, PartialEq, Eq)]
struct Table {
    base: &'static [Row],
    edits: [Rule; MAX_EDITS],
    len: u8,
}

impl Table {
    const fn new(base: &'static [Row]) -> Self {
        Self { base, edits: [NO_RULE; MAX_EDITS], len: 0 }
    }

    fn edits(&self) -> &[Rule] {
        &self.edits[..usize::from(self.len)]
    }

    fn edit(&mut self, names: &Names, rule: Rule) -> Result<(), ConfigError> {
        let len = usize::from(self.len);
        within(names.list, len + 1, 1, MAX_EDITS)?;
        check(names, &rule)?;
        self.edits[len] = rule;
        self.len += 1;
        Ok(())
    }

    fn verdict(&self, code: u16) -> Verdict {
        let edits = self.edits().iter().rev();
        let base = self.base.iter().map(|(rule, _)| rule);
        edits
            .chain(base)
            .find(|rule| rule.from <= code && code <= rule.to)
            .map_or(Verdict::Retry, |rule| rule.verdict)
    }

    fn validate(&self, names: &Names) -> Result<(), ConfigError> {
        self.edits().iter().try_for_each(|rule| check(names, rule))
    }
}

fn check(names: &Names, rule: &Rule) -> Result<(), ConfigError> {
    within(names.to, u32::from(rule.to), u32::from(rule.from), u32::from(u16::MAX))?;
    if let Verdict::RetrySlow { floor } = rule.verdict {
        within(names.floor, floor, Duration::ZERO, LONGEST)?;
    }
    Ok(())
}

/// As configuration a policy is its edits: `close` and `status`, a list of rules each, in front of the default.
#[cfg(feature = "serde")]
mod policy_serde {
    use alloc::vec::Vec;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{ClosePolicy, Rule};

    #[derive(Default, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields, remote = "Self")]
    struct Edits {
        close: Vec<Rule>,
        status: Vec<Rule>,
    }

    crate::base::tables::from_tables!(Edits);

    impl Serialize for ClosePolicy {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            let edits = Edits { close: self.close.edits().into(), status: self.status.edits().into() };
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
