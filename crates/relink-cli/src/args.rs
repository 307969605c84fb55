//! The command line. The options of each command are beside its code.

use clap::{Parser, Subcommand};

use crate::{connect, demo, pages, schedule, serve, style};

const EXAMPLES: &str = "\
Examples:
  relink demo                        A link's life, in 15 s
  relink connect wss://host/feed     Lines in, messages out
  relink connect --json wss://host/  The same for programs
  relink serve                       A server to play with
  relink serve --script day.toml     One with bad moments
  relink schedule                    The delays, drawn

Exit status:
  0    done, or closed by you
  1    something else went wrong
  2    a mistake in the command line or a file
  3    the server ended the link for good
  4    gave up trying (--max-attempts and other limits)
  130  a second Ctrl-C, which did not wait";

/// WebSocket links that stay up.
///
/// A WebSocket breaks: networks change, servers are deployed, tokens expire, peers fall silent.
/// relink finds out, waits as long as is good for both sides, comes back, and delivers what was
/// sent meanwhile.
#[derive(Debug, Parser)]
#[command(name = "relink", version, after_help = EXAMPLES, styles = style::HELP)]
#[command(max_term_width = 100, disable_help_subcommand = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Watch a link live through nine moments of its life (under 20 seconds, needs nothing)
    Demo(demo::Args),
    /// Stay connected to a server: lines from stdin go out, messages come to stdout
    Connect(Box<connect::Args>),
    /// Run a WebSocket server: relink.v1 or an echo, or a script of bad moments
    Serve(serve::Args),
    /// Show the delays of the next attempts, as a table with a picture
    Schedule(schedule::Args),
    /// Print the completions for a shell
    Completions(pages::CompletionArgs),
    /// Print the manual page, or write one for each command into a folder
    Man(pages::ManArgs),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }
}
