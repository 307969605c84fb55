//! What close codes, HTTP statuses and failures mean, written down a second time. It is read from
//! the contract (the pages, and the reasons in the default tables), not computed by the link's own
//! tables, so that a mistake there shows.

use std::time::Duration;

use relink::policy::CloseRule;
use relink::{CloseCode, ClosePolicy, Failure, StopReason, Verdict};

/// What a close code of the peer means.
pub(super) fn of_close(policy: &ClosePolicy, code: CloseCode) -> Verdict {
    edited(policy.close_edits(), code.0).unwrap_or_else(|| match code.0 {
        1000 => Verdict::Stop(StopReason::NORMAL_CLOSURE),
        1003 => Verdict::Stop(StopReason::UNSUPPORTED_DATA),
        1008 => Verdict::Stop(StopReason::POLICY_VIOLATION),
        1010 => Verdict::Stop(StopReason::MANDATORY_EXTENSION),
        3003 => Verdict::Stop(StopReason::FORBIDDEN),
        4001 => Verdict::Stop(StopReason::INVALID_TOKEN),
        4003 => Verdict::Stop(StopReason::CHANNEL_NOT_AUTHORIZED),
        4012 => Verdict::Stop(StopReason::ACCOUNT_SUSPENDED),
        4020 => Verdict::Stop(StopReason::ADMIN_DISCONNECT),
        3000 | 4002 => Verdict::RefreshToken,
        1012 => slow(5),
        1002 | 1007 | 1013 => slow(10),
        1015 | 4010 => slow(30),
        _ => Verdict::Retry,
    })
}

/// What an HTTP status in answer to the handshake means.
pub(super) fn of_status(policy: &ClosePolicy, status: u16) -> Verdict {
    edited(policy.status_edits(), status).unwrap_or_else(|| match status {
        401 => Verdict::RefreshToken,
        403 => Verdict::Stop(StopReason::FORBIDDEN),
        410 => Verdict::Stop(StopReason::GONE),
        421 => Verdict::SwitchEndpoint,
        407 | 408 | 425 => Verdict::Retry,
        503 => slow(2),
        429 => slow(5),
        404 | 100..=299 => slow(30),
        300..=399 | 400..=499 | 501 => Verdict::Stop(StopReason::HANDSHAKE_REFUSED),
        _ => Verdict::Retry,
    })
}

/// What a failure means.
pub(super) fn of_failure(policy: &ClosePolicy, failure: Failure) -> Verdict {
    match failure {
        Failure::Http { status, .. } => of_status(policy, status),
        // An answer, but not to a WebSocket handshake.
        Failure::NotWebSocket => of_status(policy, 200),
        Failure::Tls => of_close(policy, CloseCode(1015)),
        Failure::InvalidRequest => Verdict::Stop(StopReason::INVALID_REQUEST),
        Failure::Protocol(code) => of_own_finding(policy, code),
        Failure::Gap => of_own_finding(policy, CloseCode(4100)),
        Failure::Abandoned => Verdict::Retry,
        Failure::Lookup
        | Failure::Refused
        | Failure::Unreachable
        | Failure::HttpRedirect
        | Failure::Reset
        | Failure::Eof
        | Failure::Io => of_close(policy, CloseCode(1006)),
        other => panic!("the contract says nothing about {other:?}: write it down here"),
    }
}

/// Whether the decision is about the client, and not about one of its endpoints.
pub(super) fn is_about_the_client(stop: StopReason) -> bool {
    let decided =
        ["normal_closure", "account_suspended", "admin_disconnect", "replaced", "heartbeat_lost"];
    decided.contains(&stop.name())
}

/// What this side found wrong, and closed for with this code: as from the peer, but it never ends
/// the link.
fn of_own_finding(policy: &ClosePolicy, code: CloseCode) -> Verdict {
    let verdict = of_close(policy, code);
    if let Verdict::Stop(_) | Verdict::RefreshToken = verdict { slow(10) } else { verdict }
}

const fn slow(secs: u64) -> Verdict {
    Verdict::RetrySlow { floor: Duration::from_secs(secs) }
}

/// The last edit that covers a number counts.
fn edited(edits: &[CloseRule], number: u16) -> Option<Verdict> {
    let covers = |rule: &&CloseRule| (rule.from..=rule.to).contains(&number);
    edits.iter().rfind(covers).map(|rule| rule.verdict)
}
