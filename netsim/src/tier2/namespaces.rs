//! Network namespaces with a TUN device in each: made, entered, and removed again, also those of runs that died.

use super::shape::{HOSTS_MAX, PACKET_MAX, address};
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use tun_rs::{DeviceBuilder, SyncDevice};

/// Where `ip netns` keeps them.
const FOLDER: &str = "/run/netns";
/// `lnsim-PID-NUMBER-HOST`.
const PREFIX: &str = "lnsim-";
const DEVICE: &str = "mesh";
/// All addresses that hosts may have are in one network.
const PREFIX_BITS: u8 = 16;
/// Programs that are needed, and the packages that have them.
const TOOLS: [(&str, &str); 4] =
    [("ip", "iproute2"), ("nsenter", "util-linux"), ("setpriv", "util-linux"), ("chrt", "util-linux")];

/// Why there are no namespaces here.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// Not root, or root without the right to it.
    #[error("network namespaces are not to be had: {reason}")]
    NotAllowed {
        /// What the system said.
        reason: String,
    },
    /// No TUN devices.
    #[error("TUN devices are not to be had: /dev/net/tun: {reason}")]
    NoTun {
        /// What the system said.
        reason: String,
    },
    /// A program is missing.
    #[error("the program `{tool}` is not in PATH")]
    NoTool {
        /// Its name.
        tool: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// More hosts than addresses.
    #[error("{hosts} hosts are too many for one network: at most {HOSTS_MAX}")]
    TooMany {
        /// As asked for.
        hosts: usize,
    },
    /// Anything else that the system refused.
    #[error("cannot {what}: {reason}")]
    System {
        /// What was tried.
        what: String,
        /// What the system said.
        reason: String,
    },
}

impl NamespaceError {
    /// What the user can do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::NotAllowed { .. } => {
                "the same command as root (sudo); in a container: docker run --cap-add NET_ADMIN \
                --cap-add SYS_ADMIN --security-opt apparmor=unconfined --device /dev/net/tun"
                    .to_owned()
            }
            Self::NoTun { .. } => {
                "modprobe tun; in a container: docker run --cap-add NET_ADMIN --device /dev/net/tun".to_owned()
            }
            Self::NoTool { package, .. } => format!("apt-get install {package}"),
            Self::TooMany { .. } => "fewer nodes".to_owned(),
            Self::System { .. } => "ip netns list, to see what is there".to_owned(),
        }
    }

    pub(crate) fn system(what: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self::System { what: what.into(), reason: reason.to_string() }
    }
}

/// Some namespaces, one for each host. Dropping this ends what runs in them and removes them.
#[derive(Debug)]
pub(crate) struct Namespaces {
    names: Vec<String>,
}

impl Namespaces {
    /// Makes one for each of `hosts`, with a device that has the host's address. Removes what dead runs have left.
    pub(crate) fn make(hosts: usize) -> Result<(Self, Vec<SyncDevice>), NamespaceError> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        check(hosts)?;
        sweep();
        let prefix = format!("{PREFIX}{}-{}-", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut namespaces = Self { names: Vec::new() };
        let mut devices = Vec::new();
        for host in 0..hosts {
            let name = format!("{prefix}{host}");
            ip(&["netns", "add", &name])?;
            namespaces.names.push(name);
            devices.push(namespaces.equip(host)?);
        }
        Ok((namespaces, devices))
    }

    fn equip(&self, host: usize) -> Result<SyncDevice, NamespaceError> {
        let open = || DeviceBuilder::new().name(DEVICE).enable(false).build_sync();
        let no_tun = |error: io::Error| NamespaceError::NoTun { reason: error.to_string() };
        let device = self.inside(host, open)?.map_err(no_tun)?;
        ip_batch(
            &self.names[host],
            &format!(
                "link set lo up\naddress add {}/{PREFIX_BITS} dev {DEVICE}\nlink set {DEVICE} up mtu {PACKET_MAX}\n",
                address(host, 0)
            ),
        )?;
        Ok(device)
    }

    /// Where the namespace of `host` can be entered.
    pub(crate) fn path(&self, host: usize) -> PathBuf {
        Path::new(FOLDER).join(&self.names[host])
    }

    /// Takes one address from the device of `host` and gives it another, as a new lease does: for a moment it has none.
    pub(crate) fn readdress(&self, host: usize, before: Ipv4Addr, after: Ipv4Addr) -> Result<(), NamespaceError> {
        let change = format!(
            "address del {before}/{PREFIX_BITS} dev {DEVICE}\naddress add {after}/{PREFIX_BITS} dev {DEVICE}\n"
        );
        ip_batch(&self.names[host], &change).map(drop)
    }

    /// Runs `work` in the namespace of `host`, on a thread of its own: what it opens stays there, wherever it is used.
    pub(crate) fn inside<T: Send>(&self, host: usize, work: impl FnOnce() -> T + Send) -> Result<T, NamespaceError> {
        let path = self.path(host);
        let enter = || -> io::Result<T> {
            setns(File::open(&path)?, CloneFlags::CLONE_NEWNET)?;
            Ok(work())
        };
        let entered = std::thread::scope(|scope| scope.spawn(enter).join());
        let entered = entered.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        entered.map_err(|error| NamespaceError::system(format!("enter {}", path.display()), error))
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        self.names.iter().for_each(|name| remove(name));
    }
}

fn check(hosts: usize) -> Result<(), NamespaceError> {
    if hosts > HOSTS_MAX {
        return Err(NamespaceError::TooMany { hosts });
    }
    let user = nix::unistd::geteuid();
    if !user.is_root() {
        return Err(NamespaceError::NotAllowed { reason: format!("this is user {user}, not root") });
    }
    if let Err(error) = File::open("/dev/net/tun") {
        return Err(NamespaceError::NoTun { reason: error.to_string() });
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = |tool: &str| std::env::split_paths(&path).any(|folder| folder.join(tool).is_file());
    match TOOLS.into_iter().find(|(tool, _)| !there(tool)) {
        Some((tool, package)) => Err(NamespaceError::NoTool { tool, package }),
        None => Ok(()),
    }
}

fn ip(args: &[&str]) -> Result<Output, NamespaceError> {
    let output = Command::new("ip").args(args).stdin(Stdio::null()).output();
    judged(format!("ip {}", args.join(" ")), output)
}

/// Several commands in one process.
fn ip_batch(namespace: &str, commands: &str) -> Result<Output, NamespaceError> {
    let run = || {
        let mut command = Command::new("ip");
        command.args(["-n", namespace, "-batch", "-"]);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn()?;
        // Dropping the pipe ends the list.
        child.stdin.take().map_or(Ok(()), |mut pipe| pipe.write_all(commands.as_bytes()))?;
        child.wait_with_output()
    };
    judged(format!("ip -n {namespace}: {}", commands.trim_end().replace('\n', "; ")), run())
}

fn judged(what: String, output: io::Result<Output>) -> Result<Output, NamespaceError> {
    let output = output.map_err(|error| NamespaceError::system(&what, error))?;
    if output.status.success() {
        return Ok(output);
    }
    let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if reason.contains("Operation not permitted") || reason.contains("Permission denied") {
        return Err(NamespaceError::NotAllowed { reason: format!("{what}: {reason}") });
    }
    Err(NamespaceError::system(what, reason))
}

/// Ends all that runs in a namespace, and removes it. What is gone already is no matter.
fn remove(name: &str) {
    let pids = ip(&["netns", "pids", name]).map(|output| output.stdout).unwrap_or_default();
    for pid in String::from_utf8_lossy(&pids).split_whitespace().filter_map(|pid| pid.parse().ok()) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL);
    }
    let _ = ip(&["netns", "delete", name]);
}

/// Removes the namespaces of processes that are no more.
fn sweep() {
    let entries = std::fs::read_dir(FOLDER).into_iter().flatten().flatten();
    for name in entries.filter_map(|entry| entry.file_name().into_string().ok()) {
        if owner(&name).is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            remove(&name);
        }
    }
}

/// The process that made a namespace of ours.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_owner() {
        assert_eq!(owner("lnsim-123-0-4"), Some(123));
        assert_eq!([owner("lnsim-x-0-4"), owner("other-123-0"), owner("lnsim-")], [None; 3]);
    }

    #[test]
    fn each_refusal_has_a_remedy() {
        let refused = judged(
            "ip netns add x".to_owned(),
            Command::new("sh").args(["-c", "echo 'mount: Operation not permitted' >&2; exit 1"]).output(),
        );
        let error = refused.unwrap_err();
        assert!(matches!(&error, NamespaceError::NotAllowed { reason } if reason.contains("netns add")), "{error}");
        assert!(error.remedy().contains("sudo") && error.remedy().contains("--cap-add NET_ADMIN"));
        let error = NamespaceError::NoTool { tool: "ip", package: "iproute2" };
        assert_eq!(
            (error.to_string().as_str(), error.remedy().as_str()),
            ("the program `ip` is not in PATH", "apt-get install iproute2")
        );
        assert!(NamespaceError::NoTun { reason: String::new() }.remedy().contains("modprobe tun"));
        assert!(matches!(Namespaces::make(HOSTS_MAX + 1), Err(NamespaceError::TooMany { .. })));
    }
}
