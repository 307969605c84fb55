//! This program under valgrind, which counts instructions.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::Result;

/// Begins to count, in a process that a [`Callgrind`] started. Elsewhere nothing happens.
pub(crate) fn start() {
    request(4);
}

/// Ends what [`start`] began. To count is slow, so that it is done where it matters only.
pub(crate) fn stop() {
    request(5);
}

/// Ends a part: the next one begins at zero.
pub(crate) fn end_part() {
    request(0);
}

/// A client request, as valgrind.h and callgrind.h define it.
#[cfg(target_arch = "x86_64")]
fn request(number: u64) {
    const TOOL: u64 = (b'C' as u64) << 24 | (b'T' as u64) << 16;
    let arguments = [TOOL + number, 0, 0, 0, 0, 0];
    // SAFETY: the rotations add up to two turns, and the exchange is one of a register with itself;
    // valgrind takes the sequence as a call, reads the arguments and writes rdx.
    unsafe {
        std::arch::asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") arguments.as_ptr(),
            inout("rdx") 0_u64 => _,
        );
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn request(_: u64) {}

/// One run. What it writes is removed with this value.
pub(crate) struct Callgrind {
    folder: PathBuf,
}

impl Callgrind {
    pub(crate) fn new() -> Result<Self> {
        static RUNS: AtomicU64 = AtomicU64::new(0);
        let run = format!("relink-bench-{}-{}", std::process::id(), RUNS.fetch_add(1, Relaxed));
        let folder = std::env::temp_dir().join(run);
        std::fs::create_dir(&folder)?;
        Ok(Self { folder })
    }

    pub(crate) fn command(&self, arguments: &[String]) -> Result<Command> {
        let mut command = Command::new("valgrind");
        command
            .args(["--tool=callgrind", "--instr-atstart=no"])
            .arg(format!("--callgrind-out-file={}", self.folder.join("out").display()))
            .arg(std::env::current_exe()?)
            .args(arguments);
        Ok(command)
    }

    /// The instructions of each part, the last of which ends with the process.
    pub(crate) fn totals(&self, stderr: &[u8]) -> Result<Vec<u64>> {
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
