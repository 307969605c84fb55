//! How the program ends: the exit status, and the mistakes that keep it from beginning.

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
    /// Something outside did not work: a port that is taken, a demo that did not go as promised.
    Failed = 1,
    /// The command line or a file is wrong.
    Usage = 2,
    /// The server ended the link for good.
    Stopped = 3,
    /// A limit on trying was used up.
    GaveUp = 4,
    /// A second signal did not wait for the farewell.
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

/// Why a command cannot begin: what is wrong, for people and without secrets.
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

    /// The system does not give what is needed.
    pub(crate) fn failed(message: impl Display) -> Self {
        Self { exit: Exit::Failed, message: message.to_string() }
    }

    /// Tells the person and returns the status.
    pub(crate) fn report(self) -> ExitCode {
        // Where stderr is closed there is nobody to tell.
        _ = writeln!(anstream::stderr(), "{} {}", paint(BAD, "error:"), self.message);
        self.exit.into()
    }
}
