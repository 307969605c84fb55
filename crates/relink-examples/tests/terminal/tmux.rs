//! A terminal that a test controls.

use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

/// How often the screen is read, and how many times at most: 20 s in all.
const PERIOD: Duration = Duration::from_millis(20);
const LOOKS: u32 = 1_000;

/// A tmux server of its own, with one window. Dropping it ends what runs there.
pub(crate) struct Tmux {
    socket: String,
}

impl Tmux {
    /// Runs a shell command in a window of 76 columns and 14 rows.
    pub(crate) fn start(command: &str) -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let terminal = Self { socket: format!("relink-{}-{number}", std::process::id()) };
        terminal.run(&["-f", "/dev/null", "new-session", "-d", "-x", "76", "-y", "14", command]);
        terminal
    }

    pub(crate) fn press(&self, key: &str) {
        self.run(&["send-keys", key]);
    }

    /// Waits until these words are on the screen, and returns all of it.
    pub(crate) fn wait_for(&self, words: &str) -> String {
        for _ in 0..LOOKS {
            let screen = self.capture(&[]);
            if screen.contains(words) {
                return screen;
            }
            thread::sleep(PERIOD);
        }
        panic!("no {words:?} on the screen:\n{}", self.capture(&[]));
    }

    /// Whether the indicator has this color, by its number among the eight of a terminal.
    pub(crate) fn has_dot(&self, color: u8) -> bool {
        let screen = self.capture(&["-e"]);
        let before = screen.split('●').next().unwrap_or_default();
        before.ends_with(&format!("[38;5;{color}m")) || before.ends_with(&format!("[3{color}m"))
    }

    fn capture(&self, flags: &[&str]) -> String {
        let output = self.run(&[&["capture-pane", "-p"], flags].concat());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let output = self.command(arguments).output().expect("tmux is installed");
        assert!(
            output.status.success(),
            "tmux {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        // tmux passes these on to the command, so that colors and letters do not depend on the
        // environment of the test.
        command.env("LC_ALL", "C.UTF-8").env_remove("TMUX").env_remove("NO_COLOR");
        command.args(["-u", "-L", &self.socket]).args(arguments);
        command
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        _ = self.command(&["kill-server"]).output();
    }
}
