//! Addresses that are fetched for an attempt: when they are fetched, what goes where, and what
//! happens when they do not come.

use std::{
    convert::Infallible,
    future::{Ready, pending, ready},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use futures_util::StreamExt;
use relink_driver::{
    AddressRequest, Builder, Runtime,
    relink::{
        Address, Event, Reason, SessionConfig,
        link::{Hint, Timer},
        policy::CredentialsConfig,
    },
};

use super::{
    setup::{DELAY, LATE, ms, quick_link, request_of, saw_text, serve, start, start_with},
    tokens::{UnderWay, numbered},
};
use crate::rig::Observed;
use crate::{AfterLast, Connection, Refusal, Script};

/// One address per attempt, and never one that was used before; the endpoint is what it starts
/// from.
pub async fn every_attempt_dials_an_address_of_its_own<Rt: Runtime>(rt: Rt) {
    let script = Script::new()
        .connection(Connection::new().close(1001, ""))
        .connection(Connection::refuse(500))
        .connection(Connection::new().close(1001, ""))
        .then(AfterLast::Echo);
    let (tickets, count) = tickets();
    let (server, mut link) = start_with(rt, script, |builder| builder.address(tickets));
    for _ in 0..3 {
        link.connected().await;
    }
    for connection in 1..=4 {
        let request = request_of(&server, connection).await;
        let query = format!("ticket={connection}");
        assert_eq!((request.path(), request.query()), ("/feed", Some(query.as_str())));
    }
    let stats = link.client.stats();
    assert_eq!(
        (count.load(Ordering::SeqCst), stats.addresses_fetched, stats.address_failures),
        (4, 4, 0)
    );
}

/// A link that its owner polls fetches in the same way.
pub async fn a_polled_link_dials_what_was_fetched<Rt: Runtime>(rt: Rt) {
    let server = serve(Script::echo());
    let watched = Observed::new(rt);
    let builder = Builder::new(watched.clone(), server.url()).address(tickets().0);
    let mut link = builder.connect().expect("it is a link");
    while !matches!(watched.soon(link.next()).await, Some(Event::Connected { .. })) {}
    assert_eq!(request_of(&server, 1).await.query(), Some("ticket=1"));
}

/// The token comes first, the address provider may look at it, and both go along.
pub async fn an_address_comes_after_the_token<Rt: Runtime>(rt: Rt) {
    let (server, mut link) = start_with(rt, Script::echo(), |builder| {
        let for_token = |request: AddressRequest| {
            let token = request.token.map_or_else(String::new, |token| token.expose().to_owned());
            ready(Ok::<_, Infallible>(format!("/for/{token}")))
        };
        builder.token(numbered().0).address(for_token)
    });
    link.connected().await;
    let request = request_of(&server, 1).await;
    assert_eq!(
        (request.path(), request.header("authorization")),
        ("/for/token-1", Some("Bearer token-1"))
    );
}

/// There is one fetch at a time, whatever happens meanwhile.
pub async fn address_fetches_never_overlap<Rt: Runtime>(rt: Rt) {
    let (under_way, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let watched = Observed::new(rt.clone());
    let addresses = {
        let (under_way, most) = (Arc::clone(&under_way), Arc::clone(&most));
        move |request: AddressRequest| {
            let (watched, under_way, most) =
                (watched.clone(), Arc::clone(&under_way), Arc::clone(&most));
            async move {
                let _fetch = UnderWay::start(under_way, &most);
                watched.pass(ms(30)).await;
                Ok::<_, Infallible>(request.endpoint)
            }
        }
    };
    let (server, mut link) =
        start_with(rt, Connection::new().close(1001, ""), |builder| builder.address(addresses));
    while server.connections() < 4 {
        link.next().await;
        link.client.connect().expect("it is on its way");
        link.client.retry_now();
        link.client.hint(Hint::Online);
    }
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

/// An error or a panic of the provider, at once or later, is a failed attempt with a detail; the
/// link keeps trying.
pub async fn a_failure_of_the_address_provider_is_a_failed_attempt<Rt: Runtime>(rt: Rt) {
    let calls = Arc::new(AtomicU32::new(0));
    let (server, mut link) = start_with(rt, Script::echo(), |builder| {
        builder.address(move |request: AddressRequest| {
            let call = calls.fetch_add(1, Ordering::SeqCst) + 1;
            assert_ne!(
                call, 1,
                "this panic belongs to the case: it comes before there is a future"
            );
            async move {
                assert_ne!(call, 2, "this panic belongs to the case: it comes out of the future");
                if call == 3 { Err("no ticket left") } else { Ok(request.endpoint) }
            }
        })
    });
    for (attempt, word) in [(1, "panicked"), (2, "panicked"), (3, "no ticket left")] {
        let lost = link.attempt_failed().await;
        assert_eq!((lost.attempt, lost.reason), (Some(attempt), Reason::AddressFailed));
        assert!(lost.detail.contains(word), "{lost:?}");
        lost.assert_retry_in(DELAY, DELAY);
    }
    link.connected().await;
    let stats = link.client.stats();
    assert_eq!((stats.address_failures, stats.addresses_fetched, stats.dials), (3, 1, 1));
    assert_eq!(server.connections(), 1);
}

/// A URL that is not a WebSocket URL is a failed attempt with a clear detail, which does not show
/// secrets.
pub async fn an_address_that_is_none_is_a_failed_attempt<Rt: Runtime>(rt: Rt) {
    const WRONG: [&str; 5] = [
        "ftp://h/?ticket=s3cret",
        "wss://:s3cret@/?ticket=s3cret",
        "ws://a b/?ticket=s3cret",
        "ws://h:99999/?ticket=s3cret",
        "ws://h:port/?ticket=s3cret",
    ];
    let calls = AtomicUsize::new(0);
    let (server, mut link) = start_with(rt, Script::echo(), |builder| {
        builder.address(move |request: AddressRequest| {
            let wrong = WRONG.get(calls.fetch_add(1, Ordering::SeqCst));
            ready(Ok::<_, Infallible>(
                wrong.map_or(request.endpoint, |wrong| Address::from(*wrong)),
            ))
        })
    });
    for wrong in WRONG {
        let lost = link.attempt_failed().await;
        assert_eq!(lost.reason, Reason::AddressFailed, "{wrong}: {lost:?}");
        assert!(
            !lost.detail.is_empty() && !lost.detail.contains("s3cret"),
            "{wrong}: {}",
            lost.detail
        );
    }
    link.connected().await;
    assert_eq!((server.connections(), link.client.stats().dials), (1, 1));
}

/// A provider that never answers has a deadline.
pub async fn an_address_fetch_that_hangs_is_a_failed_attempt<Rt: Runtime>(rt: Rt) {
    let config = with_credentials(|credentials| credentials.with_timeout(ms(100)));
    let (server, mut link) = start_with(rt, Script::echo(), |builder| {
        builder.config(config).address(|_| pending::<Result<Address, Infallible>>())
    });
    let start = link.rt.now();
    let lost = link.attempt_failed().await;
    let took = link.rt.now() - start;
    assert_eq!(lost.reason, Reason::TimedOut(Timer::Address));
    assert!((ms(50)..ms(100) + LATE).contains(&took), "{took:?}");
    assert_eq!(server.connections(), 0);
}

/// The provider is called for the current endpoint; a failed fetch moves to the next one.
pub async fn an_address_is_fetched_for_the_endpoint_whose_turn_it_is<Rt: Runtime>(rt: Rt) {
    let second = serve(Script::echo());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let (first, mut link) = start_with(rt, Script::echo(), |builder| {
        builder.endpoint(second.url()).address(move |request: AddressRequest| {
            let mut asked = noted.lock().expect("it is not poisoned");
            asked.push(request.endpoint.expose().to_owned());
            ready(if asked.len() == 1 { Err("not here") } else { Ok("/feed") })
        })
    });
    link.connected().await;
    assert_eq!(request_of(&second, 1).await.path(), "/feed");
    assert_eq!(first.connections(), 0);
    assert_eq!(*asked.lock().expect("it is not poisoned"), [first.url(), second.url()]);
}

/// What the provider brings is trusted like a configured address, on whatever host: token, headers
/// and a user name go along.
pub async fn an_address_on_another_host_gets_the_credentials<Rt: Runtime>(rt: Rt) {
    let elsewhere = serve(Script::echo());
    // The same machine by another name.
    let url = format!("ws://localhost:{}/feed", elsewhere.addr().port());
    let (first, mut link) = start_with(rt, Script::echo(), |builder| {
        let builder = builder.token(numbered().0).header("x-api-key", "k");
        builder.address(move |_| ready(Ok::<_, Infallible>(url.clone())))
    });
    link.connected().await;
    let request = request_of(&elsewhere, 1).await;
    assert_eq!(request.header("authorization"), Some("Bearer token-1"));
    assert_eq!((request.path(), request.header("x-api-key")), ("/feed", Some("k")));
    assert_eq!(first.connections(), 0);
}

/// A user name in a fetched address follows redirects within its origin, also by way of a stranger,
/// who does not see it.
pub async fn a_fetched_user_name_follows_redirects_within_its_origin<Rt: Runtime>(rt: Rt) {
    let stranger = serve(Script::echo());
    let script = Script::new()
        .connection(Connection::refuse(Refusal::new(302).location("/next")))
        .connection(Connection::refuse(Refusal::new(302).location(stranger.url())))
        .then(AfterLast::Echo);
    let server = serve(script);
    let back = Script::refuse(Refusal::new(302).location(server.url() + "back"));
    stranger.set_script(back).expect("a script");
    let url = server.url().replacen("ws://", "ws://bob:pw@", 1);
    let (_configured, mut link) = start_with(rt, Script::echo(), |builder| {
        builder.address(move |_| ready(Ok::<_, Infallible>(url.clone())))
    });
    link.connected().await;
    let bob = format!("Basic {}", BASE64.encode("bob:pw"));
    for (number, path) in [(1, "/"), (2, "/next"), (3, "/back")] {
        let request = request_of(&server, number).await;
        assert_eq!((request.path(), request.header("authorization")), (path, Some(bob.as_str())));
    }
    assert_eq!(request_of(&stranger, 1).await.header("authorization"), None);
}

/// A redirect belongs to the attempt: no other address is fetched for it, and the next attempt
/// begins with a fetch again.
pub async fn a_redirect_needs_no_other_address<Rt: Runtime>(rt: Rt) {
    let target =
        serve(Script::new().connection(Connection::new().close(1001, "")).then(AfterLast::Echo));
    let (tickets, count) = tickets();
    let script = Script::refuse(Refusal::new(302).location(target.url() + "there"));
    let (origin, mut link) = start_with(rt, script, |builder| builder.address(tickets));
    link.connected().await;
    assert_eq!(request_of(&target, 1).await.path(), "/there");
    assert_eq!(count.load(Ordering::SeqCst), 1);
    link.connected().await;
    assert_eq!(request_of(&origin, 2).await.query(), Some("ticket=2"));
}

/// If the link is closed during a fetch, the fetch is dropped, and nothing is dialed.
pub async fn a_close_lets_go_of_the_address_fetch<Rt: Runtime>(rt: Rt) {
    let (under_way, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&under_way);
    let (server, mut link) = start_with(rt, Script::echo(), |builder| {
        builder.address(move |_| {
            let fetch = UnderWay::start(Arc::clone(&counted), &most);
            async move {
                let _fetch = fetch;
                pending::<Result<Address, Infallible>>().await
            }
        })
    });
    link.rt.until("a fetch is under way", || under_way.load(Ordering::SeqCst) == 1).await;
    link.rt.soon(link.client.close()).await;
    link.closed().await;
    link.rt.idle().await;
    assert_eq!((under_way.load(Ordering::SeqCst), server.connections()), (0, 0));
}

/// Without a provider the configured address is dialed.
pub async fn without_an_address_provider_the_endpoint_is_dialed<Rt: Runtime>(rt: Rt) {
    let (server, link) = start(rt, Script::echo());
    link.send("hello").await;
    saw_text(&server, "hello").await;
    assert_eq!(
        (request_of(&server, 1).await.path(), link.client.stats().addresses_fetched),
        ("/", 0)
    );
}

/// Brings `/feed?ticket=1`, `/feed?ticket=2`, …, and counts.
fn tickets() -> (
    impl Fn(AddressRequest) -> Ready<Result<String, Infallible>> + Send + Sync + 'static,
    Arc<AtomicU32>,
) {
    let count = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&count);
    let provider = move |_| {
        let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
        ready(Ok(format!("/feed?ticket={number}")))
    };
    (provider, count)
}

fn with_credentials(change: impl FnOnce(CredentialsConfig) -> CredentialsConfig) -> SessionConfig {
    quick_link(|link| link.with_credentials(change(link.credentials)))
}
