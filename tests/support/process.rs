//! One process of a test: started with its output captured, never left behind.

use super::{LIMIT, wait_for};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

const TAIL: usize = 40;

/// A running process. Dropping it kills it; when its test has failed, the end of its log is printed.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

/// What a command that runs to its end has said.
#[derive(Debug)]
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Process {
    /// Starts `command`; what it writes is kept line by line.
    pub fn start(name: &str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {command:?}: {error}"));
        let log = Arc::default();
        capture("out", child.stdout.take().unwrap(), &log);
        capture("err", child.stderr.take().unwrap(), &log);
        Self { name: name.to_owned(), child, log }
    }

    /// The first line written so far, or from now on, of which `pick` makes something.
    pub fn wait_line<T>(&mut self, what: &str, mut pick: impl FnMut(&str) -> Option<T>) -> T {
        let mut seen = 0;
        wait_for(&format!("{}: {what}", self.name), LIMIT, || {
            let found = {
                let log = self.log.lock().unwrap();
                let found = log[seen..].iter().find_map(|line| pick(line.split_once(' ').unwrap().1));
                seen = log.len();
                found
            };
            if found.is_none()
                && let Some(status) = self.exited()
            {
                panic!("{} ended ({status}) before it said: {what}", self.name);
            }
            found
        })
    }

    /// The lines written so far, each behind `out` or `err`.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// True when a line written so far contains `text`.
    pub fn said(&self, text: &str) -> bool {
        self.log.lock().unwrap().iter().any(|line| line.contains(text))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, when it has.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// SIGKILL: gone at once, without a word to anyone.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, or another signal by name; returns how it ended.
    pub fn signal(&mut self, signal: &str) -> ExitStatus {
        self.tell(signal);
        wait_for(&format!("{} ends on SIG{signal}", self.name), LIMIT, || self.exited())
    }

    /// Sends a signal by name.
    pub fn tell(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", signal, &pid]).status().unwrap();
        assert!(sent.success(), "cannot send SIG{signal} to {}", self.name);
    }

    fn print_tail(&self) {
        let log = self.log.lock().unwrap();
        eprintln!("---- {} (last {TAIL} of {} lines)", self.name, log.len());
        for line in &log[log.len().saturating_sub(TAIL)..] {
            eprintln!("     {line}");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A process that has ended by itself is fine here.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            self.print_tail();
        }
    }
}

fn capture(stream: &'static str, from: impl Read + Send + 'static, log: &Arc<Mutex<Vec<String>>>) {
    let log = Arc::clone(log);
    thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            log.lock().unwrap().push(format!("{stream} {}", String::from_utf8_lossy(&line)));
        }
    });
}

/// Runs `command` to its end.
///
/// # Panics
/// When it takes longer than `limit`: it is killed then, and what it has said is in the message.
pub fn run(command: &mut Command, limit: Duration) -> Finished {
    let text = format!("{command:?}");
    let mut process = Process::start(&text, command);
    let status = wait_for(&format!("{text} ends"), limit, || process.exited());
    // The readers end with the pipes, which may be a moment after the process.
    wait_for("its output is read", limit, || (Arc::strong_count(&process.log) == 1).then_some(()));
    let of = |stream: &str| {
        let lines = process.log();
        let own = lines.iter().filter_map(|line| line.strip_prefix(stream)?.strip_prefix(' '));
        own.map(|line| format!("{line}\n")).collect()
    };
    Finished { code: status.code(), stdout: of("out"), stderr: of("err") }
}
