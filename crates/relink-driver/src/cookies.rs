//! A cookie jar for one link, in memory: what a server sets is sent with the next dial to the same
//! origin, so that a load balancer routes a link to its previous server.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::SET_COOKIE;
use relink::session::{Origin, Secret};

use crate::clock::wall_clock;

/// A longer cookie is not kept, as in browsers.
const LONGEST: usize = 4096;
/// The maximum number of cookies of a link; a further one replaces the oldest.
const MOST: usize = 100;

/// The cookies of one link. Clones are the same jar.
#[derive(Clone, Default)]
pub(crate) struct Jar(Arc<Mutex<Vec<Kept>>>);

/// A cookie is sent to the origin that set it only, whatever its `Domain`.
struct Kept {
    origin: Origin,
    name: String,
    path: String,
    value: Secret,
    expires: Option<SystemTime>,
}

/// A dial to an origin, which may set cookies.
#[derive(Clone)]
pub(crate) struct Visit {
    pub(crate) jar: Jar,
    pub(crate) origin: Origin,
    pub(crate) path: String,
}

impl Visit {
    /// The cookies for the next request here, the longest path first, without the names in `taken`.
    pub(crate) fn cookies(&self, taken: &[&str]) -> Vec<String> {
        let now = wall_clock();
        let mut kept = self.jar.lock();
        kept.retain(|cookie| cookie.expires.is_none_or(|at| at > now));
        let here =
            |cookie: &&Kept| cookie.origin == self.origin && is_below(&self.path, &cookie.path);
        let mut found: Vec<_> = kept
            .iter()
            .filter(here)
            .filter(|cookie| !taken.contains(&cookie.name.as_str()))
            .collect();
        found.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        found
            .into_iter()
            .map(|cookie| format!("{}={}", cookie.name, cookie.value.expose()))
            .collect()
    }

    /// Keeps the cookies that an answer sets; expired ones delete.
    pub(crate) fn keep(&self, headers: &HeaderMap) {
        let now = wall_clock();
        let values = headers.get_all(SET_COOKIE).into_iter().filter(|value| value.len() <= LONGEST);
        for value in values.filter_map(|value| value.to_str().ok()) {
            let Some(kept) = self.read(value, now) else { continue };
            let mut all = self.jar.lock();
            let same = |it: &Kept| {
                it.origin == kept.origin && it.name == kept.name && it.path == kept.path
            };
            all.retain(|it| !same(it));
            if kept.expires.is_none_or(|at| at > now) {
                if all.len() == MOST {
                    all.remove(0);
                }
                all.push(kept);
            }
        }
    }

    /// A cookie, if this origin may set it (RFC 6265, sections 5.2 and 5.3). Unknown attributes are
    /// ignored.
    fn read(&self, text: &str, now: SystemTime) -> Option<Kept> {
        let (pair, attributes) = text.split_once(';').unwrap_or((text, ""));
        let (name, value) = pair.split_once('=')?;
        let mut kept = Kept {
            origin: self.origin.clone(),
            name: name.trim().to_owned(),
            path: folder(&self.path).to_owned(),
            value: value.trim().into(),
            expires: None,
        };
        let (mut max_age, mut expires) = (None, None);
        for attribute in attributes.split(';') {
            let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            let value = value.trim();
            match name.trim().to_ascii_lowercase().as_str() {
                "path" if value.starts_with('/') => value.clone_into(&mut kept.path),
                "domain" if !covers(value.trim_start_matches('.'), self.origin.host()) => {
                    return None;
                }
                "secure" if !self.origin.is_secure() => return None,
                "max-age" => max_age = value.parse::<i64>().ok().or(max_age),
                "expires" => expires = date(value).or(expires),
                _ => {}
            }
        }
        // An expiry beyond the range of the clock means that it never expires.
        kept.expires = match max_age.map(u64::try_from) {
            Some(Ok(age)) => now.checked_add(Duration::from_secs(age)),
            Some(Err(_)) => Some(now),
            None => expires,
        };
        (!kept.name.is_empty()).then_some(kept)
    }
}

/// A date of HTTP, or as cookies have it: with dashes between the day, the month and the year.
fn date(text: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(text)
        .or_else(|_| httpdate::parse_http_date(&text.replace('-', " ")))
        .ok()
}

impl Jar {
    fn lock(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a cookie's domain is this host or a parent of it.
fn covers(domain: &str, host: &str) -> bool {
    let (domain, host) = (domain.to_ascii_lowercase(), host.to_ascii_lowercase());
    domain == host || host.strip_suffix(&domain).is_some_and(|before| before.ends_with('.'))
}

/// Whether a path matches a cookie's (RFC 6265, section 5.1.4).
fn is_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above)
        .is_some_and(|rest| rest.is_empty() || above.ends_with('/') || rest.starts_with('/'))
}

fn folder(path: &str) -> &str {
    path.rfind('/').filter(|end| *end > 0).map_or("/", |end| &path[..end])
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use relink::Address;

    use super::*;

    fn visit(jar: &Jar, address: &str, path: &str) -> Visit {
        Visit {
            jar: jar.clone(),
            origin: Address::from(address).origin().unwrap(),
            path: path.to_owned(),
        }
    }

    fn sent(answers: &[&'static str], address: &str, path: &str) -> String {
        let jar = Jar::default();
        let here = visit(&jar, "wss://a.example/", "/feed/now");
        for answer in answers {
            here.keep(&[(SET_COOKIE, HeaderValue::from_static(answer))].into_iter().collect());
        }
        visit(&jar, address, path).cookies(&[]).join("; ")
    }

    #[test]
    fn a_cookie_comes_back_to_its_own_origin_and_path() {
        let sent = |answer, address, path| sent(&[answer], address, path);
        for (answer, address, path, expected) in [
            ("node=7", "wss://a.example/", "/feed/later", "node=7"),
            ("node=7", "wss://A.example:443/", "/feed", "node=7"),
            ("node=7", "wss://a.example/", "/other", ""),
            ("node=7; Path=/", "wss://a.example/", "/other", "node=7"),
            ("node=7; Path=/fee", "wss://a.example/", "/feed/now", ""),
            ("node=7; Path=/; Domain=.example", "wss://a.example/", "/", "node=7"),
            ("node=7; Path=/; Domain=b.example", "wss://a.example/", "/", ""),
            ("node=7; Path=/; Secure; HttpOnly; SameSite=Lax", "wss://a.example/", "/", "node=7"),
            ("node=7; Path=/", "wss://a.example:8443/", "/", ""),
            ("node=7; Path=/; Domain=example", "wss://b.example/", "/", ""),
            ("node=7; Path=/", "ws://a.example:443/", "/", ""),
            ("node=; Path=/", "wss://a.example/", "/", "node="),
            ("no cookie", "wss://a.example/", "/feed/now", ""),
        ] {
            assert_eq!(sent(answer, address, path), expected, "{answer} to {address} at {path}");
        }
    }

    #[test]
    fn cookies_are_replaced_deleted_and_come_to_their_end() {
        let sent = |answers: &[&'static str]| sent(answers, "wss://a.example/", "/feed/now");
        assert_eq!(sent(&["a=1", "b=2", "a=3"]), "b=2; a=3");
        assert_eq!(sent(&["a=1; Path=/", "a=2; Path=/feed"]), "a=2; a=1");
        for end in [
            "a=; Max-Age=0",
            "a=; Max-Age=-1",
            "a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "a=; Expires=Thu, 01-Jan-1970 00:00:00 GMT",
        ] {
            assert_eq!(sent(&["a=1", end]), "", "{end}");
        }
        let later = "a=1; Max-Age=3600; Expires=Thu, 01 Jan 1970 00:00:00 GMT";
        assert_eq!(sent(&[later]), "a=1");
        assert_eq!(sent(&["a=1; Expires=Tue, 01 Jan 2999 00:00:00 GMT"]), "a=1");
    }

    #[test]
    fn plain_text_sets_no_secure_cookies_and_a_jar_has_an_end() {
        let jar = Jar::default();
        let here = visit(&jar, "ws://a.example/", "/");
        let set = |value: String| {
            here.keep(&[(SET_COOKIE, HeaderValue::from_str(&value).unwrap())].into_iter().collect())
        };
        set("a=1; Secure".to_owned());
        set(format!("long={}", "x".repeat(LONGEST)));
        assert!(here.cookies(&[]).is_empty());
        (0..MOST + 5).for_each(|number| set(format!("c{number}=x")));
        assert_eq!(here.cookies(&[]).len(), MOST);
        assert_eq!(here.cookies(&["c100"]).len(), MOST - 1);
    }
}
