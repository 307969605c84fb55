//! The program `relink`; everything it does is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    relink_cli::run()
}
