//! A node of relink's server, as a child.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command, ExitStatus},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{Result, child::Child, clock::Deadline};

const START: Duration = Duration::from_secs(10);
/// What a drain may take: 20 s of lingering, the node's own `drain_timeout` of 5 s, the farewells,
/// and a busy machine.
const STOP: Duration = Duration::from_secs(40);

pub(crate) struct Node {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    child: Child,
}

impl Node {
    pub(crate) fn start(name: &'static str, program: &Path, arguments: &[&str]) -> Result<Self> {
        let mut child = Child::start(name, Command::new(program).args(arguments))?;
        let line =
            child.read(Deadline::within(START))?.ok_or_else(|| format!("{name} ends at once"))?;
        let address =
            line.strip_prefix("listening ").ok_or_else(|| format!("{name} says {line}"))?;
        Ok(Self { name, address: address.parse()?, child })
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/", self.address)
    }

    /// Sends SIGTERM, as a deploy does: it sends its clients away and ends.
    pub(crate) fn terminate(&self) -> Result<()> {
        Ok(kill_process(self.pid()?, Signal::TERM)?)
    }

    pub(crate) fn wait(&mut self) -> Result<()> {
        let status: ExitStatus = self.child.wait(Deadline::within(STOP))?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("{} ended with {status}", self.name).into())
        }
    }

    /// Sends SIGKILL: it ends at once.
    pub(crate) fn kill(self) {
        drop(self.child);
    }

    /// The counters of the node.
    pub(crate) fn stats(&mut self) -> Result<Value> {
        self.child.write("stats")?;
        let line = self.child.read(Deadline::within(START))?.ok_or("the node is gone")?;
        Ok(serde_json::from_str(&line)?)
    }

    pub(crate) fn usage(&self) -> Result<Usage> {
        Usage::of(&self.child.id().to_string())
    }

    fn pid(&self) -> Result<Pid> {
        Ok(i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).ok_or("no process id")?)
    }
}

/// The resources of a process, as Linux counts them.
#[derive(Clone, Copy)]
pub(crate) struct Usage {
    /// Resident memory, in bytes.
    pub(crate) resident: u64,
    /// Processor time, in user and kernel mode.
    pub(crate) cpu: Duration,
}

impl Usage {
    /// Of a process by its id, or of this one by `self`.
    pub(crate) fn of(process: &str) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident =
            resident.and_then(|line| line.trim().strip_suffix(" kB")).ok_or("no VmRSS")?;
        // The name of the program, in parentheses, may have spaces in it; the fields are counted
        // after it.
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        let fields: Vec<&str> =
            stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |field: usize| {
            fields.get(field).ok_or("a short /proc/…/stat").map(|text| text.parse::<u64>())
        };
        let ticks = ticks(11)?? + ticks(12)??;
        let per_second = rustix::param::clock_ticks_per_second();
        Ok(Self {
            resident: resident.trim().parse::<u64>()? * 1024,
            cpu: Duration::from_millis(ticks * 1000 / per_second),
        })
    }
}
