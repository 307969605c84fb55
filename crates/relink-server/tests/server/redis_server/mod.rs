//! A Redis server for one test: on loopback, on a free port, without persistence.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// A running server. Dropping it ends it.
pub(crate) struct RedisServer {
    process: Child,
    port: u16,
    folder: PathBuf,
}

impl RedisServer {
    pub(crate) fn start() -> Self {
        // Another program may take the port in between; then another port is tried.
        for _ in 0..10 {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let port = listener.local_addr().expect("its number").port();
            drop(listener);
            let folder =
                std::env::temp_dir().join(format!("relink-redis-{}-{port}", std::process::id()));
            fs::create_dir_all(&folder).expect("a folder");
            let process = Command::new("redis-server")
                .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
                .args(["--save", "", "--appendonly", "no", "--enable-debug-command", "yes"])
                .current_dir(&folder)
                .stdout(Stdio::null())
                .spawn()
                .expect("redis-server is installed: apt-get install redis-server");
            let mut server = Self { process, port, folder };
            if server.answers() {
                return server;
            }
        }
        panic!("no redis-server starts");
    }

    fn answers(&mut self) -> bool {
        while self.process.try_wait().is_ok_and(|ended| ended.is_none()) {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return true;
            }
            thread::sleep(Duration::from_millis(5));
        }
        false
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Sends a command, and returns the first line of the answer: a number, a text, or the number
    /// of lines that follow.
    pub(crate) fn ask(&self, words: &[&str]) -> String {
        let mut answer = String::new();
        BufReader::new(self.say(&[words])).read_line(&mut answer).expect("it speaks text");
        answer.trim_end().trim_start_matches([':', '+']).to_owned()
    }

    /// A value of its statistics.
    pub(crate) fn info(&self, name: &str) -> String {
        let mut answer = String::new();
        self.say(&[&["INFO"], &["QUIT"]]).read_to_string(&mut answer).expect("it speaks text");
        let line = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.expect("a line of that name").to_owned()
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        let mut answer = String::new();
        self.say(&[&["KEYS", "*"], &["QUIT"]]).read_to_string(&mut answer).expect("it speaks text");
        let mut keys: Vec<_> = answer
            .lines()
            .filter(|line| !line.starts_with(['*', '$']))
            .map(str::to_owned)
            .collect();
        keys.sort_unstable();
        keys
    }

    fn say(&self, commands: &[&[&str]]) -> TcpStream {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port)).expect("it answers");
        for words in commands {
            write!(socket, "*{}\r\n", words.len()).expect("it reads");
            for word in *words {
                write!(socket, "${}\r\n{word}\r\n", word.len()).expect("it reads");
            }
        }
        socket
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // These fail only if the server has ended already.
        _ = self.process.kill();
        _ = self.process.wait();
        _ = fs::remove_dir_all(&self.folder);
    }
}
