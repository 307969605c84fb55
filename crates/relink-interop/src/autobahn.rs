//! The Autobahn test suite, with relink as a client and as a server: the same cases as tungstenite
//! alone, compared; and those of compression, which tungstenite does not have.
//!
//! Autobahn's server listens on every address, so everything here runs in a network namespace that
//! has only loopback, and in a process namespace that ends with it.

use std::{
    env, fs,
    fs::File,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    Result,
    child::{Child, POLL},
    clock::Deadline,
    report::Reports,
};

/// All cases of compression take half an hour. These have each kind of data, each size and each set
/// of parameters once.
const SOME_OF_COMPRESSION: [&str; 14] = [
    "12.1.1", "12.1.10", "12.2.5", "12.3.3", "12.4.8", "12.5.17", "13.1.2", "13.2.7", "13.3.9",
    "13.4.4", "13.5.11", "13.6.6", "13.7.1", "13.7.18",
];

/// Runs this program again, with a subcommand for that, in a network namespace, so that what it
/// starts cannot be reached from outside.
pub(crate) fn run(what: &str, tools: &Path, baseline: &Path, candidate: &Path) -> Result<()> {
    let status = Command::new("unshare")
        .args(["--net", "--pid", "--fork", "--kill-child", "--"])
        .args(["sh", "-c", "ip link set lo up && exec \"$@\"", "sh"])
        .arg(env::current_exe()?)
        .arg(format!("{what}-isolated"))
        .args([Path::new("--tools"), tools])
        .args([Path::new("--baseline"), baseline])
        .args([Path::new("--candidate"), candidate])
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("unshare (util-linux) does not start: {error}"))?;
    if status.success() { Ok(()) } else { Err("Autobahn: failed, as said above".into()) }
}

/// Runs the cases in both roles, without compression and with it.
pub(crate) fn run_isolated(
    all: bool,
    tools: &Path,
    baseline: &Path,
    candidate: &Path,
) -> Result<()> {
    require_isolation()?;
    let suite = Suite::new(tools)?;
    for role in [Role::Client, Role::Server] {
        let baseline = suite.run(role, baseline, &Cases::Plain)?;
        let candidate = suite.run(role, candidate, &Cases::Plain)?;
        none_is_bad(candidate.worse(&baseline), &format!("as a {}, worse", role.name()))?;
    }
    let compressed = if all { Cases::AllOfCompression } else { Cases::SomeOfCompression };
    for role in [Role::Client, Role::Server] {
        let reports = suite.run(role, candidate, &compressed)?;
        none_is_bad(reports.failed(), &format!("compressed, as a {}, failed", role.name()))?;
    }
    println!("ok  Autobahn: every case is as good as it has to be");
    Ok(())
}

fn none_is_bad(cases: Vec<String>, how: &str) -> Result<()> {
    let list = cases.join("\n  ");
    if cases.is_empty() { Ok(()) } else { Err(format!("Autobahn: {how}:\n  {list}").into()) }
}

/// The role of a program under test.
#[derive(Clone, Copy)]
enum Role {
    Client,
    Server,
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

enum Cases {
    Plain,
    SomeOfCompression,
    AllOfCompression,
}

impl Cases {
    /// The patterns of the cases, and of those to exclude, for Autobahn.
    fn patterns(&self) -> (&[&'static str], &[&'static str]) {
        match self {
            Self::Plain => (&["*"], &["12.*", "13.*"]),
            Self::SomeOfCompression => (&SOME_OF_COMPRESSION, &[]),
            Self::AllOfCompression => (&["12.*", "13.*"], &[]),
        }
    }

    const fn is_compressed(&self) -> bool {
        !matches!(self, Self::Plain)
    }
}

/// The installed Autobahn, and the folder of its reports.
struct Suite {
    installed: PathBuf,
    reports: PathBuf,
}

impl Suite {
    fn new(tools: &Path) -> Result<Self> {
        let reports = tools.join("autobahn-reports");
        if reports.exists() {
            fs::remove_dir_all(&reports)?;
        }
        Ok(Self { installed: tools.join("autobahn"), reports })
    }

    /// Runs these cases with a program; its name is the agent's name in the reports.
    fn run(&self, role: Role, program: &Path, cases: &Cases) -> Result<Reports> {
        let agent = program.file_name().ok_or("a program without a name")?.to_string_lossy();
        let how = if cases.is_compressed() { "-compressed" } else { "" };
        let folder = self.reports.join(format!("{agent}-{}{how}", role.name()));
        fs::create_dir_all(&folder)?;
        match role {
            Role::Client => self.try_client(program, &agent, cases, &folder)?,
            Role::Server => self.try_server(program, &agent, cases, &folder)?,
        }
        let json = fs::read_to_string(folder.join("index.json"))?;
        let reports = Reports::parse(&json, &agent)?;
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        println!("    Autobahn: {name}: {}", reports.summary());
        Ok(reports)
    }

    fn try_client(&self, program: &Path, agent: &str, cases: &Cases, folder: &Path) -> Result<()> {
        let (cases_in, cases_out) = cases.patterns();
        let spec = json!({
            "url": format!("ws://{ADDRESS}"),
            "outdir": folder,
            "cases": cases_in,
            "exclude-cases": cases_out,
        });
        let _autobahn = self.start("fuzzingserver", &spec, folder)?;
        wait_for_listener()?;
        let mut client = Command::new(program);
        client.args(["client", &format!("ws://{ADDRESS}"), agent]);
        client.args(cases.is_compressed().then_some("deflate"));
        let status = Child::start(agent, &mut client)?.wait(Deadline::within(ALL_CASES))?;
        if status.success() { Ok(()) } else { Err(format!("{agent} ended with {status}").into()) }
    }

    fn try_server(&self, program: &Path, agent: &str, cases: &Cases, folder: &Path) -> Result<()> {
        let mut server = Command::new(program);
        server.args(["server", ADDRESS]).args(cases.is_compressed().then_some("deflate"));
        let _server = Child::start(agent, &mut server)?;
        wait_for_listener()?;
        let (cases_in, cases_out) = cases.patterns();
        let spec = json!({
            "outdir": folder,
            "servers": [{ "agent": agent, "url": format!("ws://{ADDRESS}") }],
            "cases": cases_in,
            "exclude-cases": cases_out,
        });
        let mut autobahn = self.start("fuzzingclient", &spec, folder)?;
        let status = autobahn.wait(Deadline::within(ALL_CASES))?;
        if status.success() { Ok(()) } else { Err(format!("wstest ended with {status}").into()) }
    }

    fn start(&self, mode: &str, spec: &Value, folder: &Path) -> Result<Child> {
        let file = folder.join("spec.json");
        fs::write(&file, spec.to_string())?;
        let mut command = Command::new(self.installed.join("python"));
        command
            .arg(self.installed.join("bin/wstest"))
            .args(["--mode", mode, "--spec"])
            .arg(file)
            .env("PYTHONPATH", &self.installed)
            .current_dir(folder)
            .stderr(File::create(folder.join("wstest.log"))?);
        Child::start("wstest", &mut command)
    }
}

fn wait_for_listener() -> Result<()> {
    let deadline = Deadline::within(START);
    while TcpStream::connect(ADDRESS).is_err() {
        if deadline.left().is_zero() {
            return Err("the server does not listen; see the log beside its reports".into());
        }
        thread::sleep(POLL);
    }
    Ok(())
}

/// Fails unless loopback is the only network: Autobahn's server may not be started otherwise.
fn require_isolation() -> Result<()> {
    let devices = fs::read_to_string("/proc/self/net/dev")?;
    let mut names = devices.lines().skip(2).filter_map(|line| line.split(':').next());
    if names.all(|name| name.trim() == "lo") {
        Ok(())
    } else {
        Err("this network has more than loopback; use the subcommand `autobahn`".into())
    }
}

/// Fixed, as nothing else listens in this network namespace.
const ADDRESS: &str = "127.0.0.1:9001";

const START: Duration = Duration::from_secs(30);
const ALL_CASES: Duration = Duration::from_secs(3600);
