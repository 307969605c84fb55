//! Ctrl-C, and SIGTERM where there is such a thing: the user's word that it is enough.

use std::io;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
#[cfg(windows)]
use tokio::signal::windows::{CtrlC, ctrl_c};

/// Listens from the moment it is made: no signal after that ends the program by itself.
#[cfg(unix)]
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

#[cfg(unix)]
impl Stop {
    /// Begins to listen. Call it inside a runtime.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next signal.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Listens from the moment it is made: no signal after that ends the program by itself.
#[cfg(windows)]
pub(crate) struct Stop(CtrlC);

#[cfg(windows)]
impl Stop {
    /// Begins to listen. Call it inside a runtime.
    pub(crate) fn listen() -> io::Result<Self> {
        ctrl_c().map(Self)
    }

    /// Waits for the next signal.
    pub(crate) async fn asked(&mut self) {
        self.0.recv().await;
    }
}
