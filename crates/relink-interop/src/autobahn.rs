//! The Autobahn test suite: the same cases through relink and through tungstenite alone, compared.
//!
//! Autobahn's server listens on every address, so everything here runs in a network of its own that
//! has nothing but loopback, and in a process namespace that ends with it.

use std::{
    env, fs,
    fs::File,
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::json;

use crate::{
    Result,
    child::{Child, POLL},
    clock::Deadline,
    report::Reports,
};

/// The subcommand that `run` calls inside the network of its own.
pub(crate) const ISOLATED: &str = "autobahn-isolated";

/// Runs this program again where nobody else can reach what it starts.
pub(crate) fn run(tools: &Path, baseline: &Path, candidate: &Path) -> Result<()> {
    let status = Command::new("unshare")
        .args(["--net", "--pid", "--fork", "--kill-child", "--"])
        .args(["sh", "-c", "ip link set lo up && exec \"$@\"", "sh"])
        .arg(env::current_exe()?)
        .arg(ISOLATED)
        .args([Path::new("--tools"), tools])
        .args([Path::new("--baseline"), baseline])
        .args([Path::new("--candidate"), candidate])
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("unshare (util-linux) does not start: {error}"))?;
    if status.success() { Ok(()) } else { Err("Autobahn: failed, as said above".into()) }
}

/// Runs the cases with both clients and compares the reports.
pub(crate) fn run_isolated(tools: &Path, baseline: &Path, candidate: &Path) -> Result<()> {
    require_isolation()?;
    let folder = tools.join("autobahn-reports");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir(&folder)?;
    let _server = start_server(tools, &folder)?;
    let baseline = run_cases(baseline)?;
    let candidate = run_cases(candidate)?;

    let reports = Reports::parse(&fs::read_to_string(folder.join("index.json"))?)?;
    for agent in [&baseline, &candidate] {
        println!("    Autobahn: {agent}: {}", reports.summary(agent)?);
    }
    let worse = reports.worse(&baseline, &candidate)?;
    if worse.is_empty() {
        println!("ok  Autobahn: no case of {candidate} is worse than {baseline}'s");
        Ok(())
    } else {
        let list = worse.join("\n  ");
        let folder = folder.display();
        Err(format!("Autobahn: worse than {baseline}:\n  {list}\nreports: {folder}").into())
    }
}

/// Autobahn's server may be started only where loopback is the whole network.
fn require_isolation() -> Result<()> {
    let devices = fs::read_to_string("/proc/self/net/dev")?;
    let mut names = devices.lines().skip(2).filter_map(|line| line.split(':').next());
    if names.all(|name| name.trim() == "lo") {
        Ok(())
    } else {
        Err("this network has more than loopback; use the subcommand `autobahn`".into())
    }
}

fn start_server(tools: &Path, folder: &Path) -> Result<Child> {
    let settings = json!({
        "url": format!("ws://{ADDRESS}"),
        "outdir": folder,
        "cases": ["*"],
        // Compression, which neither client offers.
        "exclude-cases": ["12.*", "13.*"],
    });
    let file = folder.join("fuzzingserver.json");
    fs::write(&file, settings.to_string())?;
    let suite = tools.join("autobahn");
    let mut command = Command::new(suite.join("python"));
    command
        .arg(suite.join("bin/wstest"))
        .args(["--mode", "fuzzingserver", "--spec"])
        .arg(file)
        .env("PYTHONPATH", &suite)
        .current_dir(folder)
        .stderr(File::create(folder.join("server.log"))?);
    let server = Child::start("wstest", &mut command)?;
    let deadline = Deadline::within(START);
    while TcpStream::connect(ADDRESS).is_err() {
        if deadline.left().is_zero() {
            return Err("Autobahn's server does not listen; see its server.log".into());
        }
        thread::sleep(POLL);
    }
    Ok(server)
}

/// Runs every case with one client; its name is the agent's name in the reports.
fn run_cases(client: &Path) -> Result<String> {
    let agent = client.file_name().ok_or("a client without a name")?.to_string_lossy().into_owned();
    let mut command = Command::new(client);
    command.arg(format!("ws://{ADDRESS}")).arg(&agent);
    let status = Child::start(&agent, &mut command)?.wait(Deadline::within(ALL_CASES))?;
    if status.success() { Ok(agent) } else { Err(format!("{agent} ended with {status}").into()) }
}

/// Fixed, because the network it stands in holds nothing else.
const ADDRESS: &str = "127.0.0.1:9001";

const START: Duration = Duration::from_secs(30);
const ALL_CASES: Duration = Duration::from_secs(300);
