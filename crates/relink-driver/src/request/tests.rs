//! Which servers are sent which parts of the request, and how it is written.

use super::*;

fn template(urls: &[&str]) -> Template {
    let endpoints = urls.iter().map(|url| Endpoint::new(&(*url).into()).unwrap()).collect();
    Template { endpoints, ..Template::default() }
}

fn prepare(template: &Template, to: &str, is_trusted: bool) -> (Target, http::Request<()>) {
    let Prepared { target, request, .. } =
        template.prepare(&to.into(), Some(&"tok".into()), is_trusted).unwrap();
    (target, request)
}

fn authorization(request: &http::Request<()>) -> Option<&str> {
    request.headers().get(AUTHORIZATION).map(|value| value.to_str().unwrap())
}

#[test]
fn urls_that_are_none_are_refused_with_the_reason() {
    for (url, problem) in [
        ("http://example.org", "neither ws nor wss"),
        ("example.org/feed", "no scheme"),
        ("", "no scheme"),
        ("ws://h:99999/", "port"),
        ("ws://user@/", "no host"),
        ("ws://h/a b", "characters"),
    ] {
        let error = url.into_request().unwrap_err().to_string();
        assert!(error.contains(problem), "{url}: {error}");
    }
    let error =
        "http://me:secret@example.org/?token=secret".into_request().unwrap_err().to_string();
    assert!(!error.contains("secret"), "{error}");
}

#[test]
fn a_uri_whose_port_is_none_is_refused_too() {
    let uri = Uri::from_static("ws://h:99999/");
    assert!(uri.port_u16().is_none(), "http does not tell");
    assert!(uri.clone().into_request().unwrap_err().to_string().contains("h:99999"));
    let request = http::Request::get(uri).body(()).unwrap();
    assert!(request.into_request().unwrap_err().to_string().contains("port"));
}

#[test]
fn ports_and_hosts_follow_the_scheme() {
    let target = |url: &str| prepare(&Template::default(), url, true).0;
    assert_eq!(target("ws://h/").port, 80);
    assert_eq!(target("WSS://h").port, 443);
    let ipv6 = target("ws://[::1]:9000/");
    assert_eq!((ipv6.host.as_str(), ipv6.port, ipv6.tls), ("::1", 9000, false));
}

#[test]
fn strangers_get_what_the_handshake_needs_and_nothing_else() {
    let mut template = template(&["wss://a.example/feed?key=1"]);
    let mut marked = HeaderValue::from_static("marked");
    marked.set_sensitive(true);
    for (name, value) in [
        ("authorization", HeaderValue::from_static("Digest x")),
        ("cookie", HeaderValue::from_static("a=1")),
        ("proxy-authorization", HeaderValue::from_static("Basic x")),
        ("host", HeaderValue::from_static("inner.example")),
        ("x-api-key", HeaderValue::from_static("k")),
        ("x-marked", marked.clone()),
        ("origin", HeaderValue::from_static("https://app.example")),
        ("user-agent", HeaderValue::from_static("app/1")),
        ("sec-websocket-protocol", HeaderValue::from_static("chat")),
        ("sec-websocket-protocol", marked),
    ] {
        template.headers.append(HeaderName::from_static(name), value);
    }
    template.placement = TokenPlacement::Query("jwt".into());
    let names = |template: &Template, is_trusted| {
        let (_, request) = prepare(template, "wss://b.example/x?y=2", is_trusted);
        let mut names: Vec<_> =
            request.headers().iter().map(|(name, _)| name.to_string()).collect();
        names.sort();
        (names.join(" "), request.uri().query().unwrap().to_owned())
    };
    assert_eq!(
        names(&template, false),
        ("sec-websocket-protocol user-agent".to_owned(), "y=2".to_owned())
    );
    assert_eq!(names(&template, true).0.split(' ').count(), 10);
    assert_eq!(names(&template, true).1, "y=2&jwt=tok");
    template.headers_follow = true;
    assert_eq!(names(&template, false).0, "origin sec-websocket-protocol user-agent x-api-key");
}

#[test]
fn a_token_goes_where_it_belongs_and_only_there() {
    let mut template = template(&["ws://a.example/"]);
    let subprotocols = |request: &http::Request<()>| {
        let values = request.headers().get_all("sec-websocket-protocol").into_iter();
        values.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(authorization(&prepare(&template, "ws://a.example/", true).1), Some("Bearer tok"));
    assert_eq!(authorization(&prepare(&template, "ws://a.example/", false).1), None);

    template.headers.insert("sec-websocket-protocol", HeaderValue::from_static("chat"));
    template.placement = TokenPlacement::Subprotocol("bearer.".into());
    let (_, ours) = prepare(&template, "ws://a.example/", true);
    assert_eq!((authorization(&ours), subprotocols(&ours).as_str()), (None, "chat, bearer.tok"));
    assert_eq!(subprotocols(&prepare(&template, "ws://b.example/", false).1), "chat");
    for token in ["a b", "a,b", "ü", "a=", ""] {
        assert!(template.check_token(&token.into()).is_err(), "{token:?}");
    }
}

#[test]
fn a_user_name_in_an_address_is_basic_authorization_for_its_origin() {
    let template = template(&["ws://bob:s%3Acret%C3%BC@a.example/", "ws://b.example/"]);
    let sent = |to, is_trusted| {
        let prepared = template.prepare(&Address::from(to), None, is_trusted).unwrap();
        authorization(&prepared.request).map(str::to_owned)
    };
    assert_eq!(template.endpoints[0].address.expose(), "ws://a.example/");
    let bob = Some(format!("Basic {}", BASE64.encode("bob:s:cretü")));
    assert_eq!(sent("ws://a.example/", true), bob);
    assert_eq!(sent("ws://A.example:80/elsewhere", true), bob);
    assert_eq!(sent("ws://b.example/", true), None);
    assert_eq!(sent("ws://eve:x@c.example/", false), None);
    for (user, pair) in
        [("bob", "bob:"), ("bob:", "bob:"), (":pw", ":pw"), ("50%off:100%", "50%off:100%")]
    {
        let sent = basic(user).unwrap();
        assert_eq!(sent.to_str().unwrap(), format!("Basic {}", BASE64.encode(pair)), "{user}");
    }
    assert!(basic("a%3Ab:c").is_err() && basic("a%0A:c").is_err());
}

#[test]
fn credentials_that_compete_and_headers_that_cannot_be_set_are_refused() {
    let check = |url: &str, headers: &[(&'static str, &'static str)], has_tokens| {
        let mut template = template(&[url]);
        for (name, value) in headers {
            template.headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        template.check(has_tokens).err().map(|error| error.to_string()).unwrap_or_default()
    };
    let basic = ("authorization", "Basic x");
    assert_eq!(check("ws://a/", &[basic, ("host", "b"), ("x-a", "1"), ("x-a", "2")], false), "");
    assert_eq!(check("ws://me@a/", &[], false), "");
    assert_eq!(check("ws://a/", &[], true), "");
    for error in [
        check("ws://a/", &[basic, basic], false),
        check("ws://a/", &[basic], true),
        check("ws://me@a/", &[basic], false),
        check("ws://me@a/", &[], true),
    ] {
        assert!(error.contains("authorization") && error.contains("exclude"), "{error}");
    }
    assert!(check("ws://a/", &[("host", "b"), ("host", "c")], false).contains("host"));
    for name in
        ["connection", "upgrade", "sec-websocket-key", "content-length", "transfer-encoding"]
    {
        assert!(check("ws://a/", &[(name, "x")], false).contains(name), "{name}");
    }
}

#[test]
fn a_user_name_in_a_fetched_address_competes_like_a_configured_one() {
    let endpoint = Address::from("wss://h/feed");
    let fetched = |template: &Template, address: &str, has_token| {
        let checked = template.check_fetched(&endpoint, &address.into(), has_token);
        checked.map(|address| address.expose().to_owned()).map_err(|error| error.to_string())
    };
    let mut template = template(&["wss://h/feed"]);
    for (address, has_token) in [("//bob:pw@h/x", false), ("wss://h/x", true), ("/x", true)] {
        assert!(fetched(&template, address, has_token).is_ok(), "{address}");
    }
    let by_token = fetched(&template, "wss://bob:pw@h/x", true).unwrap_err();
    template.placement = TokenPlacement::Protocol;
    assert_eq!(fetched(&template, "//bob@h/x", true).unwrap(), "wss://bob@h/x");
    template.headers.insert(AUTHORIZATION, HeaderValue::from_static("Digest x"));
    assert!(fetched(&template, "wss://h/x", false).is_ok());
    for error in [by_token, fetched(&template, "wss://bob:pw@h/x", false).unwrap_err()] {
        assert!(
            error.contains("user name") && error.contains("exclude") && !error.contains("pw"),
            "{error}"
        );
    }
}

#[test]
fn cookies_of_the_application_and_of_the_jar_share_a_header() {
    let mut template = template(&["ws://a.example/"]);
    template.headers.append(COOKIE, HeaderValue::from_static("a=1; b=2"));
    template.headers.append(COOKIE, HeaderValue::from_static("c=3"));
    template.cookies = Some(Jar::default());
    let cookies = |is_trusted| {
        let (_, request) = prepare(&template, "ws://a.example/", is_trusted);
        let values = request.headers().get_all(COOKIE).into_iter();
        values.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(cookies(true), ["a=1; b=2; c=3"]);
    let visit = template.prepare(&"ws://a.example/".into(), None, true).unwrap().visit.unwrap();
    let set =
        ["b=jar", "node=7"].map(|set| (http::header::SET_COOKIE, HeaderValue::from_static(set)));
    visit.keep(&set.into_iter().collect());
    assert_eq!(cookies(true), ["a=1; b=2; c=3; node=7"]);
    assert_eq!(cookies(false), ["b=jar; node=7"]);
}

#[test]
fn a_token_in_the_query_is_encoded_and_its_name_too() {
    let mut template = template(&["ws://a.example/"]);
    template.placement = TokenPlacement::Query("a b".into());
    let prepared =
        template.prepare(&"ws://a.example/?x=1".into(), Some(&"a b/ü".into()), true).unwrap();
    assert_eq!(prepared.request.uri().query(), Some("x=1&a%20b=a%20b%2F%C3%BC"));
}
