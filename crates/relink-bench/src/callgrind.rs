//! This program under valgrind, which counts instructions.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::Result;

/// One run. What it writes is removed with this value.
pub(crate) struct Callgrind {
    folder: PathBuf,
    mark: &'static str,
}

impl Callgrind {
    /// A run whose parts begin at the calls of this function.
    pub(crate) fn new(mark: &'static str) -> Result<Self> {
        static RUNS: AtomicU64 = AtomicU64::new(0);
        let run = format!("relink-bench-{}-{}", std::process::id(), RUNS.fetch_add(1, Relaxed));
        let folder = std::env::temp_dir().join(run);
        std::fs::create_dir(&folder)?;
        Ok(Self { folder, mark })
    }

    pub(crate) fn command(&self, arguments: &[String]) -> Result<Command> {
        let mut command = Command::new("valgrind");
        command
            .arg("--tool=callgrind")
            .arg(format!("--callgrind-out-file={}", self.folder.join("out").display()))
            .arg(format!("--dump-before={}*", self.mark))
            .arg(std::env::current_exe()?)
            .args(arguments);
        Ok(command)
    }

    /// The instructions of each part, the first of which is before the first mark.
    pub(crate) fn totals(&self, stderr: &[u8]) -> Result<Vec<i64>> {
        let parts = (1..).map(|part| self.folder.join(format!("out.{part}")));
        let parts = parts.take_while(|path| path.exists()).chain([self.folder.join("out")]);
        let total = |path| {
            let text = std::fs::read_to_string(path)
                .map_err(|_| format!("valgrind says: {}", String::from_utf8_lossy(stderr)))?;
            let line = text.lines().rev().find_map(|line| line.strip_prefix("totals: "));
            Ok(line.ok_or("callgrind wrote no total")?.trim().parse()?)
        };
        parts.map(total).collect()
    }
}

impl Drop for Callgrind {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).ok();
    }
}
