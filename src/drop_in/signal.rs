//! `--signal`: what is sent to a server that runs already, and which one that is.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::Path;

/// What cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignalError {
    /// No such command.
    #[error("unknown signal {0:?}: reload, reopen, ldm, quit, term and stop are accepted")]
    Unknown(String),
    /// Neither a number nor a file with one.
    #[error("invalid pid: {0}")]
    BadPid(String),
    /// Nobody to send it to.
    #[error("no nats-server processes running")]
    None,
    /// More than one, and none was chosen.
    #[error("multiple nats-server processes running: {}: choose one with --signal {command}=PID", join(pids))]
    Several {
        /// What was to be sent.
        command: String,
        /// Who could have been meant.
        pids: Vec<i32>,
    },
    /// The system does not do it.
    #[error("\nsignal {command:?} {pid}: {why}")]
    Failed {
        /// What was to be sent.
        command: String,
        /// To whom.
        pid: i32,
        /// As the system puts it.
        why: String,
    },
}

fn join(pids: &[i32]) -> String {
    pids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Sends what `text` says: `ldm`, `ldm=4711` or `ldm=/run/nats-server.pid`.
///
/// # Errors
/// [`SignalError`]; nothing was sent then.
pub fn send(text: &str) -> Result<(), SignalError> {
    let (command, target) = match text.split_once('=') {
        Some((command, target)) => (command, Some(target)),
        None => (text, None),
    };
    let pid = match target {
        Some(target) => pid_of(target).ok_or_else(|| SignalError::BadPid(target.to_owned()))?,
        None => match running()[..] {
            [] => return Err(SignalError::None),
            [pid] => pid,
            ref pids => return Err(SignalError::Several { command: command.to_owned(), pids: pids.to_vec() }),
        },
    };
    let signal = signal(command).ok_or_else(|| SignalError::Unknown(command.to_owned()))?;
    kill(Pid::from_raw(pid), signal).map_err(|error| {
        let why = error.desc().to_lowercase();
        SignalError::Failed { command: command.to_owned(), pid, why }
    })
}

fn signal(command: &str) -> Option<Signal> {
    Some(match command {
        "stop" => Signal::SIGKILL,
        "quit" => Signal::SIGINT,
        "term" => Signal::SIGTERM,
        "reopen" => Signal::SIGUSR1,
        "reload" => Signal::SIGHUP,
        "ldm" => Signal::SIGUSR2,
        _ => return None,
    })
}

/// A number, or a file with one. Never 0 or less, which would be whole groups of processes.
fn pid_of(target: &str) -> Option<i32> {
    let number = |text: &str| text.trim().parse().ok().filter(|&pid: &i32| pid > 0);
    number(target).or_else(|| number(&std::fs::read_to_string(Path::new(target)).ok()?))
}

/// The processes that run as nats-server, without this one.
fn running() -> Vec<i32> {
    let Ok(folders) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = folders.flatten().filter_map(|folder| folder.file_name().to_str()?.parse::<i32>().ok());
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let mut pids: Vec<i32> = pids.filter(|&pid| pid != own && is_server(pid)).collect();
    pids.sort_unstable();
    pids
}

fn is_server(pid: i32) -> bool {
    let Ok(line) = std::fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let mut words = line.split(|&byte| byte == 0).map(String::from_utf8_lossy);
    let is_named = |word: &str, name: &str| Path::new(word).file_name().is_some_and(|file| file == name);
    let first = words.next().unwrap_or_default();
    is_named(&first, super::PROGRAM)
        || is_named(&first, "lattice") && words.next().is_some_and(|word| word == super::PROGRAM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_processes_are_checked_before_anything_is_sent() {
        assert_eq!(send("stop=foo"), Err(SignalError::BadPid("foo".to_owned())));
        assert_eq!(send("foo=1"), Err(SignalError::Unknown("foo".to_owned())));
        for group in ["stop=0", "stop=-1", "stop="] {
            assert!(matches!(send(group), Err(SignalError::BadPid(_))), "{group}");
        }
        assert_eq!(signal("ldm"), Some(Signal::SIGUSR2));
    }
}
