//! The default tables: what each close code and HTTP status means, and why.

use core::time::Duration;

use crate::policy::close_policy::{CloseRule, Verdict};
use crate::policy::stop_reason::StopReason;

const fn slow(secs: u64) -> Verdict {
    Verdict::RetrySlow { floor: Duration::from_secs(secs) }
}

/// The default meaning of close codes, each with its reason.
///
/// RFC 6455 (section 7.4) and the IANA registry define 1000 to 1015 and 3000 to 3999; the 4000s are
/// private, and the ones here are common among hosted real-time services.
///
/// With several endpoints, *stop* and the time of a slow retry hold for the endpoint that closed:
/// the next one is tried first, on the curve, and the link ends if all of them end in *stop*, in a
/// row. 1000, 4012 and 4020 are about the client and end the link at once
/// ([`StopReason::holds_everywhere`]).
pub static CLOSE_CODES: [CloseRule; 24] = [
    CloseRule::new(
        1000,
        Verdict::Stop(StopReason::NORMAL_CLOSURE),
        "the purpose is fulfilled; coming back would fight the server",
    ),
    CloseRule::new(
        1001,
        Verdict::Retry,
        "a deploy or shutdown; another node, or the same one, will be there",
    ),
    CloseRule::new(
        1002,
        slow(10),
        "a protocol error: a proxy in between, or a bug that quick retries would hammer",
    ),
    CloseRule::new(
        1003,
        Verdict::Stop(StopReason::UNSUPPORTED_DATA),
        "the same data would be refused again",
    ),
    CloseRule::new(1005, Verdict::Retry, "a close without a code is no reason to stop"),
    CloseRule::new(1006, Verdict::Retry, "the transport was cut; the most common loss of all"),
    CloseRule::new(1007, slow(10), "damaged data: rare, and more likely a proxy than the peer"),
    CloseRule::new(
        1008,
        Verdict::Stop(StopReason::POLICY_VIOLATION),
        "the server decided against this client",
    ),
    CloseRule::new(1009, Verdict::Retry, "one message was too big; the link itself is fine"),
    CloseRule::new(
        1010,
        Verdict::Stop(StopReason::MANDATORY_EXTENSION),
        "negotiation would fail in the same way again",
    ),
    CloseRule::new(1011, Verdict::Retry, "an internal error of one node"),
    CloseRule::new(1012, slow(5), "the service restarts; the registry advises 5 to 30 s"),
    CloseRule::new(1013, slow(10), "overloaded; coming back at once makes it worse"),
    CloseRule::new(1014, Verdict::Retry, "a gateway's upstream is away, as in a deploy"),
    CloseRule::new(
        1015,
        slow(30),
        "a TLS failure: a captive portal, or a certificate someone must renew",
    ),
    CloseRule::new(3000, Verdict::RefreshToken, "registered as Unauthorized"),
    CloseRule::new(3003, Verdict::Stop(StopReason::FORBIDDEN), "registered as Forbidden"),
    CloseRule::new(
        4001,
        Verdict::Stop(StopReason::INVALID_TOKEN),
        "signature, key or format are wrong; a retry sends the same",
    ),
    CloseRule::new(
        4002,
        Verdict::RefreshToken,
        "the token expired; a fresh one works, on the curve so that a stale provider is no hot loop",
    ),
    CloseRule::new(
        4003,
        Verdict::Stop(StopReason::CHANNEL_NOT_AUTHORIZED),
        "the token does not cover the channel; that needs a new login",
    ),
    CloseRule::new(
        4010,
        slow(30),
        "too many connections at once; the server needs 30 s to notice those that are gone",
    ),
    CloseRule::new(
        4012,
        Verdict::Stop(StopReason::ACCOUNT_SUSPENDED),
        "someone must act on the account",
    ),
    CloseRule::new(4020, Verdict::Stop(StopReason::ADMIN_DISCONNECT), "a person decided it"),
    CloseRule::range(
        3000,
        4999,
        Verdict::Retry,
        "registered and private codes that nothing is known about",
    ),
];

/// The default meaning of HTTP statuses in answer to a handshake, each with its reason.
///
/// With several endpoints they hold for one of them, as close codes do. A link that was connected
/// before does not believe a status that would end it until it has had ten in a row over at least
/// two minutes: a captive portal or a proxy may have answered in the server's place.
pub static HTTP_STATUSES: [CloseRule; 16] = [
    CloseRule::new(401, Verdict::RefreshToken, "the token is missing or old"),
    CloseRule::new(
        403,
        Verdict::Stop(StopReason::FORBIDDEN),
        "the login is known and has no access",
    ),
    CloseRule::new(404, slow(30), "wrong address, or a load balancer between two deploys"),
    CloseRule::new(
        407,
        Verdict::Retry,
        "sent by a proxy, never by the server; another network has none",
    ),
    CloseRule::new(408, Verdict::Retry, "the server waited too long for the request"),
    CloseRule::new(410, Verdict::Stop(StopReason::GONE), "gone for good, by definition"),
    CloseRule::new(421, Verdict::SwitchEndpoint, "this node does not serve the address"),
    CloseRule::new(425, Verdict::Retry, "too early; asks to be tried again"),
    CloseRule::new(429, slow(5), "too many requests; Retry-After has the delay"),
    CloseRule::new(
        501,
        Verdict::Stop(StopReason::HANDSHAKE_REFUSED),
        "the server does not know what is asked",
    ),
    CloseRule::new(503, slow(2), "unavailable; Retry-After has the delay"),
    CloseRule::new(
        511,
        Verdict::Retry,
        "a captive portal, by name; it opens once someone has logged in there",
    ),
    CloseRule::range(500, 599, Verdict::Retry, "a server in trouble may recover"),
    CloseRule::range(
        300,
        399,
        Verdict::Stop(StopReason::HANDSHAKE_REFUSED),
        "a redirect that could not be followed",
    ),
    CloseRule::range(
        400,
        499,
        Verdict::Stop(StopReason::HANDSHAKE_REFUSED),
        "the request is wrong and stays so",
    ),
    CloseRule::range(
        100,
        299,
        slow(30),
        "an answer, but not to a WebSocket handshake: a captive portal for one",
    ),
];
