//! What whole nodes cost in the simulator: CPU, memory and events, by size of the lattice and by phase.
//!
//! ```text
//! cargo bench --profile fast --bench netsim              a table for 16, 100, 300 and 1,000 nodes
//! cargo bench --profile fast --bench netsim -- 16 3000   other sizes; --seed N, --seconds N
//! cargo bench --profile fast --bench netsim -- --growth docs/growth.svg
//!                                                        10 to 2,000 nodes without traffic, as a table and a chart
//! ```
//!
//! A ring with chords, about four links a node. Each node's client hears its neighbours' feeds, and publishes 128 bytes a
//! second where there is traffic. Every size runs in a process of its own, since the peak of memory is the process's.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the table is the result")]

mod chart;
mod growth;
mod meter;
mod run;

use lattice::sim::HUGE_PAGES;
use run::Run;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::Duration;

/// What was asked for.
#[derive(Debug)]
struct Args {
    sizes: Vec<usize>,
    seed: u64,
    seconds: u64,
    /// What the process for one size measures.
    alone: Option<Alone>,
    /// Where to draw how costs grow.
    growth: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug)]
enum Alone {
    Costs,
    Growth,
}

fn main() -> ExitCode {
    match args().and_then(|args| go(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn args() -> Result<Args, String> {
    let mut args = Args { sizes: Vec::new(), seed: 1, seconds: 60, alone: None, growth: None };
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        let mut value = || given.next().ok_or_else(|| format!("{argument} wants a value"));
        match argument.as_str() {
            // Cargo says so to every bench.
            "--bench" => {}
            "--alone" => args.alone = Some(Alone::Costs),
            "--alone-growth" => args.alone = Some(Alone::Growth),
            "--growth" => args.growth = Some(value()?.into()),
            "--seed" => args.seed = number(&argument, &value()?)?,
            "--seconds" => args.seconds = number(&argument, &value()?)?,
            size => match size.parse() {
                Ok(size @ 2..=10_000) => args.sizes.push(size),
                Ok(_) | Err(_) => {
                    return Err(format!(
                        "{size} cannot be run: expected --seed N, --seconds N, --growth FILE, or numbers of nodes from 2 \
                         to 10000"
                    ));
                }
            },
        }
    }
    Ok(args)
}

fn number(name: &str, text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{name} is {text}, which is no number"))
}

fn go(args: &Args) -> Result<(), String> {
    let sizes = |default: &[usize]| if args.sizes.is_empty() { default.to_vec() } else { args.sizes.clone() };
    if let Some(alone) = args.alone {
        let run = Run::new(sizes(&[16])[0], args.seed, Duration::from_secs(args.seconds));
        match alone {
            Alone::Costs => run.play(),
            Alone::Growth => println!("{}", serde_json::json!(growth::measure(run))),
        }
        return Ok(());
    }
    if let Some(file) = &args.growth {
        return growth::draw(file, &sizes(&growth::SIZES), |nodes| {
            let told = in_a_process(nodes, args, "--alone-growth", Stdio::piped())?;
            serde_json::from_slice(&told.stdout).map_err(|error| format!("{nodes} nodes: {error}"))
        });
    }
    println!("nodes links phase     virtual s    CPU s  peak MB      polls    packets  µs/packet  heard");
    sizes(&[16, 100, 300, 1000])
        .into_iter()
        .try_for_each(|nodes| in_a_process(nodes, args, "--alone", Stdio::inherit()).map(drop))
}

/// Runs one size in a process of its own.
fn in_a_process(nodes: usize, args: &Args, mode: &str, stdout: Stdio) -> Result<Output, String> {
    let failed = |what: String| format!("{nodes} nodes: {what}");
    let exe = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
    let numbers =
        [nodes.to_string(), "--seed".into(), args.seed.to_string(), "--seconds".into(), args.seconds.to_string()];
    let (key, value) = HUGE_PAGES;
    let child = Command::new(exe).arg(mode).args(numbers).env(key, value).stdout(stdout).spawn();
    let output = child.and_then(|child| child.wait_with_output()).map_err(|error| failed(error.to_string()))?;
    if output.status.success() { Ok(output) } else { Err(failed(output.status.to_string())) }
}
