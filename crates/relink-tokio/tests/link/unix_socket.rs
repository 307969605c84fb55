//! A Unix socket is a transport like any other.
use std::{path::PathBuf, time::Duration};

use futures_util::SinkExt;
use relink_tokio::{Event, builder, from_tokio};
use tokio::{
    net::{UnixListener, UnixStream},
    time::timeout,
};
use tokio_tungstenite::{accept_async, tungstenite::Message};

/// A service behind a socket file greets, hangs up, and is there again.
#[tokio::test]
async fn e06_a_link_over_a_unix_socket_comes_back() {
    let folder = Folder::new();
    let path = folder.0.join("service.sock");
    let listener = UnixListener::bind(&path).expect("a socket file");
    tokio::spawn(async move {
        for visit in 1.. {
            let (socket, _) = listener.accept().await.expect("a client");
            let mut server = accept_async(socket).await.expect("a handshake");
            server.send(Message::text(format!("visit {visit}"))).await.expect("the client listens");
        }
    });

    let connect = move |_| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(from_tokio) }
    };
    let (client, mut events) = builder("ws://service/").connector(connect).spawn().expect("a link");
    let mut greetings = Vec::new();
    while greetings.len() < 2 {
        let event = timeout(Duration::from_secs(10), events.recv()).await.expect("soon");
        let event = event.expect("the link goes on");
        if let Event::Message(message) = &event {
            greetings.push(message.as_text().expect("a text").to_owned());
        }
        if let Event::Disconnected { .. } = &event {
            client.retry_now();
        }
    }
    assert_eq!(greetings, ["visit 1", "visit 2"]);
}

/// A folder of its own, gone after the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("relink-unix-socket-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}
