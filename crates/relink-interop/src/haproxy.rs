//! HAProxy in front of two nodes, from Debian's package.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

use crate::{
    Result,
    child::{Child, POLL},
    clock::Deadline,
};

const START: Duration = Duration::from_secs(10);

/// Dropping it ends it.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    _child: Child,
}

impl Proxy {
    /// New connections go to the node with the fewest, among those whose port answers.
    pub(crate) fn start(folder: &Path, nodes: [SocketAddr; 2]) -> Result<Self> {
        // HAProxy does not report a port that the system chose, so a free one is chosen here.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let [a, b] = nodes;
        let config = folder.join("haproxy.cfg");
        fs::write(
            &config,
            format!(
                "global
    maxconn 4000
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    timeout tunnel 1h
    retries 3
    option redispatch 1
frontend links
    bind {address}
    default_backend nodes
backend nodes
    balance leastconn
    server a {a} check inter 100ms fall 1 rise 1
    server b {b} check inter 100ms fall 1 rise 1
"
            ),
        )?;
        let child = Child::start(
            "haproxy",
            Command::new("haproxy").arg("-db").arg("-q").arg("-f").arg(&config),
        )?;
        let deadline = Deadline::within(START);
        while TcpStream::connect(address).is_err() {
            if deadline.left().is_zero() {
                return Err("haproxy does not answer".into());
            }
            thread::sleep(POLL);
        }
        Ok(Self { address, _child: child })
    }
}
