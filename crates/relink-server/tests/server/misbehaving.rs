//! Peers that misbehave: they flood and do not read, are silent, are gone, or connect too often.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::client::{Client, PATIENCE, Running, piped, request};
use relink_node::{LivenessConfig, NodeConfig, NodeEvent};
use relink_server::{AdmissionConfig, Server, ServerConfig, ServerHandle};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep, timeout},
};
use tokio_tungstenite::tungstenite::{
    Error,
    protocol::frame::{
        FrameHeader,
        coding::{Control, Data, OpCode},
    },
};

const LONG: Duration = Duration::from_secs(3600);

/// A masked frame, as clients send them.
fn frame(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader { opcode, mask: Some([0; 4]), ..FrameHeader::default() };
    let mut bytes = Vec::new();
    header.format(payload.len() as u64, &mut bytes).expect("memory takes it");
    bytes.extend(payload);
    bytes
}

fn text(frame_of: &serde_json::Value) -> Vec<u8> {
    frame(OpCode::Data(Data::Text), frame_of.to_string().as_bytes())
}

/// A pipe to a server, after the HTTP, which is not read any more.
async fn raw(relink: &ServerHandle) -> DuplexStream {
    let (mut here, there) = duplex(16 * 1024);
    let relink = relink.clone();
    tokio::spawn(async move { relink.accept(there, None).await });
    let head = "GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
                sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                sec-websocket-protocol: relink.v1\r\n\r\n";
    here.write_all(head.as_bytes()).await.expect("it is read");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(here.read_u8().await.expect("an answer"));
    }
    here
}

/// Sends the same bytes again and again until the server closes, and returns how many it accepted.
async fn flood(pipe: &mut DuplexStream, bytes: &[u8]) -> usize {
    let mut taken = 0;
    while pipe.write_all(bytes).await.is_ok() {
        taken += bytes.len();
        assert!(taken < 64 << 20, "the server reads on and on");
    }
    taken
}

#[tokio::test(start_paused = true)]
async fn who_floods_with_pings_and_never_reads_is_bounded_and_closed() {
    let server = Server::builder().build().expect("the configuration is good");
    let ping = frame(OpCode::Control(Control::Ping), &[7; 100]);
    for says_hello in [false, true] {
        let mut pipe = raw(&server.handle()).await;
        if says_hello {
            pipe.write_all(&text(&json!({"type": "hello"}))).await.expect("it is read");
        }
        let begin = Instant::now();
        let taken = flood(&mut pipe, &ping).await;
        assert!(taken < 256 * 1024, "{taken} bytes");
        assert!(begin.elapsed() < Duration::from_secs(45), "{:?}", begin.elapsed());
        let mut last = Vec::new();
        // The pipe was full, so that the close frame may not have found room.
        _ = pipe.read_to_end(&mut last).await;
    }
    assert_eq!(server.handle().stats().node.connections, 0);
}

#[tokio::test(start_paused = true)]
async fn who_asks_and_never_reads_the_answers_is_bounded_and_closed() {
    let frames = [
        json!({"type": "heartbeat", "nonce": 1, "sent": 0}),
        json!({"type": "unsubscribe", "channel": "x"}),
    ];
    for question in frames {
        let server = Server::builder().build().expect("the configuration is good");
        let mut pipe = raw(&server.handle()).await;
        pipe.write_all(&text(&json!({"type": "hello"}))).await.expect("it is read");
        pipe.read_u8().await.expect("the beginning of a welcome");
        let begin = Instant::now();
        let taken = flood(&mut pipe, &text(&question)).await;
        assert!(taken < 16 << 20, "{question}: {taken} bytes");
        assert!(begin.elapsed() < Duration::from_secs(90), "{question}: {:?}", begin.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn who_reads_may_ping_as_much_as_it_likes() {
    let server = Server::builder().build().expect("the configuration is good");
    let pipe = raw(&server.handle()).await;
    let (mut read, mut write) = tokio::io::split(pipe);
    write.write_all(&text(&json!({"type": "hello"}))).await.expect("it is read");
    let reading = tokio::spawn(async move {
        let mut pongs = 0;
        let mut buffer = [0; 4096];
        while pongs < 20_000 * 102 {
            pongs += read.read(&mut buffer).await.expect("it is open");
        }
    });
    let ping = frame(OpCode::Control(Control::Ping), &[7; 100]);
    for _ in 0..20_100 {
        write.write_all(&ping).await.expect("it is open");
    }
    reading.await.expect("each ping has its pong");
}

#[tokio::test(start_paused = true)]
async fn bytes_of_a_message_that_is_long_under_way_are_signs_of_life() {
    let server = Server::builder().build().expect("the configuration is good");
    let mut pipe = raw(&server.handle()).await;
    pipe.write_all(&text(&json!({"type": "hello"}))).await.expect("it is read");
    let message = text(&json!({"type": "subscribe", "channel": "x".repeat(200)}));
    // Byte by byte, each 5 s after the one before: header, mask and payload.
    for byte in &message[..60] {
        pipe.write_all(&[*byte]).await.expect("it is open");
        sleep(Duration::from_secs(5)).await;
    }
    pipe.write_all(&message[60..]).await.expect("it is open");
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains("subscribed") {
        heard.push(pipe.read_u8().await.expect("it is open"));
    }
    // Half a message, and then nothing.
    pipe.write_all(&message[..20]).await.expect("it is open");
    let begin = Instant::now();
    pipe.read_to_end(&mut heard).await.expect("an end");
    let silence = begin.elapsed();
    assert!((Duration::from_secs(29)..Duration::from_secs(45)).contains(&silence), "{silence:?}");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_trickles_is_closed_where_the_application_has_a_limit() {
    let liveness = LivenessConfig::default().with_message_timeout(Some(Duration::from_secs(20)));
    let config = ServerConfig::default().with_node(NodeConfig::default().with_liveness(liveness));
    let server = Server::builder().config(config).build().expect("the configuration is good");
    let mut pipe = raw(&server.handle()).await;
    pipe.write_all(&text(&json!({"type": "hello"}))).await.expect("it is read");
    let message = text(&json!({"type": "subscribe", "channel": "x".repeat(200)}));
    let (header, payload) = message.split_at(8);
    let begin = Instant::now();
    pipe.write_all(header).await.expect("it is read");
    let mut payload = payload.iter();
    while pipe.write_all(&[*payload.next().expect("it is not whole")]).await.is_ok() {
        sleep(Duration::from_secs(1)).await;
    }
    let lasted = begin.elapsed();
    assert!((Duration::from_secs(20)..Duration::from_secs(25)).contains(&lasted), "{lasted:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_reason_is_no_utf_8_is_told_so_and_judged_by_its_code() {
    let server = Server::builder().build().expect("the configuration is good");
    for (code, resumed) in [(1000_u16, false), (1001, true), (1014, true)] {
        for reason in [&b"bad \xff"[..], b"good"] {
            let mut client = piped(&server.handle()).await;
            let welcome = client.hello().await;
            let mut events = server.handle().events();
            let said = [&code.to_be_bytes(), reason].concat();
            client.say_bytes(&frame(OpCode::Control(Control::Close), &said)).await;
            let told = events.recv().await;
            let Some(NodeEvent::Disconnected { code: told, .. }) = told else { panic!("{told:?}") };
            assert_eq!(told.0, code);
            if reason != b"good" {
                assert_eq!(client.closed().await.0, 1007, "{code}");
            }
            let again = piped(&server.handle()).await.resume(&welcome, 0).await;
            assert_eq!(again["resumed"], resumed, "{code}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn heartbeats_are_answered_while_a_handler_is_slow() {
    let server = Server::builder().on_message(|_, _| async {
        sleep(Duration::from_secs(60)).await;
        Ok(())
    });
    let server = server.build().expect("the configuration is good");
    let mut client = piped(&server.handle()).await;
    client.hello().await;
    for serial in 1..=256 {
        client.message(serial, None, "work").await;
    }
    let mut acknowledged = 0;
    for nonce in 0..60 {
        client.say(&json!({"type": "heartbeat", "nonce": nonce, "sent": 256})).await;
        loop {
            let frame = client.hear().await;
            match frame["type"].as_str() {
                Some("heartbeat_ack") => break,
                Some("ack") => acknowledged = frame["serial"].as_u64().expect("a number"),
                _ => panic!("{frame}"),
            }
        }
        sleep(Duration::from_secs(10)).await;
    }
    assert!((8..=10).contains(&acknowledged), "one a minute: {acknowledged}");
}

#[tokio::test(start_paused = true)]
async fn who_is_gone_is_noticed_while_a_handler_hangs() {
    let node = NodeConfig::default().with_max_unhandled(4);
    let server = Server::builder().config(ServerConfig::default().with_node(node));
    let server =
        server.on_message(|_, _| std::future::pending()).build().expect("a good configuration");
    for messages in [1, 4, 5, 6, 50] {
        let relink = server.handle();
        let mut events = relink.events();
        let mut client = piped(&relink).await;
        client.hello().await;
        for serial in 1..=messages {
            client.message(serial, None, "work").await;
        }
        let begin = Instant::now();
        drop(client);
        loop {
            let event = timeout(LONG, events.recv()).await.expect("it is noticed");
            if matches!(event, Some(NodeEvent::Disconnected { .. })) {
                break;
            }
        }
        assert!(begin.elapsed() < Duration::from_secs(6), "{messages}: {:?}", begin.elapsed());
    }
}

/// Every connection that is not admitted is refused or closed at once, and not when the time for
/// its handshake is over.
#[tokio::test]
async fn silent_sockets_beyond_the_limits_are_closed_at_once() {
    let limits = AdmissionConfig::default().with_max_connections(100).with_max_per_address(10);
    let config = ServerConfig::default().with_admission(limits).with_handshake_timeout(LONG);
    let server = Running::start(Server::builder().config(config)).await;
    let mut sockets = Vec::new();
    for _ in 0..200 {
        sockets.push(TcpStream::connect(server.addr).await.expect("the server listens"));
    }
    let mut held = sockets.drain(..10).collect::<Vec<_>>();
    for socket in &mut sockets {
        let mut answer = Vec::new();
        // A reset counts as a close, too.
        _ = timeout(PATIENCE, socket.read_to_end(&mut answer)).await.expect("it is closed");
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 429"), "{answer}");
    }
    assert_eq!(server.relink.stats().not_admitted, 190);
    // The admitted connections are served.
    let request = request("/");
    let client = tokio_tungstenite::client_async(request, held.remove(0)).await;
    client.expect("it is let in");
}

#[tokio::test]
async fn a_handshake_of_its_own_counts_from_its_beginning() {
    let limits = AdmissionConfig::default().with_max_connections(1);
    let config = ServerConfig::default().with_admission(limits);
    let server = Server::builder().config(config).build().expect("a good configuration");
    let never = std::future::pending::<std::io::Result<DuplexStream>>();
    let relink = server.handle();
    let first = tokio::spawn(async move { relink.accept_after(never, None).await });
    while server.handle().stats().not_admitted == 0 {
        let never = std::future::pending::<std::io::Result<DuplexStream>>();
        _ = timeout(Duration::from_millis(10), server.handle().accept_after(never, None)).await;
    }
    server.handle().drain().await;
    timeout(PATIENCE, first).await.expect("a shutdown does not wait for it").expect("no panic");
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_half_a_handshake() {
    let config = ServerConfig::default().with_handshake_timeout(LONG);
    for serves_first in [true, false] {
        let server = Server::builder().config(config).build().expect("a good configuration");
        let relink = server.handle();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr: SocketAddr = listener.local_addr().expect("its number");
        let mut half = TcpStream::connect(addr).await.expect("the server listens");
        half.write_all(b"GET / HTTP/1.1\r\nhost:").await.expect("it is sent");
        let _silent = TcpStream::connect(addr).await.expect("the server listens");
        if !serves_first {
            relink.drain().await;
        }
        let serving = tokio::spawn(server.serve(listener));
        if serves_first {
            // A complete handshake, after which the others have been accepted.
            Client::try_connect(addr, request("/")).await.expect("it is let in");
            relink.drain().await;
        }
        let served = timeout(PATIENCE, serving).await.expect("it ends");
        served.expect("no panic").expect("no error");
    }
}

#[tokio::test]
async fn the_application_is_asked_for_16_permissions_of_one_connection_at_a_time() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, peak) = (Arc::clone(&now), Arc::clone(&most));
    let server = Running::start(Server::builder().authorize(move |_, _, _| {
        let (now, most) = (Arc::clone(&counted), Arc::clone(&peak));
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            now.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        }
    }))
    .await;
    let (mut client, _) = server.hello().await;
    for number in 0..900 {
        client
            .say(&json!({"type": "subscribe", "channel": format!("room-{}", number % 300)}))
            .await;
    }
    client.say(&json!({"type": "subscribe", "channel": "last"})).await;
    while client.hear().await["channel"] != "last" {}
    assert!((1..=16).contains(&most.load(Ordering::SeqCst)), "{most:?}");
}

#[tokio::test]
async fn who_reconnects_does_not_multiply_the_calls_of_the_application() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let limits = AdmissionConfig::default().with_max_per_address(5);
    let builder = Server::builder().config(ServerConfig::default().with_admission(limits));
    let server = Running::start(builder.on_message(move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        std::future::pending()
    }))
    .await;
    for calls_before in 0..5 {
        let (mut client, _) = server.hello().await;
        client.message(1, None, "work").await;
        while calls.load(Ordering::SeqCst) == calls_before {
            tokio::task::yield_now().await;
        }
        client.close(1001).await;
    }
    match Client::try_connect(server.addr, request("/")).await {
        Err(Error::Http(response)) => assert_eq!(response.status(), 429),
        other => panic!("the places are taken by what is under way: {:?}", other.err()),
    }
    assert_eq!(calls.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn a_client_that_closes_for_a_fault_of_the_server_keeps_its_session() {
    let server = Running::with_defaults().await;
    for code in [1002, 1003, 1007, 1009, 4000, 4100] {
        let (client, welcome) = server.hello().await;
        let mut events = server.relink.events();
        client.close(code).await;
        let told = timeout(PATIENCE, events.recv()).await.expect("it is told");
        assert!(
            matches!(&told, Some(NodeEvent::Disconnected { code: with, .. }) if with.0 == code),
            "{told:?}"
        );
        let mut again = server.connect().await;
        assert_eq!(again.resume(&welcome, 0).await["resumed"], true, "{code}");
    }
}

#[tokio::test]
async fn nor_does_it_multiply_the_questions_about_channels() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let limits = AdmissionConfig::default().with_max_per_address(5);
    let builder = Server::builder().config(ServerConfig::default().with_admission(limits));
    let server = Running::start(builder.authorize(move |_, _, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        std::future::pending()
    }))
    .await;
    for calls_before in 0..5 {
        let (mut client, _) = server.hello().await;
        client.say(&json!({"type": "subscribe", "channel": "room"})).await;
        while calls.load(Ordering::SeqCst) == calls_before {
            tokio::task::yield_now().await;
        }
        client.close(1001).await;
    }
    match Client::try_connect(server.addr, request("/")).await {
        Err(Error::Http(response)) => assert_eq!(response.status(), 429),
        other => panic!("the places are taken by what is asked: {:?}", other.err()),
    }
}
