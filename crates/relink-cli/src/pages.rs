//! For packagers: completions and manual pages, generated from the command line's description.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args;
use crate::exit::{Exit, Mistake};
use crate::output::unwritten;

/// The options of `relink completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relink completions zsh > ~/.zfunc/_relink
  relink completions fish | source
  relink completions bash > /etc/bash_completion.d/relink")]
pub(crate) struct CompletionArgs {
    /// The shell
    shell: Shell,
}

/// The options of `relink man`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  relink man | man -l -                       Read it
  relink man --dir /usr/local/share/man/man1  Install all")]
pub(crate) struct ManArgs {
    /// Write relink.1, relink-connect.1 and so on into this folder
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn completions(args: &CompletionArgs) -> Result<Exit, Mistake> {
    let mut page = Vec::new();
    clap_complete::generate(args.shell, &mut args::Args::command(), "relink", &mut page);
    print(&page)
}

pub(crate) fn man(args: &ManArgs) -> Result<Exit, Mistake> {
    let command = args::Args::command();
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page).map_err(Mistake::failed)?;
        return print(&page);
    };
    let written = fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(command, dir));
    written.map_err(|error| {
        Mistake::failed(format!("the pages cannot be written into {}: {error}", dir.display()))
    })?;
    Ok(Exit::Done)
}

fn print(page: &[u8]) -> Result<Exit, Mistake> {
    io::stdout().write_all(page).or_else(unwritten)?;
    Ok(Exit::Done)
}
