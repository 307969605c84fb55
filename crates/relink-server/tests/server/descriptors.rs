//! A process that runs out of descriptors serves its connections, and accepts others when there are
//! descriptors again.
//!
//! The server runs in a process of its own: this test program, started again.

use std::{
    env,
    io::{BufRead, BufReader, Read},
    net::{SocketAddr, TcpStream as Socket},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::client::{Client, PATIENCE, request};
use relink_server::{AdmissionConfig, Server, ServerConfig};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{net::TcpListener, time::timeout};

const CHILD: &str = "RELINK_TEST_DESCRIPTORS";
const MOST: u64 = 48;
/// More sockets than the server may have descriptors.
const SOCKETS: usize = 100;

/// Ends with the test, whatever its outcome.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// Run in its own process: serves until its stdin ends.
async fn serve() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(MOST), maximum }).expect("less is allowed");
    let config = ServerConfig::default()
        .with_admission(AdmissionConfig::default().with_max_per_address(usize::MAX))
        .with_handshake_timeout(Duration::from_secs(3600));
    let server = Server::builder().config(config).build().expect("the configuration is good");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("\nlistening {}", listener.local_addr().expect("its number"));
    let serving = tokio::spawn(server.serve(listener));
    let parent = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    parent.await.expect("no panic").expect("stdin is read");
    serving.abort();
}

fn start() -> (Process, SocketAddr) {
    let name = "descriptors::a_server_without_descriptors_serves_those_it_has_and_goes_on_when_there_are_some";
    let mut command = Command::new(env::current_exe().expect("its path"));
    command.args(["--exact", name, "--nocapture"]).env(CHILD, "1");
    let mut process =
        Process(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts"));
    let lines = BufReader::new(process.0.stdout.take().expect("it is piped")).lines();
    let mut lines = lines.map_while(Result::ok);
    let addr = lines.find_map(|line| line.strip_prefix("listening ").map(str::to_owned));
    (process, addr.expect("it listens").parse().expect("an address"))
}

#[tokio::test]
async fn a_server_without_descriptors_serves_those_it_has_and_goes_on_when_there_are_some() {
    if env::var_os(CHILD).is_some() {
        return serve().await;
    }
    let (mut process, addr) = start();
    let mut client = Client::connect(addr, "/").await;
    client.hello().await;
    // The system accepts them all, but the server not even as many as it has descriptors.
    let silent: Vec<Socket> =
        (0..SOCKETS).map(|_| Socket::connect(addr).expect("there is room")).collect();
    let mut newcomer = Box::pin(Client::try_connect(addr, request("/")));
    for number in 0..50 {
        client.subscribe(&format!("room {number}")).await;
        let waits = timeout(Duration::from_millis(5), &mut newcomer).await;
        assert!(waits.is_err(), "there is no descriptor for it");
    }
    assert!(process.0.try_wait().expect("it can be asked").is_none(), "it serves on");
    drop(silent);
    let newcomer = timeout(PATIENCE, newcomer).await.expect("there is room again");
    newcomer.expect("a handshake").hello().await;
    client.subscribe("last").await;
}
