//! Ctrl-C, and on Unix SIGTERM and SIGHUP: requests to stop.

#[cfg(unix)]
use std::future::pending;
use std::io;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
#[cfg(windows)]
use tokio::signal::windows::{CtrlC, ctrl_c};

/// Listens from its creation on: no later signal ends the program by itself.
#[cfg(unix)]
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
    /// `None` if it is ignored, as with `nohup`: then it stays ignored.
    hangup: Option<Signal>,
}

#[cfg(unix)]
impl Stop {
    /// Starts to listen. Call it inside a runtime.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: if heeds_hangup() { Some(signal(SignalKind::hangup())?) } else { None },
        })
    }

    /// Waits for the next signal.
    pub(crate) async fn asked(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hangup => {}
        }
    }
}

/// Whether SIGHUP was not ignored when the program began. Outside Linux that is not known, and the
/// signal is left as it was: it ends the program at once, or is ignored.
#[cfg(unix)]
fn heeds_hangup() -> bool {
    const HANGUP: u64 = 1;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & HANGUP == 0)
}

/// Listens from its creation on: no later signal ends the program by itself.
#[cfg(windows)]
pub(crate) struct Stop(CtrlC);

#[cfg(windows)]
impl Stop {
    /// Starts to listen. Call it inside a runtime.
    pub(crate) fn listen() -> io::Result<Self> {
        ctrl_c().map(Self)
    }

    /// Waits for the next signal.
    pub(crate) async fn asked(&mut self) {
        self.0.recv().await;
    }
}
