//! The life of a link to a server that others wrote.

use std::{path::Path, time::Duration};

use crate::{
    Result,
    client::Client,
    event::field,
    server::{Kind, Server},
};

pub(crate) fn run(relink: &Path, tools: &Path, kind: Kind) -> Result<()> {
    for (name, settings, check) in CHECKS {
        let mut server = Server::start(kind, tools)?;
        let mut client = Client::start(relink, server.url(), settings)?;
        check(&mut client, &mut server).map_err(|error| {
            format!("{kind}: {name}: {error}\nrelink said:\n{}", client.transcript())
        })?;
        server.quit()?;
        println!("ok  {kind}: {name}");
    }
    Ok(())
}

type Check = fn(&mut Client, &mut Server) -> Result<()>;

const CHECKS: [(&str, &[&str], Check); 3] = [
    (
        "survives a lost connection and a going-away, and ends at a kick",
        &["--backoff-initial", "500ms", "--backoff-max", "1s"],
        losses_and_the_end,
    ),
    (
        "its heartbeats are answered",
        &["--heartbeat-interval", "300ms", "--heartbeat-timeout", "300ms"],
        heartbeats,
    ),
    ("the end of stdin closes with 1000, after everything was sent", &[], hang_up),
];

fn losses_and_the_end(client: &mut Client, server: &mut Server) -> Result<()> {
    connected(client, false)?;
    echoed(client, "hello")?;

    server.terminate()?;
    field(&client.expect("disconnected")?, "will_reconnect", &true.into())?;
    client.send("sent while it was down")?;
    connected(client, true)?;
    field(&client.expect("message")?, "text", &"sent while it was down".into())?;

    server.close(1001, "a deploy")?;
    let lost = client.expect("disconnected")?;
    field(&lost, "code", &1001.into())?;
    field(&lost, "will_reconnect", &true.into())?;
    connected(client, true)?;
    echoed(client, "and back again")?;

    server.close(4020, "kicked")?;
    field(&client.expect_end(3)?, "code", &4020.into())
}

fn heartbeats(client: &mut Client, server: &mut Server) -> Result<()> {
    connected(client, false)?;
    server.expect("open")?;
    client.expect_nothing(Duration::from_millis(1500))?;
    client.hang_up();
    client.expect_end(0)?;
    let pings = server.expect("close 1000")?.iter().filter(|line| *line == "ping").count();
    if pings < 3 {
        return Err(
            format!("the server saw {pings} pings in 1.5 s, one is due every 300 ms").into()
        );
    }
    Ok(())
}

fn hang_up(client: &mut Client, server: &mut Server) -> Result<()> {
    client.send("sent before it was up")?;
    client.hang_up();
    connected(client, false)?;
    client.expect_end(0)?;
    server.expect("message sent before it was up")?;
    server.expect("close 1000").map(drop)
}

fn connected(client: &mut Client, is_reconnect: bool) -> Result<()> {
    field(&client.expect("connected")?, "is_reconnect", &is_reconnect.into())
}

fn echoed(client: &mut Client, text: &str) -> Result<()> {
    client.send(text)?;
    field(&client.expect("message")?, "text", &text.into())
}
