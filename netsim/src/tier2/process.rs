//! A process in a namespace: started, killed, stopped, let go on, started again. It never outlives its parent.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// What to run. Its environment is empty but for PATH.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    args: Vec<OsString>,
}

impl Program {
    /// The program at `path`, without arguments.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), args: Vec::new() }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }
}

/// A program in a namespace, running or not. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    namespace: PathBuf,
    folder: PathBuf,
    child: Option<Child>,
}

impl Process {
    /// One that is not started yet: `name` for people and for its files in `folder`, `namespace` as
    /// [`Network::namespace`](super::Network::namespace) has it.
    #[must_use]
    pub fn new(name: &str, namespace: PathBuf, folder: &Path) -> Self {
        Self { name: name.to_owned(), namespace, folder: folder.to_owned(), child: None }
    }

    /// Starts `program`, with a pipe for [`Process::tell`]. What it writes is appended to `NAME.out` and `NAME.err`.
    ///
    /// It is in a process group of its own, so that a Ctrl-C at the terminal is for the parent alone; and the kernel
    /// kills it when the thread that started it ends.
    ///
    /// # Errors
    /// What the system says.
    pub fn start(&mut self, program: &Program) -> io::Result<()> {
        self.kill();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "nsenter"]).arg(in_namespace(&self.namespace));
        command.arg(&program.path).args(&program.args);
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.process_group(0).stdin(Stdio::piped()).stdout(self.file("out")?).stderr(self.file("err")?);
        self.child = Some(command.spawn()?);
        Ok(())
    }

    fn file(&self, ending: &str) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).open(self.written(ending))
    }

    /// The file with what it wrote: `out` or `err`.
    #[must_use]
    pub fn written(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}.{ending}", self.name))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Writes a line to its standard input.
    ///
    /// # Errors
    /// It does not run, or has closed its input.
    pub fn tell(&mut self, line: &str) -> io::Result<()> {
        let pipe = self.child.as_mut().and_then(|child| child.stdin.as_mut());
        let pipe = pipe.ok_or_else(|| io::Error::new(io::ErrorKind::BrokenPipe, "it does not run"))?;
        writeln!(pipe, "{line}")?;
        pipe.flush()
    }

    /// SIGKILL; returns when it is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // One that has ended by itself is fine too.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGSTOP: it stands still, and its kernel goes on.
    ///
    /// # Errors
    /// It does not run.
    pub fn pause(&self) -> io::Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// It does not run.
    pub fn resume(&self) -> io::Result<()> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        let not_running = || io::Error::new(io::ErrorKind::NotFound, "it does not run");
        let pid = self.id().ok_or_else(not_running)?;
        let pid = i32::try_from(pid).map_err(io::Error::other)?;
        kill(Pid::from_raw(pid), signal).map_err(io::Error::from)
    }

    /// How it ended, when it has by itself.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().ok().flatten())
    }

    /// The last lines that it wrote to its standard error, for a message about it.
    #[must_use]
    pub fn last_words(&self) -> String {
        let text = std::fs::read(self.written("err")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LAST_WORDS)..].join("\n")
    }
}

const LAST_WORDS: usize = 5;

fn in_namespace(path: &Path) -> OsString {
    let mut arg = OsString::from("--net=");
    arg.push(path);
    arg
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
