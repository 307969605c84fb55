//! The default tables: what each close code and HTTP status means, and why.

use core::time::Duration;

use crate::policy::close_policy::{Row, Verdict, row, rows};
use crate::policy::stop_reason::StopReason;

const fn slow(secs: u64) -> Verdict {
    Verdict::RetrySlow { floor: Duration::from_secs(secs) }
}

/// The default meaning of close codes, each with its reason.
///
/// RFC 6455 (section 7.4) and the IANA registry define 1000 to 1015 and 3000 to 3999; the 4000s are
/// private, and the ones here are those that hosted real-time services agree on.
///
/// With several endpoints, *stop* and the time of a slow retry hold for the endpoint that closed:
/// the next one is tried first, on the curve, and the link ends if all of them say *stop* in a row.
/// 1000, 4012 and 4020 are about the client and end the link at once
/// ([`StopReason::holds_everywhere`]).
pub static CLOSE_CODES: [Row; 24] = [
    row(
        1000,
        Verdict::Stop(StopReason::NORMAL_CLOSURE),
        "the purpose is fulfilled; coming back would fight the server",
    ),
    row(1001, Verdict::Retry, "a deploy or shutdown; another node, or the same one, will be there"),
    row(
        1002,
        slow(10),
        "a protocol error: a proxy in between, or a bug that quick retries would hammer",
    ),
    row(1003, Verdict::Stop(StopReason::UNSUPPORTED_DATA), "the same data would be refused again"),
    row(1005, Verdict::Retry, "a close without a reason says nothing against trying again"),
    row(1006, Verdict::Retry, "the transport was cut; the most common loss of all"),
    row(1007, slow(10), "damaged data: rare, and more likely a proxy than the peer"),
    row(
        1008,
        Verdict::Stop(StopReason::POLICY_VIOLATION),
        "the server decided against this client",
    ),
    row(1009, Verdict::Retry, "one message was too big; the link itself is fine"),
    row(
        1010,
        Verdict::Stop(StopReason::MANDATORY_EXTENSION),
        "negotiation would fail in the same way again",
    ),
    row(1011, Verdict::Retry, "an internal error of one node"),
    row(1012, slow(5), "the service restarts; the registry advises 5 to 30 s"),
    row(1013, slow(10), "overloaded; coming back at once makes it worse"),
    row(1014, Verdict::Retry, "a gateway's upstream is away, as in a deploy"),
    row(1015, slow(30), "a TLS failure: a captive portal, or a certificate someone must renew"),
    row(3000, Verdict::RefreshToken, "registered as Unauthorized"),
    row(3003, Verdict::Stop(StopReason::FORBIDDEN), "registered as Forbidden"),
    row(
        4001,
        Verdict::Stop(StopReason::INVALID_TOKEN),
        "signature, key or format are wrong; a retry sends the same",
    ),
    row(
        4002,
        Verdict::RefreshToken,
        "the token expired; a fresh one works, on the curve so that a stale provider is no hot loop",
    ),
    row(
        4003,
        Verdict::Stop(StopReason::CHANNEL_NOT_AUTHORIZED),
        "the token does not cover the channel; that needs a new login",
    ),
    row(
        4010,
        slow(30),
        "too many connections at once; the server needs 30 s to notice those that are gone",
    ),
    row(4012, Verdict::Stop(StopReason::ACCOUNT_SUSPENDED), "someone must act on the account"),
    row(4020, Verdict::Stop(StopReason::ADMIN_DISCONNECT), "a person decided it"),
    rows(3000, 4999, Verdict::Retry, "registered and private codes that nothing is known about"),
];

/// The default meaning of HTTP statuses in answer to a handshake, each with its reason.
///
/// With several endpoints they hold for one of them, as close codes do. A link that was connected
/// before does not believe a status that would end it until it has had ten in a row over at least
/// two minutes: a captive portal or a proxy may have answered in the server's place.
pub static HTTP_STATUSES: [Row; 16] = [
    row(401, Verdict::RefreshToken, "the token is missing or old"),
    row(403, Verdict::Stop(StopReason::FORBIDDEN), "the login is known and has no access"),
    row(404, slow(30), "wrong address, or a load balancer between two deploys"),
    row(
        407,
        Verdict::Retry,
        "the word of a proxy in between, never the server's; another network has none",
    ),
    row(408, Verdict::Retry, "the server waited too long for the request"),
    row(410, Verdict::Stop(StopReason::GONE), "says itself that it is for good"),
    row(421, Verdict::SwitchEndpoint, "this node does not serve the address"),
    row(425, Verdict::Retry, "too early; asks to be tried again"),
    row(429, slow(5), "too many requests; Retry-After says more"),
    row(
        501,
        Verdict::Stop(StopReason::HANDSHAKE_REFUSED),
        "the server does not know what is asked",
    ),
    row(503, slow(2), "unavailable; Retry-After says more"),
    row(
        511,
        Verdict::Retry,
        "a captive portal, by name; it opens once someone has logged in there",
    ),
    rows(500, 599, Verdict::Retry, "a server in trouble may recover"),
    rows(
        300,
        399,
        Verdict::Stop(StopReason::HANDSHAKE_REFUSED),
        "a redirect that could not be followed",
    ),
    rows(
        400,
        499,
        Verdict::Stop(StopReason::HANDSHAKE_REFUSED),
        "the request is wrong and stays so",
    ),
    rows(
        100,
        299,
        slow(30),
        "an answer, but not to a WebSocket handshake: a captive portal for one",
    ),
];
