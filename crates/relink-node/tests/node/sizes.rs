//! Messages that are too large to be published, or too large for one client.

use relink::protocol::Rejection;
use relink::session::{Problem, Secret};
use relink::{Message, Resume};
use relink_node::{ConnectionId, NodeConfig, NodeEvent, NodeInput, StoreRequest, Stream};
use relink_v1::{ClientFrame, Codec, Encoding, ServerFrame, Welcome, limits};

use crate::support::{Cluster, Short, lobby, nodes, nodes_with, top};

/// Sends the hello of a client that accepts messages of at most this many bytes.
fn hello(cluster: &mut Cluster, id: ConnectionId, resume: Option<Resume>, max_message: u64) {
    let token = Some(Secret::from("ada"));
    cluster.say(id, &ClientFrame::Hello { token, resume, max_message: Some(max_message) });
}

fn large(cluster: &mut Cluster, letter: &str, length: usize) {
    cluster.announce(0, &letter.repeat(length));
}

/// What a client received, with lengths instead of texts.
fn heard(cluster: &mut Cluster, id: ConnectionId) -> Vec<String> {
    let short = |words: String| match words.split_once(": ") {
        Some((place, text)) if text.len() > 20 => format!("{place}: {} bytes", text.len()),
        _ => words,
    };
    cluster.heard(id).into_iter().map(short).collect()
}

#[test]
fn w11_the_welcome_tells_what_the_server_takes() {
    for (configured, told) in [(2_000, 2_000), (usize::MAX, limits::NUMBER)] {
        let mut cluster = nodes_with(1, NodeConfig::default().with_max_message(configured));
        let id = cluster.open(0);
        cluster.hello(id, "ada", None);
        let frames = cluster.take(id);
        assert!(
            matches!(frames[0], ServerFrame::Welcome(Welcome { max_message: Some(most), .. }) if most == told),
            "{frames:?}"
        );
    }
}

#[test]
fn s06_a_publication_that_a_client_does_not_take_is_withheld_from_it_alone() {
    for encoding in [Encoding::Json, Encoding::Cbor] {
        let mut cluster = nodes(1);
        let small = cluster.open_as(0, encoding);
        hello(&mut cluster, small, None, 140_000);
        cluster.welcome(small);
        let (other, _) = cluster.join(0, "bob");
        for id in [small, other] {
            cluster.subscribe(id, &lobby(), None);
        }
        cluster.announce(0, "one");
        large(&mut cluster, "x", 150_000);
        cluster.announce(0, "three");
        cluster.message(small, Some(1), None, "me too");
        cluster.message(small, Some(2), None, &format!("me {}", "y".repeat(150_000)));
        cluster.message(small, Some(3), None, "me again");
        assert_eq!(
            heard(&mut cluster, small)
                .iter()
                .filter(|word| !word.starts_with("ack"))
                .collect::<Vec<_>>(),
            [
                "subscribed 0 true",
                "1: one",
                "2 withheld: limit_exceeded",
                "3: three",
                "own 1: me too",
                "own 2 withheld: limit_exceeded",
                "own 3: me again"
            ]
        );
        assert_eq!(
            heard(&mut cluster, other),
            ["subscribed 0 true", "1: one", "2: 150000 bytes", "3: three"]
        );
        assert_eq!(cluster.node(0).stats().withheld, 2);
        let heartbeat = ClientFrame::Heartbeat { nonce: 1, sent: 3 };
        cluster.say(small, &heartbeat);
        assert_eq!(cluster.heard(small), ["heartbeat 1 6"], "what is withheld counts");
    }
}

#[test]
fn i26_a_client_that_closed_with_1009_comes_back_with_its_limit_and_gets_past_the_publication() {
    let mut cluster = nodes(1);
    let (id, resume) = cluster.join(0, "ada");
    let start = top(&mut cluster, &lobby());
    cluster.subscribe(id, &lobby(), None);
    cluster.message(id, None, None, &format!("me {}", "y".repeat(150_000)));
    large(&mut cluster, "x", 150_000);
    cluster.hang_up(id, 1009);
    cluster.announce(0, "behind");
    let id = cluster.open(0);
    hello(&mut cluster, id, Some(resume), 140_000);
    assert!(cluster.welcome(id).resumed);
    cluster.subscribe(id, &lobby(), Some(start));
    assert_eq!(
        cluster.heard(id),
        [
            "own 1 withheld: limit_exceeded",
            "subscribed 0 true",
            "1 withheld: limit_exceeded",
            "2: behind"
        ]
    );
}

#[test]
fn w11_a_limit_is_met_exactly() {
    let publication =
        ServerFrame::Publication { channel: Some(lobby()), offset: 1, payload: "".into() };
    let frame = publication.encoded_len(Encoding::Json);
    let mut cluster = nodes(1);
    let id = cluster.open(0);
    hello(&mut cluster, id, None, 140_000);
    cluster.welcome(id);
    cluster.subscribe(id, &lobby(), None);
    large(&mut cluster, "x", 140_000 - frame);
    large(&mut cluster, "x", 140_001 - frame);
    assert_eq!(
        heard(&mut cluster, id),
        [
            "subscribed 0 true",
            &format!("1: {} bytes", 140_000 - frame),
            "2 withheld: limit_exceeded"
        ]
    );
}

#[test]
fn what_is_too_large_to_be_published_is_refused_whoever_wants_it() {
    let mut cluster = nodes_with(1, NodeConfig::default().with_max_publication(1_000));
    let (id, _) = cluster.join(0, "ada");
    cluster.subscribe(id, &lobby(), None);
    cluster.send(id, 1, &"x".repeat(990));
    cluster.message(id, Some(2), None, &format!("me {}", "y".repeat(990)));
    cluster.message(id, None, Some(lobby()), &"z".repeat(990));
    cluster.send(id, 3, "small");
    let heard = cluster.heard(id);
    let about = |word: &&String| word.starts_with("rejected") || word.starts_with('1');
    assert_eq!(
        heard.iter().filter(about).collect::<Vec<_>>(),
        ["rejected 1", "rejected 2", "1: small"]
    );
    cluster.take_node_events();
    large(&mut cluster, "x", 990);
    let [NodeEvent::NotPublished { detail }] = &cluster.take_node_events()[..] else {
        panic!("it is told")
    };
    assert!(detail.contains("at most 1000 are allowed (node.max_publication)"), "{detail}");
    cluster.env.requests.clear();
    let stream = Stream::Channel("x".repeat(256).into());
    cluster.give(0, NodeInput::Publish { stream, message: "nobody can subscribe to this".into() });
    assert!(matches!(&cluster.take_node_events()[..], [NodeEvent::NotPublished { .. }]));
    assert!(
        !cluster
            .env
            .requests
            .iter()
            .any(|question| matches!(question, StoreRequest::Publish { .. }))
    );
}

#[test]
fn whatever_a_default_client_may_send_a_default_node_may_publish_and_a_default_client_takes() {
    let config = NodeConfig::default();
    // Each of its bytes takes six in JSON.
    let worst = Message::from("\u{1}".repeat(config.max_message));
    let stream = Stream::Channel("\u{1}".repeat(limits::CHANNEL).into());
    assert_eq!(config.may_publish(&stream, &worst), Ok(()));
    assert!(config.max_publication <= 16 << 20);
}

#[test]
fn w11_a_welcome_has_no_more_rejections_than_fit_the_newest_first() {
    let mut cluster = nodes_with(1, NodeConfig::default().with_max_unhandled(10_000));
    let (id, resume) = cluster.join(0, "ada");
    for serial in 1..=1_000 {
        cluster.send(id, serial, &format!("refuse {}", "it".repeat(200)));
    }
    cluster.hang_up(id, 1006);
    let id = cluster.open(0);
    hello(&mut cluster, id, Some(resume), 131_072);
    let frames = cluster.take(id);
    assert!(frames[0].encoded_len(Encoding::Json) <= 131_072);
    let ServerFrame::Welcome(Welcome { rejected, received: 1_000, .. }) = &frames[0] else {
        panic!("{frames:?}")
    };
    let serials: Vec<u64> = rejected.iter().map(|Rejection { serial, .. }| *serial).collect();
    assert!(serials.len() > 200 && serials.len() < 1_000, "{}", serials.len());
    assert_eq!(serials, (1_001 - serials.len() as u64..=1_000).collect::<Vec<_>>());
}

#[test]
fn w11_a_client_that_takes_too_little_is_told_so() {
    let mut cluster = nodes(1);
    let id = cluster.open(0);
    cluster.give(
        0,
        NodeInput::Message { id, message: r#"{"type":"hello","max_message":131071}"#.into() },
    );
    let frame = cluster.peer(id).closed.clone().expect("closed");
    assert_eq!(frame.code.0, 1003);
    assert_eq!(
        frame.reason,
        "max_message: a whole number from 131072 to 9007199254740991 is wanted"
    );
}

#[test]
fn nothing_is_published_to_a_channel_that_nobody_can_name() {
    let problem = NodeConfig::default().may_publish(&Stream::Channel("".into()), &"x".into());
    assert_eq!(
        problem,
        Err(Problem::new(
            "limit_exceeded",
            "the length of the channel's name in bytes is 0, but it must be at least 1"
        ))
    );
}
