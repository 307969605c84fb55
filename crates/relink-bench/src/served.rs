//! relink's server in a process of its own, and clients that ask so little of this process that
//! they can be many: blocking sockets, in lockstep.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use bytes::Bytes;
use relink_node::{AdmissionConfig, LivenessConfig, NodeConfig};
use relink_server::relink::{Channel, Message};
use relink_server::{Server, ServerConfig, ServerHandle};
use relink_v1::{ClientFrame, Codec, Encoding, ServerFrame};
use tokio::net::TcpListener;

use crate::callgrind::{self, Callgrind};
use crate::{Result, runtime};

const CHANNEL: &str = "all";
const SIZE: usize = 64;
/// The messages of one client that are not acknowledged yet.
const IN_FLIGHT: u64 = 16;
/// The connections of a measurement are from one address.
const MOST: usize = 20_000;
const HOUR: Duration = Duration::from_secs(3600);

/// Serves until stdin ends; each line there is a publication, or begins the measurement. Messages
/// of clients have no effect but their acknowledgement.
pub(crate) fn run() -> Result<()> {
    let admission = AdmissionConfig::default().with_max_per_address(MOST);
    // Under valgrind ten thousand clients take longer to come than one may be silent.
    let liveness = LivenessConfig::default().with_silence(HOUR).with_check_every(HOUR);
    let node = NodeConfig::default().with_liveness(liveness).with_hello_timeout(HOUR);
    let config = ServerConfig::default().with_admission(admission).with_node(node);
    runtime()?.block_on(async {
        let server = Server::builder().config(config).on_message(async |_, _| Ok(())).build()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        let relink = server.handle();
        let ended = tokio::task::spawn_blocking(move || publish(&relink));
        tokio::select! {
            served = server.serve(listener) => Ok(served?),
            // At once: what it costs to take all connections down is not measured.
            _ = ended => std::process::exit(0),
        }
    })
}

fn publish(relink: &ServerHandle) {
    for line in std::io::stdin().lines().map_while(std::io::Result::ok) {
        if line == BEGIN {
            begin();
        } else {
            relink.publish(CHANNEL, Message::from(payload())).ok();
        }
    }
}

const BEGIN: &str = "begin";

fn begin() {
    callgrind::start();
    println!("{BEGIN}");
}

fn payload() -> Bytes {
    Bytes::from_static(&[b'x'; SIZE])
}

/// Instructions for a message of one of `clients`, from its arrival to its acknowledgement.
pub(crate) fn acknowledged(clients: usize, rounds: u64) -> Result<f64> {
    let mut process = Process::start()?;
    let mut all = process.clients(clients, false)?;
    for round in 0..=rounds {
        if round == 1 {
            process.begin()?;
        }
        for client in &mut all {
            client.send_some(round * IN_FLIGHT)?;
        }
        let last = (round + 1) * IN_FLIGHT;
        for client in &mut all {
            client.wait_for(|it| matches!(it, ServerFrame::Ack { serial } if *serial == last))?;
        }
    }
    Ok(process.end(all)? as f64 / (clients as u64 * IN_FLIGHT * rounds) as f64)
}

/// Instructions for each receiver of a publication.
pub(crate) fn fan_out(receivers: usize, rounds: u64) -> Result<f64> {
    let mut process = Process::start()?;
    let mut all = process.clients(receivers, true)?;
    for round in 0..=rounds {
        if round == 1 {
            process.begin()?;
        }
        process.say("publish")?;
        for client in &mut all {
            client.wait_for(|frame| matches!(frame, ServerFrame::Publication { .. }))?;
        }
    }
    Ok(process.end(all)? as f64 / (receivers as u64 * rounds) as f64)
}

/// The server under valgrind.
struct Process {
    callgrind: Callgrind,
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    address: String,
}

impl Process {
    fn start() -> Result<Self> {
        let callgrind = Callgrind::new()?;
        let mut child = callgrind
            .command(&["served".into()])?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take().ok_or("no stdin")?;
        let stdout = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        let mut process = Self { callgrind, child, stdin, stdout, address: String::new() };
        process.address = process.hear()?;
        Ok(process)
    }

    fn clients(&self, count: usize, subscribes: bool) -> Result<Vec<Client>> {
        (0..count).map(|_| Client::new(&self.address, subscribes)).collect()
    }

    fn say(&mut self, line: &str) -> Result<()> {
        Ok(writeln!(self.stdin, "{line}")?)
    }

    fn hear(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    fn begin(&mut self) -> Result<()> {
        self.say(BEGIN)?;
        self.hear().map(drop)
    }

    /// The instructions of the server since the measurement began.
    fn end(self, clients: Vec<Client>) -> Result<u64> {
        let Self { callgrind, child, stdin, .. } = self;
        // The server ends first: what the clients' leaving costs is not asked for.
        drop(stdin);
        let output = child.wait_with_output()?;
        drop(clients);
        callgrind.totals(&output.stderr)?.pop().ok_or_else(|| "no total".into())
    }
}

/// A client that speaks CBOR.
struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    fn new(address: &str, subscribes: bool) -> Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        write!(
            stream,
            "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {}\r\n\r\n",
            relink_v1::SUBPROTOCOL
        )?;
        let mut client = Self { reader: BufReader::with_capacity(1024, stream) };
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            if client.reader.read_line(&mut line)? == 0 {
                return Err("the server refused a connection".into());
            }
        }
        client.send(&[ClientFrame::Hello { token: None, resume: None, max_message: None }])?;
        client.wait_for(|frame| matches!(frame, ServerFrame::Welcome(_)))?;
        if subscribes {
            let channel = Channel::from(CHANNEL);
            let (since, token, presence) = (None, None, None);
            client.send(&[ClientFrame::Subscribe { channel, since, token, presence }])?;
            client.wait_for(|frame| matches!(frame, ServerFrame::Subscribed { .. }))?;
        }
        Ok(client)
    }

    /// Sends as many messages as may be in flight.
    fn send_some(&mut self, before: u64) -> Result<()> {
        let message = |serial| ClientFrame::Message {
            serial: Some(serial),
            channel: None,
            payload: Message::from(payload()),
        };
        let frames: Vec<_> = (1..=IN_FLIGHT).map(|count| message(before + count)).collect();
        self.send(&frames)
    }

    fn send(&mut self, frames: &[ClientFrame]) -> Result<()> {
        let mut bytes = Vec::new();
        for frame in frames {
            let message = frame.encode(Encoding::Cbor);
            let length = u8::try_from(message.len())?;
            assert!(length < 126, "a short frame");
            // Masked with zeros.
            bytes.extend([0x82, 0x80 | length, 0, 0, 0, 0]);
            bytes.extend_from_slice(message.as_bytes());
        }
        Ok(self.reader.get_mut().write_all(&bytes)?)
    }

    fn wait_for(&mut self, is_it: impl Fn(&ServerFrame) -> bool) -> Result<()> {
        loop {
            let mut head = [0; 2];
            self.reader.read_exact(&mut head)?;
            let mut length = usize::from(head[1]);
            if length == 126 {
                let mut long = [0; 2];
                self.reader.read_exact(&mut long)?;
                length = u16::from_be_bytes(long).into();
            }
            let mut bytes = vec![0; length];
            self.reader.read_exact(&mut bytes)?;
            let (frame, _) = ServerFrame::decode(&Message::from(bytes))?;
            if is_it(&frame) {
                return Ok(());
            }
        }
    }
}
