//! Real processes on a real network between namespaces: members that nobody has told of each other find each other by
//! beacons. Needs root, and says so without.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests talk to real processes in real time")]

mod support;

use lattice::status::Status;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use support::cluster::{command, lattice};
use support::process::{Process, run};
use support::{LIMIT, tell, wait_for};
use tempfile::TempDir;

/// Namespaces with a cable from each to a switch in one more. Dropping it removes them.
struct Network {
    names: Vec<String>,
}

impl Network {
    fn new(hosts: usize) -> Self {
        // Tests of one process run side by side.
        static NETWORKS: AtomicUsize = AtomicUsize::new(0);
        let (process, network) = (std::process::id(), NETWORKS.fetch_add(1, Ordering::Relaxed));
        let name = |host: &str| format!("ltbeacon-{process}-{network}-{host}");
        let network = Self { names: (0..hosts).map(|i| name(&i.to_string())).chain([name("switch")]).collect() };
        for name in &network.names {
            ip(&["netns", "add", name]);
            ip(&["-n", name, "link", "set", "lo", "up"]);
        }
        let switch = network.names.last().unwrap();
        ip(&["-n", switch, "link", "add", "switch", "type", "bridge"]);
        ip(&["-n", switch, "link", "set", "switch", "up"]);
        for (i, host) in network.names[..hosts].iter().enumerate() {
            let port = format!("port{i}");
            ip(&["link", "add", &port, "netns", switch, "type", "veth", "peer", "name", "eth0", "netns", host]);
            ip(&["-n", switch, "link", "set", &port, "master", "switch", "up"]);
            ip(&[
                "-n",
                host,
                "addr",
                "add",
                &format!("10.77.0.{}/24", i + 1),
                "broadcast",
                "10.77.0.255",
                "dev",
                "eth0",
            ]);
            ip(&["-n", host, "link", "set", "eth0", "up"]);
        }
        network
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}

fn ip(args: &[&str]) {
    let done = Command::new("ip").args(args).output().expect("`ip` runs: install iproute2");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "network namespaces are not to be had; run as root. ip {}: {said}", args.join(" "));
}

/// A device in a namespace, with a node that runs or not.
struct Device {
    name: &'static str,
    namespace: String,
    folder: TempDir,
    process: Option<Process>,
}

impl Device {
    fn new(network: &Network, i: usize, name: &'static str) -> Self {
        Self { name, namespace: network.names[i].clone(), folder: tempfile::tempdir().unwrap(), process: None }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// `lattice ARGS` in the namespace.
    fn lattice(&self, args: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(lattice().get_program()).args(args);
        command.arg("--data").arg(self.data());
        command
    }

    fn up(&mut self, flags: &[&str]) {
        let args = [&["up", "--name", self.name], flags].concat();
        self.process = Some(Process::start(self.name, &mut self.lattice(&args)));
        self.status();
    }

    fn down(&mut self) {
        self.process.take().unwrap().signal("TERM");
    }

    fn status(&mut self) -> Status {
        let (name, data) = (self.name, self.data());
        wait_for(&format!("{name} answers"), LIMIT, || {
            let process = self.process.as_mut().unwrap();
            assert!(process.exited().is_none(), "{name} ended: {:#?}", process.log());
            serde_json::from_str(&command(&["status", "--json"], &data).stdout).ok()
        })
    }

    fn wait_linked(&mut self, others: usize) {
        let name = self.name;
        wait_for(&format!("{name} is linked to {others}"), LIMIT, || {
            let linked = self.status().peers.iter().filter(|peer| peer.link.is_some()).count();
            (linked == others).then_some(())
        });
    }
}

/// Goal: members that know no address of each other, on one network, are linked within seconds; also one whose address is
/// another than all others know.
#[test]
fn members_on_one_network_find_each_other() {
    let network = Network::new(3);
    let [mut a, mut b, mut c] = [(0, "a"), (1, "b"), (2, "c")].map(|(i, name)| Device::new(&network, i, name));
    a.up(&[]);
    for device in [&b, &c] {
        let invite = command(&["invite"], &a.data()).stdout.lines().last().unwrap().to_owned();
        let joined = run(&mut device.lattice(&["join", &invite]), LIMIT);
        assert_eq!(joined.code, Some(0), "{joined:#?}");
    }
    a.down();
    // Both know where `a` was, and nothing of each other.
    let start = Instant::now();
    b.up(&[]);
    c.up(&[]);
    b.wait_linked(1);
    tell(&format!("two that know nothing of each other are linked after {} ms", start.elapsed().as_millis()));
    // Nobody is at the address that they know.
    let start = Instant::now();
    a.up(&["--link-listen", "[::]:9999"]);
    for device in [&mut a, &mut b, &mut c] {
        device.wait_linked(2);
    }
    tell(&format!("one at an address that nobody knows is linked to both after {} ms", start.elapsed().as_millis()));
    for device in [&mut a, &mut b, &mut c] {
        let name = device.name;
        wait_for(&format!("{name} hears beacons"), LIMIT, || {
            let counters = device.status().counters;
            assert!(counters["mesh_beacons_sent"] > 0 && counters["mesh_beacons_foreign"] == 0, "{counters:#?}");
            (counters["mesh_beacons_heard"] > 0).then_some(())
        });
    }
}

/// Goal: nodes of one machine that take links by loopback alone share the port of the beacons and find each other.
#[test]
fn nodes_of_one_machine_find_each_other() {
    let network = Network::new(1);
    let mut devices = ["a", "b", "c"].map(|name| Device::new(&network, 0, name));
    let flags = |i: usize| [format!("127.0.0.1:{}", 4222 + i), format!("127.0.0.1:{}", 9001 + i)];
    let up = |device: &mut Device, i: usize| {
        let [nats, link] = flags(i);
        device.up(&["--listen", &nats, "--link-listen", &link]);
    };
    up(&mut devices[0], 0);
    for device in &devices[1..] {
        let invite = command(&["invite"], &devices[0].data()).stdout.lines().last().unwrap().to_owned();
        let joined = run(&mut device.lattice(&["join", &invite]), LIMIT);
        assert_eq!(joined.code, Some(0), "{joined:#?}");
    }
    devices[0].down();
    (1..3).for_each(|i| up(&mut devices[i], i));
    devices[1].wait_linked(1);
    devices[2].wait_linked(1);
}

/// Goal: who wants no beacons sends none.
#[test]
fn beacons_can_be_left_out() {
    let network = Network::new(1);
    let mut alone = Device::new(&network, 0, "alone");
    alone.up(&["--no-beacon"]);
    assert_eq!(alone.status().counters["mesh_beacons_sent"], 0);
    alone.down();
    alone.up(&[]);
    wait_for("a beacon is sent", LIMIT, || (alone.status().counters["mesh_beacons_sent"] > 0).then_some(()));
}
