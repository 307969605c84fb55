//! A Redis server for one check, from Debian's package.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{self, Command},
    thread,
    time::Duration,
};

use crate::{
    Result,
    child::{Child, POLL},
    clock::Deadline,
};

const START: Duration = Duration::from_secs(10);

/// Keeps nothing on disk. Dropping it ends it.
pub(crate) struct Redis {
    socket: PathBuf,
    folder: Folder,
    _child: Child,
}

impl Redis {
    pub(crate) fn start() -> Result<Self> {
        let folder = Folder::new("redis")?;
        // A Unix socket needs no free port.
        let socket = folder.path().join("redis.sock");
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--loglevel", "warning"]);
        command.arg("--unixsocket").arg(&socket).arg("--dir").arg(folder.path());
        let child = Child::start("redis-server", &mut command)?;
        let redis = Self { socket, folder, _child: child };
        let deadline = Deadline::within(START);
        while redis.ask::<String>(&redis::cmd("PING")).is_err() {
            if deadline.left().is_zero() {
                return Err("redis-server does not answer".into());
            }
            thread::sleep(POLL);
        }
        Ok(redis)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.socket.display())
    }

    /// Everything that is stored of a channel, in order: offsets and payloads, read without relink.
    pub(crate) fn channel(&self, channel: &str) -> Result<Vec<(u64, String)>> {
        let mut command = redis::cmd("XRANGE");
        command.arg(format!("relink:log:c:{channel}")).arg("-").arg("+");
        let entries: Vec<(String, Vec<(String, String)>)> = self.ask(&command)?;
        let kept = entries.into_iter().map(|(id, fields)| {
            let offset = id.strip_suffix("-0").and_then(|offset| offset.parse().ok());
            let payload =
                fields.into_iter().find(|(name, _)| name == "payload").map(|(_, payload)| payload);
            offset
                .zip(payload)
                .ok_or_else(|| format!("the entry {id} of {channel} is not as documented").into())
        });
        kept.collect()
    }

    fn ask<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> redis::RedisResult<T> {
        command.query(&mut redis::Client::open(self.url())?.get_connection()?)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// A temporary folder. Dropping it removes it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(what: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("relink-interop-{what}-{}", process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that is left in /tmp does no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}
