//! A run as one HTML page that needs nothing else: no network, no other file, and for all but the drawings no script.
//!
//! Here the page is put together. What a reader without scripts sees is written by `tables.rs`; what the scripts draw
//! is picked and bounded by `data.rs`. The scripts themselves are plain files beside them: `run.js` takes the data
//! apart, `layout.js` lays the topology out, `graph.js` draws it, `chart.js` draws the run over time, and `page.js`
//! answers the reader.
//!
//! A page stays below some three megabytes whatever the run: at most 200 rows of nodes, 10,000 links and 2,000 faults
//! are drawn, and it says what it leaves out.

mod data;
mod tables;
mod text;

use crate::scenario::Scenario;
use crate::timeline::Timeline;
use crate::verdict::Verdict;
use data::Data;
use text::Escaped;

const PAGE: &str = include_str!("report/page.html");
const STYLE: &str = include_str!("report/page.css");
const SCRIPT: &str = concat!(
    include_str!("report/run.js"),
    include_str!("report/layout.js"),
    include_str!("report/graph.js"),
    include_str!("report/chart.js"),
    include_str!("report/page.js"),
);

/// The page about a run of `scenario`; `replay` is the command that plays it again.
#[must_use]
pub fn html(scenario: &Scenario, verdict: &Verdict, timeline: &Timeline, replay: &str) -> String {
    let data = Data::new(scenario, verdict, timeline);
    fill(PAGE, |slot| match slot {
        "title" => format!("{}: {}", Escaped(&scenario.name), tables::outcome(verdict)),
        "style" => STYLE.to_owned(),
        "head" => tables::head(scenario, verdict, timeline),
        "notes" => tables::notes(scenario, verdict),
        "left-out" => data.left_out(),
        "faults" => tables::faults(scenario, verdict, timeline),
        "violations" => tables::violations(verdict, timeline),
        "resumptions" => tables::resumptions(scenario, timeline),
        "replay" => Escaped(replay).to_string(),
        "toml" => Escaped(&scenario.to_toml()).to_string(),
        "data" => text::in_script(&data.to_json()),
        "script" => SCRIPT.to_owned(),
        // The page is ours; a test fills it.
        other => unreachable!("page.html has a slot {other:?} that nothing fills"),
    })
}

/// Puts values into the `{{slots}}` of `page`. What a value holds is not looked at again.
fn fill(page: &str, value: impl Fn(&str) -> String) -> String {
    let mut pieces = page.split("{{");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (slot, rest) = piece.split_once("}}").unwrap_or((piece, ""));
        out.push_str(&value(slot));
        out.push_str(rest);
    }
    out
}

#[cfg(test)]
mod tests;
