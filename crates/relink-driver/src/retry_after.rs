//! The `Retry-After` header: seconds, or a date (RFC 9110, section 10.2.3).

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};

use crate::clock::wall_clock;

/// How long the server asks to wait. A date is counted from the server's `Date` header if there is
/// one, so that a wrong clock on this side does no harm.
pub(crate) fn read(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // A larger number saturates.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    let sent_at: SystemTime = headers
        .get(DATE)
        .and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok())
        .unwrap_or_else(wall_clock);
    Some(until.duration_since(sent_at).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(http::HeaderName, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), http::HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn seconds_and_dates_are_read() {
        assert_eq!(read(&headers(&[(RETRY_AFTER, "120")])), Some(Duration::from_secs(120)));
        let endless = "99999999999999999999999";
        assert_eq!(read(&headers(&[(RETRY_AFTER, endless)])), Some(Duration::from_secs(u64::MAX)));
        let date = [
            (DATE, "Fri, 20 Nov 2026 10:00:00 GMT"),
            (RETRY_AFTER, "Fri, 20 Nov 2026 10:01:30 GMT"),
        ];
        assert_eq!(read(&headers(&date)), Some(Duration::from_secs(90)));
        let past = [
            (DATE, "Fri, 20 Nov 2026 10:00:00 GMT"),
            (RETRY_AFTER, "Fri, 20 Nov 2026 09:00:00 GMT"),
        ];
        assert_eq!(read(&headers(&past)), Some(Duration::ZERO));
        assert_eq!(read(&headers(&[(RETRY_AFTER, "soon")])), None);
        assert_eq!(read(&headers(&[])), None);
    }
}
