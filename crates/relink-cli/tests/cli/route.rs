//! The way to the server: proxies and certificates.

use std::process::Command;

use relink_testing::{Forward, ForwardProxy, Script, Server, TestCertificate};

use crate::support::{Relink, file_name, server};

/// Sends a line, and waits for its echo.
fn assert_echoes(mut relink: Relink) {
    relink.type_line("there and back");
    assert_eq!(relink.event("message")["text"], "there and back");
}

fn proxy(forward: Forward) -> ForwardProxy {
    ForwardProxy::start([forward]).expect("a proxy on loopback")
}

#[test]
fn a_proxy_is_gone_through_and_keeps_its_password() {
    let server = server(Script::echo());
    let login = Forward::Login { user: "me".to_owned(), password: "hunter2".to_owned() };
    let proxy = proxy(login);
    for scheme in ["http", "socks5", "socks5h"] {
        let with = |login: &str| proxy.url(scheme).replace("//", &format!("//{login}@"));
        assert_echoes(Relink::connect(&server.url(), &["--proxy", &with("me:hunter2")]));
        let wrong = ["connect", "--max-attempts", "1", &server.url(), "--proxy"];
        let ended = Relink::run(wrong.into_iter().chain([&with("hunter2:hunter2")[..]]));
        assert_eq!(ended.status, Some(4));
        assert!(ended.err().contains("does not accept the user name"), "{}", ended.err());
        assert!(!ended.err().contains("hunter2"), "{}", ended.err());
    }
    assert_eq!(proxy.tunnels().len(), 4, "SOCKS5 refuses a login before it hears of a server");
    for url in ["proxy", "ftp://me:hunter2@host:21", "http://me:hunter2@host"] {
        let ended = Relink::run(["connect", &server.url(), "--proxy", url]);
        assert_eq!(ended.status, Some(2), "{}", ended.err());
        assert!(ended.err().contains("write it as in http://"), "{}", ended.err());
        assert!(!ended.err().contains("hunter2"), "{}", ended.err());
    }
}

#[test]
fn the_environment_names_the_proxy_if_it_is_asked() {
    let server = server(Script::echo());
    let proxy = proxy(Forward::Open);
    let url = server.url();
    let with = |variables: &[(&str, &str)], more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relink"));
        command.args(["connect", "--json", &url]).args(more).env_remove("no_proxy");
        for name in ["ws_proxy", "WS_PROXY", "http_proxy", "NO_PROXY", "REQUEST_METHOD"] {
            command.env_remove(name);
        }
        command.envs(variables.iter().copied());
        Relink::spawn(command)
    };
    let address = proxy.url("http");
    let here = ("HTTP_PROXY", address.as_str());
    assert_echoes(with(&[here], &[]));
    assert_echoes(with(&[here, ("NO_PROXY", "127.0.0.0/8")], &["--proxy", "env"]));
    assert_eq!(proxy.tunnels().len(), 0);
    assert_echoes(with(&[here, ("NO_PROXY", "10.0.0.0/8")], &["--proxy", "env"]));
    assert_eq!(proxy.tunnels().len(), 1);
    let ended = with(&[("HTTP_PROXY", "ftp://h:1")], &["--proxy", "env"]).end();
    assert_eq!(ended.status, Some(2));
    assert!(ended.err().contains("HTTP_PROXY is \"ftp://h:1\""), "{}", ended.err());
}

#[test]
fn a_client_certificate_is_shown_to_a_server_that_asks() {
    let certificate = TestCertificate::for_localhost().unwrap().require_client_certificate();
    let server = Server::spawn_thread_tls(Script::echo(), &certificate).unwrap();
    let ca = file_name("mutual-ca.pem", &certificate.ca_pem());
    let cert = file_name("mutual.pem", &certificate.client().certificate_pem());
    let key = file_name("mutual.key", &certificate.client().key_pem());
    let all = ["--ca", &ca, "--cert", &cert, "--key", &key];
    assert_echoes(Relink::connect(&server.url(), &all));
    // Also to one that is not checked.
    assert_echoes(Relink::connect(&server.url(), &[&all[2..], &["--insecure"]].concat()));

    let once = ["connect", "--max-attempts", "1", &server.url(), "--ca", &ca];
    assert_eq!(Relink::run(once).status, Some(4));
    let other = TestCertificate::for_localhost().unwrap();
    let other = file_name("other.key", &other.client().key_pem());
    for (more, word) in [
        (&["--cert", &cert][..], "--key <FILE>"),
        (&["--key", &key], "--cert <FILE>"),
        (&["--cert", "/nowhere", "--key", &key], "/nowhere cannot be used as --cert"),
        (&["--cert", &cert, "--key", "/nowhere"], "/nowhere cannot be used as --key"),
        (&["--cert", &cert, "--key", &ca], "cannot be used as --key: it is not PEM"),
        (&["--cert", &cert, "--key", &other], "cannot be used as --key: of --cert"),
    ] {
        let ended = Relink::run(once.into_iter().chain(more.iter().copied()));
        assert_eq!(ended.status, Some(2), "{more:?}: {}", ended.err());
        assert!(ended.err().contains(word), "{more:?}: {}", ended.err());
    }
}

#[test]
fn insecure_takes_any_certificate_and_says_so_every_time() {
    let certificate = TestCertificate::wrong_name().unwrap();
    let server = Server::spawn_thread_tls(Script::echo(), &certificate).unwrap();
    let said = "relink: --insecure: no certificate is checked";
    let mut relink = Relink::connect(&server.url(), &["--insecure"]);
    assert!(relink.status().contains(said));
    assert_echoes(relink);
    let mut relink = Relink::start(["connect", "--quiet", "--insecure", &server.url()]);
    assert!(relink.status().contains(said));
    let once = ["connect", "--max-attempts", "1", &server.url()];
    assert_eq!(Relink::run(once).status, Some(4));
    let red = Relink::shell(&format!(
        "CLICOLOR_FORCE=1 relink connect --insecure {} </dev/null",
        server.url()
    ));
    let err = red.end().err();
    assert!(err.contains("\u{1b}[31m--insecure"), "{err:?}");
    let both = Relink::run(["connect", "wss://h/", "--insecure", "--ca", "/nowhere.pem"]);
    assert_eq!(both.status, Some(2));
}

#[test]
fn what_the_systems_store_cannot_read_is_said_if_it_may_be_the_cause() {
    let certificate = TestCertificate::for_localhost().unwrap();
    let server = Server::spawn_thread_tls(Script::echo(), &certificate).unwrap();
    let args = format!("relink connect --max-attempts 1 {}", server.url());
    let ended = Relink::shell(&format!("SSL_CERT_FILE=/nowhere.pem {args}")).end();
    let err = ended.err();
    assert!(err.contains("the system's certificate authorities: "), "{err}");
    assert!(err.contains("/nowhere.pem"), "{err}");
    let ca = file_name("system-ca.pem", &certificate.ca_pem());
    let ended = Relink::shell(&format!("SSL_CERT_FILE={ca} {args} </dev/null")).end();
    assert_eq!(ended.status, Some(0), "{}", ended.err());
}
