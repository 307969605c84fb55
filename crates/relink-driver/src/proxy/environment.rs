//! The proxies that the environment names, read as curl reads them.
//!
//! Own code: the library for it, `hyper-util`, brings hyper and tokio into every build.

use std::net::IpAddr;

use super::Proxy;
use crate::builder::BuildError;
use crate::request::Target;

#[derive(Clone)]
pub(crate) struct Environment {
    plain: Option<Proxy>,
    secure: Option<Proxy>,
    exceptions: Exceptions,
}

impl Environment {
    pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, BuildError> {
        // In CGI, HTTP_PROXY is the header `Proxy` of a request: anybody's word.
        let is_cgi = variable("REQUEST_METHOD").is_some();
        let set = |name: &&str| {
            let value = variable(name).map(|value| value.trim().to_owned());
            let is_trusted = !is_cgi || *name != "HTTP_PROXY";
            value.filter(|value| is_trusted && !value.is_empty())
        };
        let first = |names: [&str; 6]| {
            let found = names.iter().find_map(|name| Some((*name, set(name)?)));
            found.map(|(name, value)| Proxy::parse(&with_scheme(value), name)).transpose()
        };
        let all = ["all_proxy", "ALL_PROXY"];
        let [plain, secure] = [
            ["ws_proxy", "WS_PROXY", "http_proxy", "HTTP_PROXY", all[0], all[1]],
            ["wss_proxy", "WSS_PROXY", "https_proxy", "HTTPS_PROXY", all[0], all[1]],
        ]
        .map(first);
        let exceptions = set(&"no_proxy").or_else(|| set(&"NO_PROXY")).unwrap_or_default();
        Ok(Self { plain: plain?, secure: secure?, exceptions: Exceptions::read(&exceptions) })
    }

    pub(super) fn choose(&self, target: &Target) -> Option<&Proxy> {
        let proxy = if target.tls { &self.secure } else { &self.plain };
        proxy.as_ref().filter(|_| !self.exceptions.have(&target.host))
    }
}

/// Without a scheme, a proxy speaks HTTP.
fn with_scheme(value: String) -> String {
    if value.contains("://") { value } else { format!("http://{value}") }
}

/// `NO_PROXY`: names with all that end in them, addresses and networks, separated by commas or
/// spaces; `*` alone is everything.
#[derive(Clone)]
struct Exceptions(Vec<Exception>);

#[derive(Clone)]
enum Exception {
    Everything,
    Network { address: IpAddr, prefix: u32 },
    Name(String),
}

impl Exceptions {
    fn read(list: &str) -> Self {
        if list == "*" {
            return Self(vec![Exception::Everything]);
        }
        let entries = list.split([',', ' ', '\t']).filter(|entry| !entry.is_empty());
        Self(entries.map(Exception::read).collect())
    }

    fn have(&self, host: &str) -> bool {
        self.0.iter().any(|exception| exception.has(host))
    }
}

impl Exception {
    fn read(entry: &str) -> Self {
        let (address, prefix) = entry.split_once('/').unwrap_or((entry, ""));
        let address = address.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        match (address, prefix.parse()) {
            (Ok(address), Ok(prefix)) if prefix <= bits(address).1 => {
                Self::Network { address, prefix }
            }
            (Ok(address), _) if prefix.is_empty() => {
                Self::Network { address, prefix: bits(address).1 }
            }
            _ => Self::Name(bare(entry).trim_start_matches('.').to_owned()),
        }
    }

    fn has(&self, host: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Network { address, prefix } => host.parse().is_ok_and(|host: IpAddr| {
                let ((one, width), (other, _)) = (bits(*address), bits(host));
                let differs = (one ^ other).checked_shr(width - prefix).unwrap_or(0);
                address.is_ipv4() == host.is_ipv4() && differs == 0
            }),
            Self::Name(name) => {
                let host = bare(host);
                let before = host.strip_suffix(name.as_str());
                !name.is_empty()
                    && before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
            }
        }
    }
}

/// A name in lower case, and without the dot that may end it.
fn bare(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// An address as a number, and how many bits it has.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u32::from(address).into(), u32::BITS),
        IpAddr::V6(address) => (address.into(), u128::BITS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(variables: &[(&str, &str)], url: &str) -> Option<String> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let (scheme, host) = url.split_once("://").unwrap();
        let target = Target { host: host.to_owned(), port: 1, tls: scheme == "wss" };
        let environment = Environment::read(variable).unwrap();
        environment.choose(&target).map(ToString::to_string)
    }

    #[test]
    fn the_scheme_chooses_the_variable_and_lower_case_comes_first() {
        let proxy = |port: u16| Some(format!("http://h:{port}"));
        for (variables, plain, secure) in [
            (&[][..], None, None),
            (&[("HTTP_PROXY", "h:1"), ("HTTPS_PROXY", "http://h:2")][..], proxy(1), proxy(2)),
            (&[("http_proxy", "h:1"), ("HTTP_PROXY", "h:2")], proxy(1), None),
            (&[("https_proxy", " "), ("HTTPS_PROXY", "h:2")], None, proxy(2)),
            (&[("ALL_PROXY", "h:3"), ("https_proxy", "h:2")], proxy(3), proxy(2)),
            (
                &[("ws_proxy", "h:4"), ("http_proxy", "h:1"), ("WSS_PROXY", "h:5")],
                proxy(4),
                proxy(5),
            ),
            (&[("HTTP_PROXY", "h:1"), ("REQUEST_METHOD", "GET")], None, None),
            (&[("http_proxy", "h:1"), ("REQUEST_METHOD", "GET")], proxy(1), None),
            (&[("all_proxy", "h:1"), ("NO_PROXY", "*")], None, None),
        ] {
            assert_eq!(chosen(variables, "ws://a"), plain, "{variables:?}");
            assert_eq!(chosen(variables, "wss://a"), secure, "{variables:?}");
        }
    }

    #[test]
    fn no_proxy_names_hosts_and_networks() {
        let list = "localhost, .corp.example,Other.Example. 10.0.0.0/8,192.168.1.7,[fd00::]/8,::1,,0.0.0.0/33";
        for (host, is_excepted) in [
            ("localhost", true),
            ("a.localhost", true),
            ("notlocalhost", false),
            ("corp.example", true),
            ("a.b.CORP.example.", true),
            ("xcorp.example", false),
            ("other.example", true),
            ("10.255.1.2", true),
            ("11.0.0.1", false),
            ("192.168.1.7", true),
            ("192.168.1.8", false),
            ("fd12::1", true),
            ("fe80::1", false),
            ("::1", true),
            ("::a00:1", false),
            ("example", false),
        ] {
            let chosen =
                chosen(&[("all_proxy", "h:1"), ("no_proxy", list)], &format!("wss://{host}"));
            assert_eq!(chosen.is_none(), is_excepted, "{host}");
        }
        let all = [("all_proxy", "h:1"), ("no_proxy", "0.0.0.0/0")];
        assert_eq!(chosen(&all, "ws://1.2.3.4"), None);
        assert!(chosen(&all, "ws://[::1]").is_some() && chosen(&all, "ws://a").is_some());
    }

    #[test]
    fn a_variable_that_is_no_proxy_is_named() {
        let error = Environment::read(|name| (name == "ALL_PROXY").then(|| "ftp://h:1".into()));
        let error = error.err().unwrap().to_string();
        assert!(error.contains("ALL_PROXY") && error.contains("ftp://h:1"), "{error}");
    }
}
