//! Measurements, each in a process of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::Result;
use crate::callgrind::Callgrind;
use crate::peers::Peer;

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
    pub(crate) peer: Peer,
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
    pub(crate) fn start() -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("server")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut address = String::new();
        BufReader::new(child.stdout.take().ok_or("no stdout")?).read_line(&mut address)?;
        Ok(Self { child, address: address.trim().to_owned() })
    }

    fn arguments(&self, job: Job) -> [String; 6] {
        [
            "client".into(),
            self.address.clone(),
            job.peer.name().into(),
            job.direction.name().into(),
            job.size.to_string(),
            job.count.to_string(),
        ]
    }

    /// Nanoseconds of the client's thread and heap blocks, each per message.
    pub(crate) fn run(&self, job: Job) -> Result<(f64, f64)> {
        let output = Command::new(std::env::current_exe()?).args(self.arguments(job)).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        let text = String::from_utf8(output.stdout)?;
        let (cpu, blocks) = text.trim().split_once(' ').ok_or("two numbers")?;
        let each = |text: &str| {
            Ok::<_, std::num::ParseIntError>(text.parse::<u64>()? as f64 / job.count as f64)
        };
        Ok((each(cpu)?, each(blocks)?))
    }

    /// Instructions per message, by valgrind: the slope between two counts.
    pub(crate) fn instructions(&self, job: Job) -> Result<f64> {
        let few = self.collected(job)?;
        let many = self.collected(Job { count: job.count * 3, ..job })?;
        Ok((many - few) as f64 / (job.count * 2) as f64)
    }

    fn collected(&self, job: Job) -> Result<i64> {
        let callgrind = Callgrind::new("nothing")?;
        let output = callgrind.command(&self.arguments(job))?.output()?;
        callgrind.totals(&output.stderr)?.pop().ok_or_else(|| "no total".into())
    }

    /// Bytes on the heap for each of a number of idle links.
    pub(crate) fn idle(&self, peer: Peer, links: u64) -> Result<u64> {
        let output = Command::new(std::env::current_exe()?)
            .args(["idle", &self.address, peer.name(), &links.to_string()])
            .output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        Ok(String::from_utf8(output.stdout)?.trim().parse()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its stdin ends, and with it the server.
        drop(self.child.stdin.take());
        self.child.wait().ok();
    }
}
