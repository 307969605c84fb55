//! Why a link stops for good.

use core::fmt;

/// Why retrying would be pointless: a symbolic name for programs, and advice for users.
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
    pub const NORMAL_CLOSURE: Self = Self(&(
        "normal_closure",
        "The server has nothing left to do; connect again when there is.",
    ));
    /// The peer does not accept this kind of data (1003).
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
    pub const INVALID_TOKEN: Self =
        Self(&("invalid_token", "The token is not valid; log in again."));
    /// The token has expired and there is no provider for a fresh one (4002).
    pub const TOKEN_EXPIRED: Self = Self(&(
        "token_expired",
        "The token has expired; log in again, or configure a token provider.",
    ));
    /// The token does not cover the channel (4003).
    pub const CHANNEL_NOT_AUTHORIZED: Self =
        Self(&("channel_not_authorized", "This login has no access to the channel; ask for it."));
    /// The account is suspended (4012).
    pub const ACCOUNT_SUSPENDED: Self =
        Self(&("account_suspended", "The account is suspended; check its billing."));
    /// An administrator disconnected the client (4020).
    pub const ADMIN_DISCONNECT: Self = Self(&(
        "admin_disconnect",
        "An administrator disconnected this client; ask them before coming back.",
    ));
    /// The session was resumed on another transport (4009 of `relink.v1`).
    pub const REPLACED: Self = Self(&(
        "replaced",
        "Another client goes on with this session; close that one, or begin a session of your own.",
    ));
    /// The heartbeat went unanswered, and [`OnDead`](crate::link::OnDead) is `Stop`.
    pub const HEARTBEAT_LOST: Self = Self(&(
        "heartbeat_lost",
        "The server no longer answers; check the network, then connect again.",
    ));
    /// HTTP 401 without a provider, or code 3000.
    pub const UNAUTHORIZED: Self = Self(&(
        "unauthorized",
        "The server requires credentials; log in, or configure a token provider.",
    ));
    /// HTTP 403, or code 3003.
    pub const FORBIDDEN: Self =
        Self(&("forbidden", "This login may not connect here; ask for access."));
    /// HTTP 410.
    pub const GONE: Self = Self(&("gone", "This address is gone for good; look up the new one."));
    /// Any other HTTP status that will not change by asking again.
    pub const HANDSHAKE_REFUSED: Self = Self(&(
        "handshake_refused",
        "The server answers this address, but not as a WebSocket; check the URL.",
    ));
    /// The request is invalid: its URL or a header cannot be sent.
    pub const INVALID_REQUEST: Self = Self(&(
        "invalid_request",
        "The request cannot be sent as it is; check the address and the headers.",
    ));

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

    /// A custom reason: its name and its advice.
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

    /// Whether the link ends at once, whatever other endpoints it has:
    /// [`NORMAL_CLOSURE`](Self::NORMAL_CLOSURE), [`ACCOUNT_SUSPENDED`](Self::ACCOUNT_SUSPENDED),
    /// [`ADMIN_DISCONNECT`](Self::ADMIN_DISCONNECT), [`REPLACED`](Self::REPLACED) and
    /// [`HEARTBEAT_LOST`](Self::HEARTBEAT_LOST). These are decisions about this client or this
    /// session, and going to the next endpoint would get round them. All others, custom ones
    /// included, hold for one endpoint.
    #[must_use]
    pub fn holds_everywhere(self) -> bool {
        Self::EVERYWHERE.contains(&self)
    }

    /// What the user can do about it.
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
