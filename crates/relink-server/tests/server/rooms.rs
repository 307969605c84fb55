//! Channels with members that do not read, over small pipes.

use std::sync::{Arc, OnceLock};

use crate::client::{Running, piped};
use relink_node::{HistoryConfig, NodeConfig};
use relink_server::relink::session::{Secret, Text};
use relink_server::relink::{CloseCode, CloseFrame, Message, SessionId};
use relink_server::{Context, Server, ServerConfig, ServerHandle, User};
use serde_json::json;
use tokio::sync::Notify;

/// No member that is behind gets a list of its own; the one that reads gets all of it.
#[tokio::test]
async fn a_room_of_members_who_do_not_read_costs_a_page_each_and_is_open_to_those_who_do() {
    let node = NodeConfig::default().with_max_outbound_bytes(64 * 1024);
    let server =
        Running::start(Server::builder().config(ServerConfig::default().with_node(node))).await;
    let mut strangers = Vec::new();
    for number in 0..60 {
        let mut stranger = piped(&server.relink).await;
        stranger.hello().await;
        let words = format!("{number:04}").repeat(1024);
        stranger.say(&json!({"type": "subscribe", "channel": "lobby", "presence": words})).await;
        strangers.push(stranger);
    }
    let (mut ada, _) = server.hello().await;
    ada.say(&json!({"type": "subscribe", "channel": "lobby", "presence": "hello"})).await;
    ada.expect("subscribed").await;
    let (mut listed, mut pages) = (0, 0);
    loop {
        let page = ada.expect("members").await;
        assert!(page.to_string().len() < 128 * 1024);
        listed += page["members"].as_array().expect("a list").len();
        pages += 1;
        if page["more"] != true {
            break;
        }
    }
    assert!(listed >= 61 && pages > 10, "{listed} members in {pages} pages");
    // A frame or two beyond the bound, for each.
    let waits = server.relink.stats().node.outbound_bytes;
    assert!(waits < 61 * (64 + 16) * 1024, "{waits}");
}

#[tokio::test]
async fn a_client_that_fills_channel_after_channel_hears_that_there_is_no_room() {
    let history = HistoryConfig::default().with_user_bytes(1 << 20);
    let store = relink_server::MemoryHistory::new(history).expect("a good configuration");
    let server = Running::start(Server::builder().history(store)).await;
    let (mut mallory, _) = server.hello().await;
    let words = "x".repeat(100_000);
    for serial in 1..=30 {
        mallory.message(serial, Some(&format!("room {serial}")), &words).await;
        let said = mallory.hear().await;
        assert_eq!(said["type"], if serial <= 10 { "ack" } else { "rejected" }, "{said}");
        assert!(serial <= 10 || said["problem"]["name"] == "limit_exceeded", "{said}");
    }
}

/// A handler begins where its message was read. It must not find the node locked, and when it
/// waits, the connection goes on without it.
#[tokio::test]
async fn a_handler_may_use_the_server_and_may_wait() {
    let relink = Arc::new(OnceLock::<ServerHandle>::new());
    let goes_on = Arc::new(Notify::new());
    let handler = {
        let (relink, goes_on) = (Arc::clone(&relink), Arc::clone(&goes_on));
        move |context: Context, message: Message| {
            let (relink, goes_on) = (Arc::clone(&relink), Arc::clone(&goes_on));
            async move {
                let relink = relink.get().expect("it was started");
                assert_eq!(relink.stats().node.connections, 1);
                relink.publish("lobby", message).expect("it is short");
                if context.serial() == Some(2) {
                    goes_on.notified().await;
                }
                Ok(())
            }
        }
    };
    let server = Running::start(Server::builder().on_message(handler)).await;
    relink.set(server.relink.clone()).expect("once");
    let (mut ada, _) = server.hello().await;
    for serial in 1..=3 {
        ada.message(serial, None, "hello").await;
    }
    assert_eq!(ada.expect("ack").await["serial"], 1);
    ada.say(&json!({"type": "heartbeat", "nonce": 7, "sent": 3})).await;
    assert_eq!(ada.expect("heartbeat_ack").await["nonce"], 7, "while the second waits");
    goes_on.notify_one();
    while ada.expect("ack").await["serial"] != 3 {}
}

/// What an administrator asks: who is in this room, and where is this user?
#[tokio::test]
async fn the_members_of_a_channel_and_the_sessions_of_a_user_are_told() {
    let server = Running::start(Server::builder().authenticate(by_name)).await;
    let lobby = "lobby";
    assert_eq!(server.relink.members(lobby).await.expect("in memory"), []);
    let mut sessions = Vec::new();
    let mut clients = Vec::new();
    for (name, presence) in [("ada", Some("here")), ("ada", None), ("bob", Some("there"))] {
        let mut client = server.connect().await;
        client.say(&json!({"type": "hello", "token": name})).await;
        let welcome = client.expect("welcome").await;
        sessions.push(welcome["session"].as_str().expect("an id").to_owned());
        let mut subscribe = json!({"type": "subscribe", "channel": lobby});
        if let Some(presence) = presence {
            subscribe["presence"] = presence.into();
        }
        client.say(&subscribe).await;
        client.expect("subscribed").await;
        clients.push(client);
    }
    let members = server.relink.members(lobby).await.expect("in memory");
    let mut told: Vec<_> =
        members.iter().map(|it| (&*it.user, it.info.as_ref().map(Text::as_str))).collect();
    told.sort_unstable();
    assert_eq!(told, [("ada", Some("here")), ("bob", Some("there"))]);
    assert_eq!(server.relink.sessions("ada"), [&*sessions[0], &*sessions[1]].map(SessionId::from));
    assert_eq!(server.relink.sessions("bob"), [SessionId::from(&*sessions[2])]);
    assert_eq!(server.relink.sessions("eve"), []);

    let mut events = server.relink.events();
    drop(clients.pop());
    while !server.relink.sessions("bob").is_empty() {
        events.recv().await.expect("bob is gone soon");
    }
    assert_eq!(server.relink.members(lobby).await.expect("in memory").len(), 2, "for the grace");
}

async fn by_name(token: Option<Secret>) -> Result<User, CloseFrame> {
    token.map(|token| User::from(token.expose())).ok_or_else(|| CloseFrame::from(CloseCode(4001)))
}
