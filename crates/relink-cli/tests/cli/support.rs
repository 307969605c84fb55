//! A running `relink`: lines in, lines out; every wait has a deadline.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use relink_testing::{EventKind, Script, Server, ServerEvent};
use serde_json::Value;
use tokio::time::Instant;

/// The steps of a script, which the help and the document list.
pub(crate) const STEPS: [&str; 15] = [
    "accept",
    "refuse",
    "garbage",
    "blackhole",
    "send",
    "expect",
    "echo",
    "echo-until",
    "wait",
    "ping",
    "silent",
    "close",
    "close-no-code",
    "drop",
    "reset",
];

/// Far longer than anything should take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The program, running. Dropping it ends it.
pub(crate) struct Relink {
    process: Child,
    stdin: Option<ChildStdin>,
    out: Lines,
    err: Lines,
}

/// The result of a program that has ended.
pub(crate) struct ClosedError {
    pub(crate) status: Option<i32>,
    /// Everything that it printed.
    pub(crate) out: Vec<String>,
    pub(crate) err: Vec<String>,
}

impl Relink {
    pub(crate) fn start<'a>(args: impl IntoIterator<Item = &'a str>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relink"));
        command.args(args).env_remove("COLUMNS");
        Self::spawn(command)
    }

    /// The program piped into another one by a shell, which prints its exit status on stderr.
    pub(crate) fn piped_into(next: &str, args: &str) -> Self {
        let program = env!("CARGO_BIN_EXE_relink");
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("{{ '{program}' {args}; echo \"status $?\" >&2; }} | {next}")]);
        Self::spawn(command)
    }

    /// A command line of a shell.
    pub(crate) fn shell(script: &str) -> Self {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_relink"));
        let folder =
            program.parent().expect("it is in a folder").to_str().expect("a path in UTF-8");
        let mut command = Command::new("sh");
        command.args(["-c", &format!("PATH={folder}:$PATH; {script}")]);
        Self::spawn(command)
    }

    /// The program with a stdout that stays open and is not read.
    pub(crate) fn unread<'a>(args: impl IntoIterator<Item = &'a str>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relink"));
        command.args(args);
        Self::piped(command)
    }

    pub(crate) fn spawn(command: Command) -> Self {
        let mut relink = Self::piped(command);
        relink.out = Lines::read(relink.process.stdout.take().expect("stdout is piped"));
        relink
    }

    fn piped(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("the program starts");
        let stdin = process.stdin.take();
        let err = Lines::read(process.stderr.take().expect("stderr is piped"));
        Self { process, stdin, out: Lines::read(io::empty()), err }
    }

    /// `relink connect --json` to this server.
    pub(crate) fn connect<'a>(url: &'a str, more: &[&'a str]) -> Self {
        Self::start(["connect", "--json", url].into_iter().chain(more.iter().copied()))
    }

    /// Runs the program to its end, without input.
    pub(crate) fn run<'a>(args: impl IntoIterator<Item = &'a str>) -> ClosedError {
        let mut relink = Self::start(args);
        relink.hang_up();
        relink.end()
    }

    /// Runs the program to its end on a terminal of this width, in columns.
    pub(crate) fn run_at<'a>(
        columns: usize,
        args: impl IntoIterator<Item = &'a str>,
    ) -> ClosedError {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relink"));
        command.args(args).env("COLUMNS", columns.to_string());
        let mut relink = Self::spawn(command);
        relink.hang_up();
        relink.end()
    }

    pub(crate) fn type_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        writeln!(stdin, "{line}").expect("the program reads its stdin");
    }

    /// Closes stdin.
    pub(crate) fn hang_up(&mut self) {
        self.stdin = None;
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        let killed = Command::new("kill")
            .args([&format!("-{name}"), &id])
            .status()
            .expect("there is `kill`");
        assert!(killed.success());
    }

    /// The next line on stdout.
    pub(crate) fn line(&mut self) -> String {
        let line = self.out.next().expect("another line");
        line.unwrap_or_else(|| panic!("stdout ended; stderr: {:#?}", self.err.rest()))
    }

    /// The next line on stderr.
    pub(crate) fn status(&mut self) -> String {
        self.err.next().expect("another line").expect("stderr is open")
    }

    /// The next JSON line.
    pub(crate) fn any_event(&mut self) -> Value {
        let line = self.line();
        let event: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert!(event["t"].is_u64(), "no time: {event}");
        event
    }

    /// The next event with this name; skips others.
    pub(crate) fn event(&mut self, name: &str) -> Value {
        loop {
            let event = self.any_event();
            if event["event"] == name {
                return event;
            }
        }
    }

    /// The first line on an [`unread`](Self::unread) stdout that contains this; reads nothing after
    /// it.
    pub(crate) fn raw_line_with(&mut self, words: &str) -> String {
        let stdout = self.process.stdout.as_mut().expect("stdout is piped");
        loop {
            let (mut line, mut byte) = (Vec::new(), [0]);
            while stdout.read(&mut byte).expect("stdout can be read") > 0 && byte != *b"\n" {
                line.extend(byte);
            }
            let line = String::from_utf8(line).expect("a line in UTF-8");
            assert!(!line.is_empty(), "stdout ended; stderr: {:#?}", self.err.rest());
            if line.contains(words) {
                return line;
            }
        }
    }

    /// The next line on stderr that contains this; skips others.
    pub(crate) fn status_with(&mut self, words: &str) -> String {
        loop {
            let line = self.status();
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Waits until the program ends by itself.
    pub(crate) fn end(mut self) -> ClosedError {
        let out = self.out.rest();
        let err = self.err.rest();
        let status = self.process.wait().expect("it was started").code();
        ClosedError { status, out, err }
    }
}

impl Drop for Relink {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

impl ClosedError {
    pub(crate) fn err(&self) -> String {
        self.err.join("\n")
    }

    pub(crate) fn out(&self) -> String {
        self.out.join("\n")
    }

    /// The last JSON line.
    pub(crate) fn last_event(&self) -> Value {
        let line = self.out.last().expect("there is a line");
        serde_json::from_str(line).expect("it is JSON")
    }

    pub(crate) fn events(&self, name: &str) -> Vec<Value> {
        let events =
            self.out.iter().map(|line| serde_json::from_str::<Value>(line).expect("it is JSON"));
        events.filter(|event| event["event"] == name).collect()
    }
}

/// The lines of a pipe, read on a thread.
pub(crate) struct Lines {
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Lines {
    fn read(from: impl Read + Send + 'static) -> Self {
        let (sender, lines) = channel();
        thread::spawn(move || {
            let mut lines = BufReader::new(from).lines().map_while(Result::ok);
            // Ends when the receiver is dropped: then the pipe is closed.
            lines.all(|line| sender.send(line).is_ok());
        });
        Self { lines, seen: Vec::new() }
    }

    /// The lines that are written into a named pipe. They end when no process has it open for
    /// writing.
    pub(crate) fn named_pipe(name: &str) -> (Self, String) {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        // Fails if no earlier test has left one behind.
        _ = std::fs::remove_file(&path);
        let made = Command::new("mkfifo").arg(&path).status().expect("there is `mkfifo`");
        assert!(made.success());
        let argument = path.to_str().expect("a path in UTF-8").to_owned();
        (Self::read(Opened { path, file: None }), argument)
    }

    /// The next line; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<String>, String> {
        self.next_before(Instant::now() + PATIENCE)
    }

    fn next_before(&mut self, deadline: Instant) -> Result<Option<String>, String> {
        match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                self.seen.push(line.clone());
                Ok(Some(line))
            }
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => Err(format!("silence after {:#?}", self.seen)),
        }
    }

    /// Reads to the end, and returns everything from the start on.
    fn rest(&mut self) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        while self.next_before(deadline).expect("an end").is_some() {}
        std::mem::take(&mut self.seen)
    }
}

/// A file that is opened when it is read: opening a named pipe waits for a writer.
struct Opened {
    path: PathBuf,
    file: Option<File>,
}

impl Read for Opened {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &mut self.file {
            Some(file) => file.read(into),
            None => self.file.insert(File::open(&self.path)?).read(into),
        }
    }
}

pub(crate) fn server(script: impl Into<Script>) -> Server {
    Server::spawn_thread(script).expect("loopback has a free port")
}

/// Waits until the server has seen this.
pub(crate) fn seen(server: &Server, what: impl Fn(&EventKind) -> bool) -> Vec<ServerEvent> {
    server
        .wait_for_blocking(|log| log.iter().any(|event| what(&event.kind)), PATIENCE)
        .expect("the server sees it")
}

/// The text messages that the server has seen.
pub(crate) fn texts(server: &Server) -> Vec<String> {
    let text =
        |event: ServerEvent| if let EventKind::Text(text) = event.kind { Some(text) } else { None };
    server.events().into_iter().filter_map(text).collect()
}

/// A file of this test's own.
pub(crate) fn file(name: &str, content: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, content).expect("the target folder can be written");
    path
}

/// The same as an argument.
pub(crate) fn file_name(name: &str, content: &str) -> String {
    file(name, content).to_str().expect("a path in UTF-8").to_owned()
}
