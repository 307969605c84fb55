//! Measurements of clients, each in a process of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

use crate::Result;
use crate::callgrind::Callgrind;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Send,
    Receive,
}

impl Direction {
    pub(crate) const ALL: [Self; 2] = [Self::Send, Self::Receive];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Receive => "receive",
        }
    }

    pub(crate) fn named(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|way| way.name() == name).ok_or_else(|| name.into())
    }
}

/// Messages of one size, one way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Job {
    pub(crate) direction: Direction,
    pub(crate) size: usize,
    pub(crate) count: u64,
}

/// The server's process. It ends with this value.
pub(crate) struct Server {
    child: Child,
    address: String,
}

impl Server {
    pub(crate) fn start(kind: &str) -> Result<Self> {
        let mut child =
            on_core(1)?.arg(kind).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut address = String::new();
        BufReader::new(child.stdout.take().ok_or("no stdout")?).read_line(&mut address)?;
        Ok(Self { child, address: address.trim().to_owned() })
    }

    /// Nanoseconds of the client's process and heap blocks, each per message.
    pub(crate) fn run(&self, peer: &str, job: Job) -> Result<(f64, f64)> {
        let [cpu, blocks] = numbers(&on_core(0)?.args(self.job(peer, job)).output()?)?;
        Ok((cpu / job.count as f64, blocks / job.count as f64))
    }

    /// Instructions per message, by valgrind.
    pub(crate) fn instructions(&self, peer: &str, job: Job) -> Result<f64> {
        let callgrind = Callgrind::new()?;
        let output = callgrind.command(&self.job(peer, job))?.output()?;
        let total: u64 = callgrind.totals(&output.stderr)?.iter().sum();
        Ok(total as f64 / job.count as f64)
    }

    /// Bytes on the heap for each of a number of idle connections.
    pub(crate) fn heap(&self, peer: &str, connections: u64) -> Result<f64> {
        let connections = connections.to_string();
        let [bytes] =
            numbers(&on_core(0)?.args(["heap", &self.address, peer, &connections]).output()?)?;
        Ok(bytes)
    }

    /// Resident bytes for each of some idle connections, and nanoseconds in some seconds.
    pub(crate) fn idle(&self, peer: &str, connections: u64, seconds: u64) -> Result<[f64; 2]> {
        let (connections, seconds) = (connections.to_string(), seconds.to_string());
        let arguments = ["idle", &self.address, peer, &connections, &seconds];
        numbers(&on_core(0)?.args(arguments).output()?)
    }

    fn job(&self, peer: &str, job: Job) -> [String; 6] {
        [
            "client".into(),
            self.address.clone(),
            peer.into(),
            job.direction.name().into(),
            job.size.to_string(),
            job.count.to_string(),
        ]
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its stdin ends, and with it the server.
        drop(self.child.stdin.take());
        self.child.wait().ok();
    }
}

/// This program, pinned to a processor, if there are at least two.
fn on_core(core: usize) -> Result<Command> {
    let program = std::env::current_exe()?;
    if std::thread::available_parallelism()?.get() < 2 {
        return Ok(Command::new(program));
    }
    let mut command = Command::new("taskset");
    command.arg("--cpu-list").arg(core.to_string()).arg(program);
    Ok(command)
}

fn numbers<const N: usize>(output: &Output) -> Result<[f64; N]> {
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: std::result::Result<Vec<f64>, _> =
        text.split_whitespace().map(str::parse).collect();
    numbers?.try_into().map_err(|_| format!("{text:?} is not {N} numbers").into())
}
