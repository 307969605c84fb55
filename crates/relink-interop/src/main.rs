//! Checks the program `relink`, and the wire beneath it, against WebSocket programs that others
//! wrote; and many clients against relink's own server, with Redis behind it and HAProxy before it.
//!
//! `just interop` installs those programs and runs every check; `cargo test` needs none of them.

mod autobahn;
mod checks;
mod child;
mod client;
mod clock;
mod cluster;
mod deepstream;
mod event;
mod fleet;
mod haproxy;
mod load;
mod metered;
mod node;
mod redis;
mod report;
mod rolling;
mod server;

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
};

use server::Kind;

/// The result of each check: the error is a sentence for the user.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    match Options::parse(env::args_os().skip(1)).and_then(|options| options.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("relink-interop: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The command line.
struct Options {
    what: String,
    /// The program under test.
    relink: PathBuf,
    /// Where `just interop` installed the other programs.
    tools: PathBuf,
    /// The echo, as client and server, that sets the measure for Autobahn's cases.
    baseline: PathBuf,
    /// The one that must not do worse.
    candidate: PathBuf,
    /// A node of relink's server.
    node: PathBuf,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Self> {
        let what = arguments.next().ok_or(USAGE)?.to_string_lossy().into_owned();
        let here = env::current_exe()?;
        let mut options = Self {
            what,
            relink: here.with_file_name("relink"),
            tools: PathBuf::from("target/interop"),
            baseline: here.with_file_name("autobahn-tungstenite"),
            candidate: here.with_file_name("autobahn-relink"),
            node: here.with_file_name("interop-node"),
        };
        while let Some(name) = arguments.next() {
            let field = match name.to_str() {
                Some("--relink") => &mut options.relink,
                Some("--tools") => &mut options.tools,
                Some("--baseline") => &mut options.baseline,
                Some("--candidate") => &mut options.candidate,
                Some("--node") => &mut options.node,
                _ => return Err(USAGE.into()),
            };
            *field = arguments.next().ok_or(USAGE)?.into();
        }
        Ok(options)
    }

    fn run(&self) -> Result<()> {
        match self.what.as_str() {
            "ws" => self.check(Kind::Ws),
            "websockets" => self.check(Kind::Websockets),
            "deepstream" => self.relink_with(deepstream::run),
            "metered" => self.relink_with(metered::run),
            what @ ("autobahn" | "autobahn-all") => self.autobahn(what),
            "autobahn-isolated" | "autobahn-all-isolated" => {
                let (tools, baseline, candidate) = self.for_autobahn()?;
                let all = self.what.starts_with("autobahn-all");
                autobahn::run_isolated(all, &tools, &baseline, &candidate)
            }
            "cluster" => cluster::run(&existing(&self.node)?),
            "rolling" => rolling::run(&existing(&self.node)?),
            "load" => load::run(&existing(&self.node)?),
            "all" => {
                self.check(Kind::Ws)?;
                self.check(Kind::Websockets)?;
                self.relink_with(deepstream::run)?;
                self.relink_with(metered::run)?;
                self.autobahn("autobahn")?;
                let node = existing(&self.node)?;
                cluster::run(&node)?;
                rolling::run(&node)?;
                load::run(&node)
            }
            _ => Err(USAGE.into()),
        }
    }

    fn check(&self, kind: Kind) -> Result<()> {
        checks::run(&existing(&self.relink)?, &existing(&self.tools)?, kind)
    }

    fn relink_with(&self, run: fn(&Path, &Path) -> Result<()>) -> Result<()> {
        run(&existing(&self.relink)?, &existing(&self.tools)?)
    }

    fn autobahn(&self, what: &str) -> Result<()> {
        let (tools, baseline, candidate) = self.for_autobahn()?;
        autobahn::run(what, &tools, &baseline, &candidate)
    }

    fn for_autobahn(&self) -> Result<(PathBuf, PathBuf, PathBuf)> {
        Ok((existing(&self.tools)?, existing(&self.baseline)?, existing(&self.candidate)?))
    }
}

/// The absolute path of a file that a check needs.
fn existing(path: &Path) -> Result<PathBuf> {
    path.canonicalize()
        .map_err(|error| format!("{}: {error}; `just interop` provides it", path.display()).into())
}

const USAGE: &str =
    "usage: relink-interop <ws|websockets|deepstream|metered|autobahn|autobahn-all|cluster|rolling|load|all>
    [--relink PROGRAM]     the program under test (default: beside this one)
    [--tools DIR]          what `just interop` installed (default: target/interop)
    [--baseline PROGRAM]   what Autobahn is to compare with (default: autobahn-tungstenite)
    [--candidate PROGRAM]  what Autobahn is to test (default: autobahn-relink)
    [--node PROGRAM]       a node of relink's server (default: interop-node)";
