//! Guests of a room, over TCP and UDP on loopback.

#![allow(clippy::wildcard_enum_match_arm, reason = "a test picks the events that it is about")]

use std::time::Duration;

use relink_examples::mesh::{DataChannel, MeshEvent, NotSent, PeerState};
use relink_examples::room::{Guest, GuestConfig, GuestEvents, PeerInfo, RoomEvent, server};
use relink_testing::proxy::{Dials, Fault, Proxy, Termination};
use tokio::net::TcpListener;

/// Far longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(25);

/// A guest, with a network of its own to the signalling server.
struct Person {
    name: &'static str,
    guest: Guest,
    events: GuestEvents,
    proxy: Proxy,
}

impl Person {
    async fn enter(server: std::net::SocketAddr, name: &'static str) -> Self {
        let proxy = Proxy::start(server).await.expect("a free port");
        let config = GuestConfig::new(proxy.url(), "lobby", name);
        let (guest, events) = Guest::enter(config).expect("a good configuration");
        Self { name, guest, events, proxy }
    }

    /// Waits for an event that answers the question.
    async fn until<T>(&mut self, what: &str, mut ask: impl FnMut(RoomEvent) -> Option<T>) -> T {
        let answer = async {
            while let Some(event) = self.events.recv().await {
                if let Some(answer) = ask(event) {
                    return answer;
                }
            }
            panic!("{}: the end, before {what}", self.name)
        };
        tokio::time::timeout(LIMIT, answer)
            .await
            .unwrap_or_else(|_| panic!("{}: no {what}", self.name))
    }

    async fn channel_to(&mut self, peer: &str) -> DataChannel {
        let opened = |event| match event {
            RoomEvent::Mesh(MeshEvent::Opened(channel)) if channel.peer() == peer => Some(channel),
            _ => None,
        };
        self.until("channel", opened).await
    }

    async fn hears(&mut self, words: &str) {
        let heard = |event| match event {
            RoomEvent::Mesh(MeshEvent::Data { bytes, .. }) if bytes == words.as_bytes() => Some(()),
            _ => None,
        };
        self.until(words, heard).await;
    }

    async fn state(&mut self, of: &PeerInfo, wanted: PeerState) {
        let reached = |event| match event {
            RoomEvent::Mesh(MeshEvent::State { peer, to, .. }) if peer == of.id && to == wanted => {
                Some(())
            }
            _ => None,
        };
        self.until("state", reached).await;
    }

    async fn peer(&self, name: &str) -> PeerInfo {
        let peers = self.guest.peers().await;
        peers.into_iter().find(|peer| peer.name == name).expect("is there")
    }

    /// Leaves the room with a clean close.
    async fn leave(self) {
        let Self { guest, mut events, .. } = self;
        drop(guest);
        let end = async { while events.recv().await.is_some() {} };
        tokio::time::timeout(LIMIT, end).await.expect("an end");
    }

    /// The signalling link is lost, and cannot come back until [`mend`](Self::mend).
    async fn cut(&mut self) {
        self.proxy.set_dials(Dials::Closed);
        self.proxy.set(Fault::Cut(Termination::Reset));
        self.until("loss", |event| (event == RoomEvent::SignallingDown).then_some(())).await;
    }

    fn mend(&self) {
        self.proxy.set_dials(Dials::Pass);
    }
}

/// Messages pass in both directions.
async fn talk(ada: &mut Person, to_bob: &DataChannel, bob: &mut Person, to_ada: &DataChannel) {
    ada.guest.send(to_bob, "hello").await.expect("the channel is open");
    bob.hears("hello").await;
    bob.guest.send(to_ada, "hello yourself").await.expect("the channel is open");
    ada.hears("hello yourself").await;
}

async fn signalling() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("is bound");
    tokio::spawn(server().expect("a server").serve(listener));
    address
}

async fn two() -> (std::net::SocketAddr, Person, Person, DataChannel, DataChannel) {
    let server = signalling().await;
    let mut ada = Person::enter(server, "ada").await;
    let mut bob = Person::enter(server, "bob").await;
    let to_bob = ada.channel_to("bob").await;
    let to_ada = bob.channel_to("ada").await;
    talk(&mut ada, &to_bob, &mut bob, &to_ada).await;
    (server, ada, bob, to_bob, to_ada)
}

#[tokio::test]
async fn m18_m21_an_ice_restart_keeps_the_connection_and_opens_its_channels_again() {
    let (_, mut ada, mut bob, old, _) = two().await;
    // By the guest who makes the offers, then by the other.
    for restarter in ["ada", "bob"] {
        let (bob_before, ada_before) = (ada.peer("bob").await, bob.peer("ada").await);
        if restarter == "ada" {
            ada.guest.restart("bob")
        } else {
            bob.guest.restart("ada")
        }
        ada.state(&bob_before, PeerState::Reconnecting).await;
        ada.state(&bob_before, PeerState::Connected).await;
        let (to_bob, to_ada) = (ada.channel_to("bob").await, bob.channel_to("ada").await);
        let (bob_after, ada_after) = (ada.peer("bob").await, bob.peer("ada").await);
        assert_eq!((bob_after.id, bob_after.connection), (bob_before.id, bob_before.connection));
        assert_eq!((ada_after.id, ada_after.connection), (ada_before.id, ada_before.connection));
        assert_eq!(ada.guest.send(&old, "?").await, Err(NotSent::Dead));
        talk(&mut ada, &to_bob, &mut bob, &to_ada).await;
    }
}

#[tokio::test]
async fn m19_m20_m21_survivors_of_a_lost_signalling_link_are_the_same_and_data_flows_again() {
    let (_, mut ada, mut bob, to_bob, to_ada) = two().await;
    let first = bob.peer("ada").await;
    // The guest who makes the offers loses the link, then the other.
    for away in ["ada", "bob"] {
        let (bob_before, ada_before) = (ada.peer("bob").await, bob.peer("ada").await);
        let person = if away == "ada" { &mut ada } else { &mut bob };
        person.cut().await;
        if away == "ada" {
            talk(&mut ada, &to_bob, &mut bob, &to_ada).await; // peer to peer, as before
        }
        let person = if away == "ada" { &mut ada } else { &mut bob };
        person.mend();
        let back = |event| match event {
            RoomEvent::SignallingUp { is_reconnect } => Some(is_reconnect),
            _ => None,
        };
        assert!(person.until("link", back).await, "{away} was here before");
        let (to_bob, to_ada) = (ada.channel_to("bob").await, bob.channel_to("ada").await);
        let (bob_after, ada_after) = (ada.peer("bob").await, bob.peer("ada").await);
        assert_eq!((bob_after.id, ada_after.id), (bob_before.id, ada_before.id), "the same peers");
        assert_ne!(bob_after.connection, bob_before.connection, "over a fresh connection");
        assert_ne!(ada_after.connection, ada_before.connection, "over a fresh connection");
        talk(&mut ada, &to_bob, &mut bob, &to_ada).await;
    }
    assert_eq!(
        ada.guest.send(&to_bob, "?").await,
        Err(NotSent::Dead),
        "the first channel, of two connections ago"
    );
    assert_eq!(bob.peer("ada").await.id, first.id);
}

#[tokio::test]
async fn m19_somebody_leaves_and_somebody_joins_while_the_link_is_lost() {
    let (server, mut ada, mut bob, _, _) = two().await;
    let bob_before = ada.peer("bob").await;
    let mut cleo = Person::enter(server, "cleo").await;
    ada.channel_to("cleo").await;
    cleo.channel_to("bob").await;

    ada.cut().await;
    cleo.leave().await;
    let gone = |event| {
        matches!(event, RoomEvent::Mesh(MeshEvent::Left { name, .. }) if &*name == "cleo")
            .then_some(())
    };
    bob.until("leaving", gone).await;
    let mut dora = Person::enter(server, "dora").await;
    dora.channel_to("bob").await;
    assert_eq!(ada.peer("cleo").await.name, "cleo", "no member leaves while the link is down");

    ada.mend();
    ada.until("leaving", gone).await;
    let to_dora = ada.channel_to("dora").await;
    assert_eq!(ada.peer("bob").await.id, bob_before.id, "the same");
    ada.guest.send(&to_dora, "hello").await.expect("the channel is open");
    dora.hears("hello").await;
}

#[tokio::test]
async fn only_the_owner_reads_an_inbox() {
    let server = signalling().await;
    let (client, mut events) = relink_tokio::builder(format!("ws://{server}/"))
        .relink_v1(relink_v1::Encoding::Json)
        .token(|| async { Ok::<_, std::io::Error>(relink_tokio::Token::from("mallory")) })
        .spawn()
        .expect("a good configuration");
    client.subscribe("inbox/ada", relink::Subscription::default());
    let refused = async {
        while let Some(event) = events.recv().await {
            if let relink_tokio::Event::Unsubscribed { problem, .. } = event {
                return problem.name;
            }
        }
        panic!("the end")
    };
    let name = tokio::time::timeout(LIMIT, refused).await.expect("an answer");
    assert_eq!(name, relink::session::Problem::CHANNEL_NOT_AUTHORIZED);
}
