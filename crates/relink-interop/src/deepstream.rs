//! The profile `deepstream` against a real deepstream server: a login, events, heartbeats, a
//! restart.

use std::{
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use crate::{Result, child::Child, client::Client, clock::Deadline, event::field};

pub(crate) fn run(relink: &Path, tools: &Path) -> Result<()> {
    for (name, path) in [("protobuf", "deepstream"), ("JSON", "deepstream-json")] {
        let port = free_port()?;
        let url = format!("ws://127.0.0.1:{port}/{path}");
        let server = Server::start(tools, port)?;
        let mut listener = start(relink, &url, &["--channel", "news"])?;
        let mut speaker = start(relink, &url, &["--to", "news"])?;
        check(&mut listener, &mut speaker, server, || Server::start(tools, port)).map_err(|error| {
            let (listener, speaker) = (listener.transcript(), speaker.transcript());
            format!(
                "deepstream, {name}: {error}\nthe listener said:\n{listener}\nthe speaker said:\n{speaker}"
            )
        })?;
        println!(
            "ok  deepstream, {name}: logs in, speaks and hears, survives a restart and hears again"
        );
    }
    Ok(())
}

fn start(relink: &Path, url: &str, more: &[&str]) -> Result<Client> {
    let settings = [
        ["--profile", "deepstream"],
        ["--token-command", LOGIN],
        // Within the silence that the server allows, and sooner than a server starts, which takes
        // some seconds.
        ["--heartbeat-interval", "400ms"],
        ["--backoff-initial", "200ms"],
        ["--backoff-max", "500ms"],
        ["--max-attempts", "off"],
    ];
    let settings: Vec<_> = settings.iter().flatten().chain(more).copied().collect();
    Client::start(relink, url, &settings)
}

fn check(
    listener: &mut Client,
    speaker: &mut Client,
    server: Server,
    restart: impl FnOnce() -> Result<Server>,
) -> Result<()> {
    field(&listener.expect("connected")?, "is_reconnect", &false.into())?;
    field(&listener.expect("subscribed")?, "complete", &true.into())?;
    field(&speaker.expect("connected")?, "is_reconnect", &false.into())?;
    heard(listener, speaker, "hello")?;
    heard(listener, speaker, r#"{"a":[1,null]}"#)?;
    // The server closes clients that are silent for 2 s, and the link a server that answers no
    // pings.
    listener.expect_nothing(Duration::from_secs(4))?;

    drop(server);
    for client in [&mut *listener, &mut *speaker] {
        field(&client.expect("disconnected")?, "will_reconnect", &true.into())?;
    }
    let _server = restart()?;
    field(&listener.expect("connected")?, "is_reconnect", &true.into())?;
    // The server keeps nothing for clients that are away.
    field(&listener.expect("subscribed")?, "complete", &false.into())?;
    field(&speaker.expect("connected")?, "is_reconnect", &true.into())?;
    heard(listener, speaker, "and back again")?;

    for client in [listener, speaker] {
        client.hang_up();
        client.expect_end(0)?;
    }
    Ok(())
}

/// deepstream sends an event to all subscribers except the one that emits it.
fn heard(listener: &mut Client, speaker: &mut Client, words: &str) -> Result<()> {
    speaker.send(words)?;
    let message = listener.expect("message")?;
    field(&message, "channel", &"news".into())?;
    field(&message, "text", &words.into())
}

/// A running server. Dropping it kills it.
struct Server {
    _child: Child,
}

impl Server {
    fn start(tools: &Path, port: u16) -> Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("servers/deepstream.mjs");
        let mut command = Command::new("node");
        command.arg(script).arg(port.to_string());
        command.current_dir(tools.join("deepstream")).stderr(Stdio::inherit());
        let mut child = Child::start("deepstream", &mut command)?;
        let deadline = Deadline::within(PATIENCE);
        loop {
            match child.read(deadline)? {
                Some(line) if line == "started" => return Ok(Self { _child: child }),
                Some(_) => {}
                None => return Err("deepstream ended at its start".into()),
            }
        }
    }
}

/// A free port: the server has to come back on the same one.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// The token is the login data of deepstream, which is JSON, in the JSON that a token command may
/// print.
const LOGIN: &str =
    r#"printf %s '{"token":"{\"username\":\"ada\",\"password\":\"open sesame\"}"}'"#;

/// How long the server may take to start.
const PATIENCE: Duration = Duration::from_secs(30);
