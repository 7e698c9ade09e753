use super::*;
use crate::timeline::{Band, LinkLine, Resumption};
use crate::verdict::{Check, Count, FaultBite, Violation};
use serde_json::Value;
use std::time::Duration;

const RING: &str = r#"
    name = "a-ring"
    about = "</script><script>alert(1)</script> {{toml}}"
    duration_ms = 20000
    topology = { nodes = 4, shape = "ring" }
    [[fault]]
    at_ms = 5000
    for_ms = 3000
    what = { partition = [[0, 1], [2, 3]] }
    [[fault]]
    at_ms = 6000
    for_ms = 1000
    what = { crash = 2 }
"#;

/// A run in which each node gets ten messages in each bin, and node 2 none from 6 s to 7 s.
fn run(scenario: &Scenario) -> (Verdict, Timeline) {
    let names = (0..scenario.nodes()).map(|node| scenario.topology.name(node)).collect();
    let mut timeline = Timeline::new(Duration::from_millis(scenario.duration_ms), names);
    let (from, until) = (timeline.bin(scenario.traffic_from()), timeline.bin(scenario.traffic_until()));
    timeline.nodes.iter_mut().for_each(|node| node.delivered[from..until].fill(10));
    let gone = timeline.bin(Duration::from_secs(6))..timeline.bin(Duration::from_secs(7));
    timeline.nodes[2].delivered[gone].fill(0);
    let band = |fault, from_ms, until_ms, nodes: &[usize], hits| Band {
        fault,
        kind: scenario.faults[fault].what.name().to_owned(),
        what: format!("fault <{fault}>"),
        nodes: nodes.to_vec(),
        from_ms,
        until_ms,
        hits,
    };
    timeline.faults = vec![band(0, 5e3, 8e3, &[0, 1, 2, 3], 1_234), band(1, 6e3, 7e3, &[2], 0)];
    timeline.links =
        vec![LinkLine { a: 0, b: 1, up: vec![(200.0, 20e3)] }, LinkLine { a: 0, b: 2, up: vec![(9e3, 9.5e3)] }];
    timeline.resumptions = vec![Resumption { at_ms: 8e3, receiver: 2, publisher: 0, after_ms: Some(812.4) }];
    let bites = timeline.faults.iter().map(|of| FaultBite { fault: of.fault, kind: of.kind.clone(), hits: of.hits });
    let verdict = Verdict { seed: 77, trace_hash: "abc".to_owned(), faults: bites.collect(), ..Verdict::default() };
    (verdict, timeline)
}

fn ring() -> Scenario {
    Scenario::from_toml(RING).unwrap()
}

fn page(scenario: &Scenario, verdict: &Verdict, timeline: &Timeline) -> String {
    html(scenario, verdict, timeline, "lattice netsim run <x> --seed 77")
}

fn embedded(page: &str) -> Value {
    let (_, data) = page.split_once("<script type=\"application/json\" id=\"data\">").unwrap();
    serde_json::from_str(data.split_once("</script>").unwrap().0).unwrap()
}

#[test]
fn what_a_scenario_says_is_never_taken_for_markup() {
    let scenario = ring();
    let (verdict, timeline) = run(&scenario);
    let page = page(&scenario, &verdict, &timeline);
    for raw in ["a <ring>", "<script>alert", "fault <0>", "run <x>"] {
        assert!(!page.contains(raw), "{raw}");
    }
    // Nor for a slot of the page itself.
    assert!(page.contains("&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt; {{toml}}"));
    assert_eq!(page.matches("</script>").count(), 2);
    assert_eq!(embedded(&page)["bands"][0]["what"], "fault <0>");
}

#[test]
fn it_asks_for_nothing_from_elsewhere() {
    let scenario = ring();
    let (verdict, timeline) = run(&scenario);
    let page = page(&scenario, &verdict, &timeline);
    for source in ["http:", "https:", " src=", " href=", "url(", "@import", "fetch(", "import("] {
        assert!(!page.contains(source), "{source}");
    }
    assert!(page.contains("default-src 'none'"), "a browser holds it to that");
}

#[test]
fn the_tables_say_what_happened() {
    let scenario = ring();
    let (mut verdict, timeline) = run(&scenario);
    let passed = page(&scenario, &verdict, &timeline);
    for text in [
        "PASSED",
        "Seed</dt><dd>77<",
        "<code>abc</code>",
        "<td>1,234</td>",
        "Faults that hit nothing:</strong> crash#1.",
        "<td>812 ms</td>",
        "lattice netsim run &lt;x&gt; --seed 77",
        "duration_ms = 20000",
    ] {
        assert!(passed.contains(text), "{text}");
    }
    let violation =
        |check| Violation { at_ms: 8_250.0, check, node: Some(3), what: "too <late>".to_owned(), figure: None };
    verdict.violations = (0..300).map(|_| violation(Check::Resume)).collect();
    verdict.violated = [(Check::Resume, Count { times: 1_300, worst: Some(5e3) })].into();
    let failed = page(&scenario, &verdict, &timeline);
    assert!(failed.contains("FAILED") && failed.contains("<td>node-3</td><td class=\"what\">too &lt;late&gt;</td>"));
    assert_eq!(failed.matches("<tr data-check=\"resume\">").count(), 200);
    assert!(failed.contains("1,100 more violations are not listed."));
}

#[test]
fn what_is_usual_is_told_from_calm_time() {
    let scenario = ring();
    let (verdict, timeline) = run(&scenario);
    let data = embedded(&page(&scenario, &verdict, &timeline));
    // Bins of 50 ms, messages each 100: levels are told from 6 bins, which are 3 messages.
    assert_eq!((&data["window"], &data["rows"][2]["calm"]), (&Value::from(6), &Value::from(60)));
    let planned = |place: usize| (data["links"][place]["planned"].clone(), data["links"][place]["up"].clone());
    assert_eq!(planned(0), (Value::from(true), Value::from(vec![200, 20_000])));
    assert_eq!(planned(1), (Value::from(false), Value::from(vec![9_000, 9_500])), "0-2, which no ring has");
    assert_eq!(planned(2), (Value::from(true), Value::from(Vec::<u64>::new())), "0-3, which never came up");
}

/// Goal: a page stays one that a browser can open, however large and eventful the run.
#[test]
fn a_large_run_is_bounded() {
    let mut scenario = ring();
    scenario.topology = crate::scenario::Topology::shaped(crate::scenario::Shape::Clique, 450);
    scenario.duration_ms = 86_400_000;
    let (mut verdict, mut timeline) = run(&scenario);
    let bins = timeline.lost.len();
    for node in &mut timeline.nodes {
        (node.delivered, node.reached) = (vec![60_000; bins], vec![449; bins]);
        node.name = format!("{}-at-a-site-with-a-long-name", node.name);
    }
    timeline.faults = timeline.faults.iter().cycle().take(20_000).cloned().collect();
    let edges = scenario.edges();
    timeline.links = edges.iter().map(|&(a, b)| LinkLine { a, b, up: vec![(1.0, 8e7), (8.1e7, 8.5e7)] }).collect();
    verdict.violations = (0..1_600)
        .map(|number| Violation {
            at_ms: f64::from(number),
            check: Check::Order,
            node: None,
            what: "x".repeat(5_000),
            figure: None,
        })
        .collect();
    verdict.violated = [(Check::Order, Count { times: 1_600, worst: None })].into();
    let page = page(&scenario, &verdict, &timeline);
    assert!(page.len() < 3_000_000, "{} bytes", page.len());
    let data = embedded(&page);
    assert_eq!((&data["per_row"], data["rows"].as_array().unwrap().len()), (&Value::from(3), 150));
    assert_eq!(data["links"].as_array().unwrap().len(), data::LINKS_MAX);
    assert_eq!(data["bands"].as_array().unwrap().len(), data::BANDS_MAX);
    let said = format!("Each row is 3 nodes. {} more links are not drawn. 18,000 more faults are not drawn.", "91,025");
    assert!(page.contains(&said));
}

/// Goal: what is embedded does not hang on the order in which maps are walked.
#[test]
fn the_same_run_is_the_same_page() {
    let scenario = ring();
    let (verdict, timeline) = run(&scenario);
    assert_eq!(page(&scenario, &verdict, &timeline), page(&scenario, &verdict, &timeline));
}
