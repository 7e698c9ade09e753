//! How costs grow with the lattice: forming, control traffic, memory and the computation of paths.

use crate::chart::{self, Panel};
use crate::meter::{cpu_time, peak_mb};
use crate::run::Run;
use lattice::identity::NodeId;
use lattice::mesh::spf::{Routes, Vertex};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Sizes that are drawn.
pub(crate) const SIZES: [usize; 6] = [10, 30, 100, 300, 1000, 2000];
/// How long it lasts until what followed from forming has passed, and how long the quiet after it is measured.
const SETTLE: Duration = Duration::from_secs(10);
const QUIET: Duration = Duration::from_secs(20);
/// Paths are computed again and again until they have taken so long: the system tells CPU time in large steps.
const ENOUGH: Duration = Duration::from_millis(200);
const ROUNDS_MAX: u32 = 1 << 20;

/// What one size costs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Growth {
    nodes: usize,
    links: usize,
    /// From the power on of all nodes to a way from each to each, in virtual seconds; none if the time was over.
    forming_s: Option<f64>,
    /// Bytes that a node sends until then, all protocols' headers from UDP's payload on included.
    forming_bytes: f64,
    /// Bytes a second over a link, both ways, when nothing happens.
    quiet_bytes: f64,
    /// The process's peak for each node.
    memory_bytes: f64,
    /// One node's computation of the ways to all others.
    paths_ms: f64,
}

/// Plays one size without traffic.
pub(crate) fn measure(run: Run) -> Growth {
    let mut playing = run.boot(false);
    let formed = run.form(&mut playing);
    let (forming, sent) = (playing.world.now(), playing.world.counters().sent_bytes);
    playing.world.run_for(SETTLE);
    let before = playing.world.counters().sent_bytes;
    playing.world.run_for(QUIET);
    let quiet = playing.world.counters().sent_bytes - before;
    Growth {
        nodes: run.nodes,
        links: run.edges.len(),
        forming_s: formed.then_some(forming.as_secs_f64()),
        forming_bytes: sent as f64 / run.nodes as f64,
        quiet_bytes: quiet as f64 / QUIET.as_secs_f64() / run.edges.len() as f64,
        memory_bytes: peak_mb() * 1e6 / run.nodes as f64,
        paths_ms: paths(&run).as_secs_f64() * 1e3,
    }
}

/// What one node's computation of paths takes.
fn paths(run: &Run) -> Duration {
    let id = |i: usize| {
        let mut key = [0; 32];
        // Keys are random: neighbours are no neighbours in their order.
        key[..8].copy_from_slice(&(i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        NodeId(key)
    };
    let mut adjacency: BTreeMap<NodeId, Vec<(NodeId, u32)>> = BTreeMap::new();
    for &(a, b) in &run.edges {
        adjacency.entry(id(a)).or_default().push((id(b), 100));
        adjacency.entry(id(b)).or_default().push((id(a), 100));
    }
    adjacency.values_mut().for_each(|edges| edges.sort_unstable());
    let vertices: Vec<Vertex<'_>> = (1..)
        .zip(&adjacency)
        .map(|(index, (node, adjacency))| Vertex { node: *node, index, life: 1, transit: true, adjacency })
        .collect();
    let mut rounds = 1_u32;
    loop {
        let start = cpu_time();
        for _ in 0..rounds {
            let routes = Routes::compute(id(0), 1, &vertices);
            assert_eq!(routes.by_index.len() + 1, run.nodes, "the ring reaches all");
        }
        let took = cpu_time() - start;
        if took >= ENOUGH || rounds >= ROUNDS_MAX {
            return took / rounds;
        }
        rounds *= 2;
    }
}

/// Has each size measured, prints a row for each, and draws them.
pub(crate) fn draw(
    file: &Path,
    sizes: &[usize],
    measured: impl Fn(usize) -> Result<Growth, String>,
) -> Result<(), String> {
    println!("| nodes | links | forming | sent a node until then | quiet, a link | memory a node | paths |");
    println!("|---|---|---|---|---|---|---|");
    let mut rows = Vec::new();
    for &nodes in sizes {
        let row = measured(nodes)?;
        println!("{}", line(&row));
        rows.push(row);
    }
    let panel = |title, of: &dyn Fn(&Growth) -> Option<f64>| Panel {
        title,
        points: rows.iter().filter_map(|row| Some((row.nodes as f64, of(row)?))).collect(),
    };
    let panels = [
        panel("forming, seconds", &|row| row.forming_s),
        panel("sent until formed, kB a node", &|row| Some(row.forming_bytes / 1e3)),
        panel("quiet, bytes a second and link", &|row| Some(row.quiet_bytes)),
        panel("memory, MB a node", &|row| Some(row.memory_bytes / 1e6)),
        panel("computation of paths, ms", &|row| Some(row.paths_ms)),
    ];
    chart::draw(file, &panels)?;
    println!("\ndrawn into {}", file.display());
    Ok(())
}

fn line(row: &Growth) -> String {
    let forming = row.forming_s.map_or_else(|| "not in time".to_owned(), |seconds| format!("{seconds:.2} s"));
    format!(
        "| {} | {} | {forming} | {:.1} kB | {:.0} B/s | {:.2} MB | {:.3} ms |",
        row.nodes,
        row.links,
        row.forming_bytes / 1e3,
        row.quiet_bytes,
        row.memory_bytes / 1e6,
        row.paths_ms
    )
}
