//! The log, line for line as nats-server writes it: `[pid] 2026/11/27 17:34:07.200951 [INF] text`.
//!
//! Test suites and tools read these lines. What the broker tells through `tracing` comes in by [`Forward`].

use super::options::LogOptions;
use chrono::{DateTime, Local, Utc};
use lattice_broker::Tracer;
use lattice_broker::env::Env;
use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::Context;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// It ends the process.
    Fatal,
    /// It failed.
    Error,
    /// It may be not what was meant.
    Warning,
    /// It is worth knowing.
    Info,
    /// It helps to find faults.
    Debug,
    /// It is what was said over a connection.
    Trace,
}

impl Level {
    fn text(self) -> &'static str {
        match self {
            Self::Fatal => "FTL",
            Self::Error => "ERR",
            Self::Warning => "WRN",
            Self::Info => "INF",
            Self::Debug => "DBG",
            Self::Trace => "TRC",
        }
    }
}

/// A file that is written to.
#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl LogFile {
    fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, bytes })
    }

    /// Moves the file aside when it has grown past `limit`, and begins a new one.
    fn rotate(&mut self, limit: u64, at: SystemTime) -> io::Result<()> {
        if limit == 0 || self.bytes < limit {
            return Ok(());
        }
        let mut aside = self.path.clone().into_os_string();
        aside.push(DateTime::<Local>::from(at).format(".%Y.%m.%d.%H.%M.%S.%9f").to_string());
        std::fs::rename(&self.path, aside)?;
        *self = Self::open(&self.path)?;
        Ok(())
    }
}

#[derive(Debug)]
struct State {
    options: LogOptions,
    /// None writes to the standard error output.
    file: Option<LogFile>,
}

/// The log. Clones write to the same one.
#[derive(Clone, Debug)]
pub struct Log {
    env: Env,
    pid: u32,
    state: Arc<Mutex<State>>,
}

impl Log {
    /// Opens the log.
    ///
    /// # Errors
    /// The file cannot be written to.
    pub fn open(env: &Env, options: &LogOptions) -> io::Result<Self> {
        let file = options.file.as_deref().map(LogFile::open).transpose()?;
        let state = Arc::new(Mutex::new(State { options: options.clone(), file }));
        Ok(Self { env: env.clone(), pid: std::process::id(), state })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes by other options from now on.
    ///
    /// # Errors
    /// The new file cannot be written to; all is as before then.
    pub fn change(&self, options: &LogOptions) -> io::Result<()> {
        let mut state = self.state();
        if options.file != state.options.file {
            state.file = options.file.as_deref().map(LogFile::open).transpose()?;
        }
        state.options = options.clone();
        Ok(())
    }

    /// Opens the file anew by its name, after somebody has moved it away. False when there is no file.
    ///
    /// # Errors
    /// It cannot be opened; what was open stays.
    pub fn reopen(&self) -> io::Result<bool> {
        let mut state = self.state();
        let Some(path) = state.options.file.clone() else { return Ok(false) };
        state.file = Some(LogFile::open(&path)?);
        Ok(true)
    }

    /// Whether lines of this level are written.
    #[must_use]
    pub fn writes(&self, level: Level) -> bool {
        match level {
            Level::Fatal | Level::Error | Level::Warning | Level::Info => true,
            Level::Debug => self.state().options.debug,
            Level::Trace => self.state().options.trace,
        }
    }

    /// Writes a line.
    pub fn write(&self, level: Level, text: &str) {
        if !self.writes(level) {
            return;
        }
        let mut state = self.state();
        let at = self.env.wall();
        let line = line(&state.options, self.pid, at, level, text);
        let limit = state.options.size_limit;
        // There is nobody to tell that the log cannot be written.
        let _ = match &mut state.file {
            None => io::stderr().write_all(line.as_bytes()),
            Some(log) => {
                log.bytes += line.len() as u64;
                log.file.write_all(line.as_bytes()).and_then(|()| log.rotate(limit, at))
            }
        };
    }

    /// A line worth knowing.
    pub fn info(&self, text: &str) {
        self.write(Level::Info, text);
    }
}

impl Tracer for Log {
    fn is_on(&self) -> bool {
        self.writes(Level::Trace)
    }

    fn payload_max(&self) -> usize {
        self.state().options.traced_max
    }

    fn line(&self, text: &str) {
        self.write(Level::Trace, text);
    }
}

fn line(options: &LogOptions, pid: u32, at: SystemTime, level: Level, text: &str) -> String {
    const TIME: &str = "%Y/%m/%d %H:%M:%S%.6f ";
    let time = match (options.time, options.utc) {
        (false, _) => String::new(),
        (true, true) => DateTime::<Utc>::from(at).format(TIME).to_string(),
        (true, false) => DateTime::<Local>::from(at).format(TIME).to_string(),
    };
    // A line is one line, whatever a client calls itself.
    let text = text.replace(['\n', '\r'], " ");
    format!("[{pid}] {time}[{}] {text}\n", level.text())
}

/// Hands what is told through `tracing` to the log.
#[derive(Debug)]
pub struct Forward(pub Log);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Forward {
    fn on_event(&self, event: &tracing::Event<'_>, _context: Context<'_, S>) {
        let level = match *event.metadata().level() {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warning,
            tracing::Level::INFO => Level::Info,
            _ => Level::Debug,
        };
        if !event.metadata().target().starts_with("lattice") || !self.0.writes(level) {
            return;
        }
        let mut words = Words::default();
        event.record(&mut words);
        self.0.write(level, &format!("{}{}", words.message, words.fields));
    }
}

#[derive(Default)]
struct Words {
    message: String,
    fields: String,
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_line_is_as_nats_server_writes_it() {
        let options =
            LogOptions { file: None, size_limit: 0, debug: false, trace: false, traced_max: 0, time: true, utc: true };
        let at = SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_800_847_200_951);
        let said = line(&options, 7, at, Level::Info, "a\nb");
        assert_eq!(said, "[7] 2026/11/27 17:34:07.200951 [INF] a b\n");
        let untimed = LogOptions { time: false, ..options };
        assert_eq!(line(&untimed, 7, at, Level::Warning, "a"), "[7] [WRN] a\n");
    }
}
