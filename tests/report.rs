//! The report of a simulated run, in a real browser: it is drawn, it answers, it needs nothing from elsewhere, and it
//! can be read without scripts. Pictures of it are left in `report-screenshots` of the build folder.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests talk to real processes in real time")]

#[path = "report/browser.rs"]
mod browser;
#[path = "report/runs.rs"]
mod runs;
mod support;

use browser::View;
use lattice_netsim::report;
use runs::{FIVE, HALVES, Made, SITES, many};
use std::fs;
use std::path::{Path, PathBuf};
use support::tell;

const REPLAY: &str = "lattice netsim run netsim/scenarios/partition-heal.toml --seed 4711";
const LIGHT: View = View { width: 1280, height: 2400, dark: false };
const DARK: View = View { width: 800, height: 2400, dark: true };
const DRIVE: &str = include_str!("report/drive.js");
/// A browser that nobody looks at draws no frames, so that a page would wait for the next one for ever.
const FRAMES: &str = "requestAnimationFrame = (then) => setTimeout(() => then(performance.now()), 16);
cancelAnimationFrame = clearTimeout;";

fn page(made: &Made) -> String {
    report::html(&made.scenario, &made.verdict, &made.timeline, REPLAY)
}

fn folder() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let folder = target.join("report-screenshots");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Writes a page where a browser finds it.
fn write(name: &str, page: &str) -> PathBuf {
    let file = folder().join(format!("{name}.html"));
    fs::write(&file, page).unwrap();
    file
}

/// What the page must know about the run, as JSON.
fn expected(made: &Made, view: View, moments: &[u64]) -> String {
    let known = moments.iter().map(|at| format!("[{at},{},{}]", made.parts_at(*at), made.down_at(*at)));
    let events = made.timeline.faults.iter().flat_map(|band| [band.from_ms, band.until_ms]);
    let events = events.chain(made.verdict.violations.iter().map(|violation| violation.at_ms));
    let first = events.reduce(f64::min).unwrap();
    format!(
        "{{\"dark\":{},\"moments\":[{}],\"bin_ms\":{},\"first_event\":{first},\"duration_ms\":{}}}",
        view.dark,
        known.collect::<Vec<_>>().join(","),
        made.timeline.bin_ms,
        made.timeline.duration_ms,
    )
}

/// Opens the page of a run and lets a script do what a reader does.
fn drive(name: &str, made: &Made, view: View, moments: &[u64]) {
    let page = page(made);
    tell(&format!("{name}: {} kB", page.len() / 1000));
    let before = format!("<body><script>{FRAMES}\nconst EXPECTED = {};</script>", expected(made, view, moments));
    let behind = format!("<script>{DRIVE}</script></body>");
    let driven = page.replacen("<body>", &before, 1).replace("</body>", &behind);
    let file = write(&format!("{name}-driven"), &driven);
    let document = browser::document(&file, view);
    fs::remove_file(file).unwrap();
    let seen = document.split_once("<pre id=\"seen\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let (seen, _) = seen.unwrap_or_else(|| panic!("{name}: the script has not come to its end"));
    assert_eq!(seen, "ok", "{name}");
}

#[test]
fn a_small_run_can_be_read_at_800_pixels_in_the_dark() {
    drive("five", &Made::of(FIVE, false), DARK, &[0, 5_000, 10_000, 20_000]);
}

/// Goal: parts and nodes down are what the run has, at every moment, and no text of the scenario is taken for markup.
#[test]
fn a_partition_can_be_scrubbed() {
    drive("halves", &Made::of(HALVES, true), LIGHT, &[500, 10_000, 22_000, 39_000, 60_000]);
}

#[test]
fn sites_can_be_scrubbed() {
    drive("sites", &Made::of(SITES, false), LIGHT, &[5_000, 15_000, 30_000]);
}

/// Goal: a thousand nodes are a page that opens within the time for one that is small.
#[test]
fn a_thousand_nodes_can_be_scrubbed() {
    drive("thousand", &Made::play(many(1_000), true), LIGHT, &[8_000, 20_000, 40_000, 55_000]);
}

/// Goal: the checks above would see a script that fails, and one that asks the network.
#[test]
fn what_is_wrong_with_a_page_is_seen() {
    let page = page(&Made::of(FIVE, false));
    for (name, planted) in [("throws", "null.x"), ("asks", "new Image().src = 'http://127.0.0.1:9/x.png'")] {
        let file = write(name, &page.replace("</body>", &format!("<script>{planted}</script></body>")));
        let shown = browser::open(&file, "", LIGHT, &["--dump-dom"]);
        fs::remove_file(file).unwrap();
        assert!(browser::console(&shown.stderr).count() > 0, "{name}: {}", shown.stderr);
    }
}

/// Goal: with scripts off, everything but the drawings is there. A frame that may not run scripts shows the page to a
/// page that may.
#[test]
fn it_is_readable_without_scripts() {
    let made = Made::of(HALVES, true);
    let escaped = page(&made).replace('&', "&amp;").replace('"', "&quot;");
    let frame =
        format!("<iframe sandbox=\"allow-same-origin\" width=\"1200\" height=\"3000\" srcdoc=\"{escaped}\"></iframe>");
    let look = "<script>addEventListener('load', () => {
        const inside = document.querySelector('iframe').contentDocument;
        const seen = document.createElement('pre');
        seen.id = 'seen';
        const high = (id) => inside.getElementById(id).getBoundingClientRect().height;
        seen.textContent = inside.body.innerText + '\\nhigh: ' + ['faults', 'violations', 'resumptions', 'replay', 'toml']
            .filter((id) => high(id) > 20) + '\\ndrawn: ' + high('run');
        document.body.append(seen);
    });</script>";
    let file = write("without-scripts", &format!("<!doctype html><meta charset=\"utf-8\">{look}{frame}"));
    let shown = browser::open(&file, "", LIGHT, &["--dump-dom"]);
    browser::picture(&file, "", LIGHT, &folder().join("halves-without-scripts.png"));
    fs::remove_file(file).unwrap();
    let blocked = browser::console(&shown.stderr).filter(|line| line.contains("Blocked script execution")).count();
    assert!(blocked > 0, "scripts ran after all: {}", shown.stderr);
    let (_, seen) = shown.stdout.split_once("<pre id=\"seen\">").unwrap();
    let expected = ["FAILED", "4,310 ms", "Known shortfall: links", "Faults that hit nothing: step#3", "flap", REPLAY];
    for text in expected.into_iter().chain(["high: faults,violations,resumptions,replay,toml", "drawn: 0"]) {
        assert!(seen.contains(text), "{text:?} is not to be seen: {seen}");
    }
    assert!(!seen.contains("Copy") && !seen.contains("Play\n"), "buttons that do nothing: {seen}");
}

/// Pictures for people; that they hold something is checked by the tests above.
#[test]
fn pictures_are_left_to_look_at() {
    let runs = [
        ("five", Made::of(FIVE, false)),
        ("halves", Made::of(HALVES, true)),
        ("sites", Made::of(SITES, false)),
        ("many", Made::play(many(240), true)),
    ];
    for (name, made) in &runs {
        let file = write(name, &page(made));
        for (width, dark) in [(1280, false), (1280, true), (800, false), (800, true)] {
            let png = folder().join(format!("{name}-{width}-{}.png", if dark { "dark" } else { "light" }));
            browser::picture(&file, "#t=22000", View { width, dark, ..LIGHT }, &png);
        }
    }
    tell(&format!("pictures are in {}", folder().display()));
}
