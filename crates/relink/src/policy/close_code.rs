//! Close codes: the numbers a WebSocket close frame carries.

use core::fmt;

/// The status code of a close frame (RFC 6455, section 7.4).
///
/// Any number can be represented, so that an invalid code from a peer can be reported as it came.
/// [`is_sendable`](Self::is_sendable) returns whether it may go into a frame, and
/// [`CloseFrame::for_wire`](crate::CloseFrame::for_wire) what is sent otherwise.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
#[expect(clippy::exhaustive_structs, reason = "a newtype: nothing can be added")]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the peer goes away: a deploy, a shutdown, a page that is left.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: a protocol error.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: data of a kind the peer does not accept.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// 1005: the close frame carried no code. Never on the wire.
    pub const NO_STATUS: Self = Self(1005);
    /// 1006: the transport ended without a close frame. Never on the wire.
    pub const ABNORMAL: Self = Self(1006);
    /// 1007: data that does not fit its type, text that is not UTF-8 for one.
    pub const INVALID_DATA: Self = Self(1007);
    /// 1008: a policy of the peer was violated.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// 1009: a message too big for the peer.
    pub const TOO_BIG: Self = Self(1009);
    /// 1010: the client wanted an extension that the server did not agree to.
    pub const MANDATORY_EXTENSION: Self = Self(1010);
    /// 1011: the server met an unexpected condition.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1012: the service restarts.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// 1013: the server is overloaded; try again later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// 1014: a gateway got a bad answer from upstream.
    pub const BAD_GATEWAY: Self = Self(1014);
    /// 1015: the TLS handshake failed. Never on the wire.
    pub const TLS_HANDSHAKE: Self = Self(1015);
    /// 3003: this login may not connect here.
    pub const FORBIDDEN: Self = Self(3003);
    /// 4000: sent by relink when its own heartbeat finds the link dead. Private use, and not a code
    /// that ends a resumable session as 1000 and 1001 do.
    pub const HEARTBEAT_TIMEOUT: Self = Self(4000);
    /// 4001: the token is not valid.
    pub const INVALID_TOKEN: Self = Self(4001);
    /// 4002: the token has expired.
    pub const TOKEN_EXPIRED: Self = Self(4002);
    /// 4003: the token does not cover the channel.
    pub const CHANNEL_NOT_AUTHORIZED: Self = Self(4003);
    /// 4009: the session was resumed on another transport; sent by a `relink.v1` server on the
    /// previous one.
    pub const REPLACED: Self = Self(4009);
    /// 4010: too many connections at once.
    pub const CONCURRENT_CAP: Self = Self(4010);
    /// 4012: the account is suspended.
    pub const ACCOUNT_SUSPENDED: Self = Self(4012);
    /// 4020: an administrator disconnected this client.
    pub const ADMIN_DISCONNECT: Self = Self(4020);
    /// 4100: messages are missing, and the session is to be resumed on another transport; sent by
    /// both sides of `relink.v1`.
    pub const GAP: Self = Self(4100);

    /// Whether the code may be sent in a close frame: RFC 6455 reserves 1004, 1005, 1006 and 1015
    /// for reports, and leaves everything below 1000, 1016 to 2999 and above 4999 undefined.
    #[must_use]
    pub const fn is_sendable(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl From<u16> for CloseCode {
    fn from(code: u16) -> Self {
        Self(code)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloseCode({})", self.0)
    }
}
