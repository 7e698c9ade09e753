//! `lattice netsim real`: real processes in network namespaces. Needs root, and says so without.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests talk to real processes in real time")]

mod support;

use lattice_netsim::Link;
use lattice_netsim::tier2::Network;
use serde_json::Value;
use std::process::Command;
use std::time::Duration;
use support::cluster::lattice;
use support::process::{Finished, Process, run};
use support::{LIMIT, tell, tool, wait_for};

/// One run takes about 20 s, of which the processes need some to find each other.
const RUN_LIMIT: Duration = Duration::from_secs(180);

const STORY: &str = r#"
name = "short"
duration_ms = 17000
topology = { nodes = 3, shape = "ring" }
traffic = { start_ms = 1000, interval_ms = 50 }
bounds = { resume_ms = 4000, deliver_ms = 1000 }
[[fault]]
at_ms = 2000
for_ms = 3000
what = { partition = [[0], [1, 2]] }
[[fault]]
at_ms = 4000
for_ms = 3000
what = { crash = 1 }
[[fault]]
at_ms = 4500
for_ms = 1500
what = { pause = 2 }
"#;

fn story() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), STORY).unwrap();
    file
}

/// Plays the story again when the machine was too busy for it to mean anything.
fn play(more: &[&str]) -> Finished {
    let story = story();
    let once = || {
        let mut command = lattice();
        command.args(["netsim", "real", "--json"]).arg(story.path()).args(more);
        run(&mut command, RUN_LIMIT)
    };
    let played = (0..3).map(|_| once()).find(|played| played.code != Some(3));
    played.expect("the machine is too busy: each of 3 runs was refused")
}

/// The namespaces that a process has made and not removed.
fn namespaces(of: u32) -> Vec<String> {
    let entries = std::fs::read_dir("/run/netns").into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(&format!("lnsim-{of}-"))).collect()
}

/// What runs on the machine with this in its command line.
fn running(text: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path().join("cmdline"));
    let lines = processes.filter_map(|path| std::fs::read(path).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(text)).collect()
}

/// Goal: a lattice and a nats-server cluster live through the same faults side by side, and each is judged.
#[test]
fn real_processes_play_a_scenario() {
    let nats_server = tool("nats-server");
    let played = play(&["--with", "both", "--nats-server", nats_server.to_str().unwrap()]);
    let outcomes: Vec<Value> = played.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(outcomes.len(), 2, "{played:#?}");
    for outcome in &outcomes {
        // Each of three publishes 20 in a second for 16 s, most of it while all is well.
        assert!(outcome["published"].as_u64().unwrap() > 700, "{outcome:#}");
        assert!(outcome["rejected"].is_null() && outcome["lost"].as_u64().unwrap() > 50, "{outcome:#}");
        let bites = outcome["bites"].as_object().unwrap();
        assert!(bites.len() == 3 && bites.values().all(|hits| hits.as_u64().unwrap() > 0), "{outcome:#}");
        assert!(outcome["resume_ms"].as_f64().is_some(), "{outcome:#}");
        tell(&format!("{} resumed after {} ms", outcome["system"], outcome["resume_ms"]));
    }
    let lattice = &outcomes[0];
    assert_eq!((&lattice["system"], &lattice["scenario"]), (&Value::from("lattice"), &Value::from("short")));
    assert_eq!((&lattice["passed"], &lattice["violations"]), (&Value::from(true), &Value::from(Vec::<Value>::new())));
}

/// Goal: Ctrl-C ends all that was started and removes all that was made; so does, for the next run, SIGKILL.
#[test]
fn nothing_is_left_behind() {
    for signal in ["INT", "KILL"] {
        let story = story();
        let work = tempfile::tempdir().unwrap();
        let mut command = lattice();
        command.args(["netsim", "real"]).arg(story.path()).env("TMPDIR", work.path());
        let mut process = Process::start(&format!("run that gets SIG{signal}"), &mut command);
        let (id, data) = (process.id(), work.path().to_str().unwrap());
        wait_for("three nodes run", LIMIT, || {
            assert!(process.exited().is_none(), "it ended: {:#?}", process.log());
            (running(data).iter().filter(|line| line.contains(" up ")).count() == 3).then_some(())
        });
        assert_eq!(namespaces(id).len(), 3);
        process.signal(signal);
        wait_for("no process is left", LIMIT, || running(data).is_empty().then_some(()));
        if signal == "KILL" {
            drop(Network::new(1, 1, Link::default()).unwrap());
        } else {
            assert_eq!(std::fs::read_dir(work.path()).unwrap().count(), 0);
        }
        assert_eq!(namespaces(id), Vec::<String>::new());
    }
}

/// Goal: who cannot have namespaces learns why, and what to do.
#[test]
fn without_namespaces_it_says_how_to_get_them() {
    let story = story();
    let real = |command: &mut Command| run(command.args(["netsim", "real"]).arg(story.path()), LIMIT);
    let mut bounded = Command::new("setpriv");
    bounded.args(["--bounding-set", "-all", "--inh-caps", "-all"]).arg(env!("CARGO_BIN_EXE_lattice"));
    let refused = real(&mut bounded);
    assert_eq!(refused.code, Some(2), "{refused:#?}");
    assert!(refused.stderr.contains("namespaces are not to be had") && refused.stderr.contains("sudo"), "{refused:#?}");
    let refused = real(lattice().env("PATH", "/nowhere"));
    assert_eq!(refused.code, Some(2), "{refused:#?}");
    assert!(refused.stderr.contains("`ip`") && refused.stderr.contains("apt-get install iproute2"), "{refused:#?}");
    let refused = run(lattice().args(["netsim", "real", "--table", "--nats-server", "/nowhere"]), LIMIT);
    assert_eq!(refused.code, Some(2), "{refused:#?}");
    assert!(refused.stderr.contains("there is no /nowhere"), "{refused:#?}");
}
