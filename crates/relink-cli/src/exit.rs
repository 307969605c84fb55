//! The exit status of the program, and the errors that keep it from starting.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use relink::ClosedReason;

use crate::style::{BAD, paint};

/// The exit status, as the help describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, or closed by the user.
    Done = 0,
    /// Something outside failed: a port that is taken, a demo that did not go as expected.
    Failed = 1,
    /// The command line or a file is wrong.
    Usage = 2,
    /// The server ended the link for good.
    Stopped = 3,
    /// A budget was used up.
    GaveUp = 4,
    /// A second signal cut the closing short.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<ClosedReason> for Exit {
    fn from(reason: ClosedReason) -> Self {
        match reason {
            ClosedReason::Requested => Self::Done,
            ClosedReason::Stopped { .. } => Self::Stopped,
            ClosedReason::GaveUp(_) => Self::GaveUp,
            ClosedReason::DriverGone => Self::Failed,
        }
    }
}

/// Why a command cannot start, for display, without secrets.
#[derive(Debug)]
pub(crate) struct Mistake {
    exit: Exit,
    message: String,
}

impl Mistake {
    /// The command line or a file is wrong.
    pub(crate) fn usage(message: impl Display) -> Self {
        Self { exit: Exit::Usage, message: message.to_string() }
    }

    /// The system failed.
    pub(crate) fn failed(message: impl Display) -> Self {
        Self { exit: Exit::Failed, message: message.to_string() }
    }

    /// Prints the error and returns the status.
    pub(crate) fn report(self) -> ExitCode {
        // If stderr is closed, the error is lost.
        _ = writeln!(anstream::stderr(), "{} {}", paint(BAD, "error:"), self.message);
        self.exit.into()
    }
}
