//! What a page says without scripts: how it went, and tables of faults, violations and waits.

use super::text::{self, Escaped, count, cut, seconds, whole_ms};
use crate::scenario::Scenario;
use crate::timeline::{Band, Resumption, Timeline, ms};
use crate::verdict::Verdict;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Violations that are listed; the rest is counted.
const VIOLATIONS_MAX: usize = 200;
/// Waits that are listed.
const RESUMPTIONS_MAX: usize = 20;
/// Faults of the scenario that are listed.
const FAULTS_MAX: usize = 500;
/// Parts of a story that are told one by one.
const PARTS_MAX: usize = 3;
/// Characters of one description.
const WHAT_MAX: usize = 1_000;

/// One word for all.
pub(super) fn outcome(verdict: &Verdict) -> &'static str {
    if verdict.passed() { "passed" } else { "failed" }
}

/// Name, outcome and figures.
pub(super) fn head(scenario: &Scenario, verdict: &Verdict, timeline: &Timeline) -> String {
    let outcome = outcome(verdict);
    let mut out = format!(
        "<h1>{} <span class=\"badge {outcome}\">{}</span></h1>\n",
        Escaped(&scenario.name),
        outcome.to_uppercase()
    );
    if !scenario.about.is_empty() {
        let _ = writeln!(out, "<p class=\"about\">{}</p>", Escaped(&scenario.about));
    }
    out.push_str("<dl class=\"figures\">\n");
    for (name, value, aside) in figures(scenario, verdict, timeline) {
        let aside = if aside.is_empty() { aside } else { format!(" <small>{}</small>", Escaped(&aside)) };
        let _ = writeln!(out, "<div><dt>{name}</dt><dd>{}{aside}</dd></div>", Escaped(&value));
    }
    let _ = writeln!(out, "</dl>\n<p class=\"trace\">Trace <code>{}</code></p>", Escaped(&verdict.trace_hash));
    out
}

/// Name, value, and what belongs to it.
fn figures(scenario: &Scenario, verdict: &Verdict, timeline: &Timeline) -> Vec<(&'static str, String, String)> {
    let bounds = &scenario.bounds;
    let resumed = verdict.resume_ms.map_or_else(|| "nobody waited".to_owned(), whole_ms);
    let lost_bound = bounds.lost_max.map_or_else(|| "no bound".to_owned(), |max| format!("of {} allowed", count(max)));
    let delivered = per_message(verdict);
    vec![
        ("Violations", count(verdict.violations_total()), String::new()),
        ("Traffic back after at most", resumed, format!("of {} allowed", whole_ms(bounds.resume_ms as f64))),
        ("Published", count(verdict.published), String::new()),
        ("Delivered", count(verdict.delivered), delivered),
        ("Lost to faults", count(verdict.lost), lost_bound),
        ("Nodes", count(scenario.nodes() as u64), format!("{} links", count(scenario.edges().len() as u64))),
        ("Virtual time", format!("{} s", seconds(timeline.duration_ms as f64)), String::new()),
        ("Seed", verdict.seed.to_string(), String::new()),
    ]
}

fn per_message(verdict: &Verdict) -> String {
    if verdict.published == 0 {
        return String::new();
    }
    format!("{:.1} for each", verdict.delivered as f64 / verdict.published as f64)
}

/// What a reader must know before believing the outcome: known shortfalls, and faults that did nothing.
pub(super) fn notes(scenario: &Scenario, verdict: &Verdict) -> String {
    let mut out = String::new();
    let vacuous: Vec<String> = verdict.vacuous().map(|fault| format!("{}#{}", fault.kind, fault.fault)).collect();
    if !vacuous.is_empty() {
        let (shown, more) = (vacuous.len().min(FAULTS_MAX), vacuous.len().saturating_sub(FAULTS_MAX));
        let more = if more > 0 { format!(" and {} more", count(more as u64)) } else { String::new() };
        let _ = writeln!(
            out,
            "<p class=\"note warn\"><strong>Faults that hit nothing:</strong> {}{more}. The run proves nothing about them.</p>",
            Escaped(&vacuous[..shown].join(", "))
        );
    }
    for known in &scenario.shortfalls {
        let seen = match verdict.shortfalls.get(&known.check) {
            Some(worst) => format!("seen, {worst} at worst of {} excused", known.at_most),
            None if verdict.violated.contains_key(&known.check) => {
                format!("seen, and worse than the {} excused", known.at_most)
            }
            None => format!("not seen in this run, {} excused", known.at_most),
        };
        let _ = writeln!(
            out,
            "<p class=\"note\"><strong>Known shortfall: {}</strong> ({seen}). {}</p>",
            known.check,
            Escaped(&known.why)
        );
    }
    out
}

/// The scenario's faults, and how often each hit.
pub(super) fn faults(scenario: &Scenario, verdict: &Verdict, timeline: &Timeline) -> String {
    if scenario.faults.is_empty() {
        return "<p>None: the network is calm throughout.</p>\n".to_owned();
    }
    let mut parts: BTreeMap<usize, Vec<&Band>> = BTreeMap::new();
    for band in &timeline.faults {
        parts.entry(band.fault).or_default().push(band);
    }
    let mut out = table("faults", &["#", "Kind", "What", "From, s", "Until, s", "Hits"]);
    for (place, fault) in scenario.faults.iter().enumerate().take(FAULTS_MAX) {
        let parts = parts.get(&place).map_or(&[][..], |parts| parts);
        let (begin, end) = fault.span();
        let from = parts.iter().map(|part| part.from_ms).reduce(f64::min).unwrap_or_else(|| ms(begin));
        let until = parts.iter().map(|part| part.until_ms).reduce(f64::max).unwrap_or_else(|| ms(end));
        let bite = verdict.faults.iter().find(|bite| bite.fault == place);
        let hits = bite.map_or_else(|| parts.iter().map(|part| part.hits).sum(), |bite| bite.hits);
        let hits = if hits == 0 { "0 <b class=\"warn\">nothing hit</b>".to_owned() } else { count(hits) };
        let _ = writeln!(
            out,
            "<tr><td>{place}</td><td>{}</td><td class=\"what\">{}</td><td>{}</td><td>{}</td><td>{hits}</td></tr>",
            fault.what.name(),
            Escaped(&told(parts)),
            time(from),
            time(until),
        );
    }
    out.push_str("</tbody></table></div>\n");
    out.push_str(&rest(scenario.faults.len() as u64, FAULTS_MAX, "faults"));
    out
}

/// A fault of several parts by the first of them.
fn told(parts: &[&Band]) -> String {
    let told: Vec<String> =
        parts.iter().take(PARTS_MAX).map(|part| cut(text::told(&part.kind, &part.what), WHAT_MAX)).collect();
    let said: BTreeSet<&str> = told.iter().map(String::as_str).collect();
    match parts.len() {
        0 => "not played".to_owned(),
        1 => told.concat(),
        many if said.len() == 1 => format!("{} times: {}", count(many as u64), told[0]),
        many if many > PARTS_MAX => format!("{} parts: {}; …", count(many as u64), told.join("; ")),
        many => format!("{many} parts: {}", told.join("; ")),
    }
}

/// What was broken.
pub(super) fn violations(verdict: &Verdict, timeline: &Timeline) -> String {
    let total = verdict.violations_total();
    if total == 0 {
        return "<p>None.</p>\n".to_owned();
    }
    let shown = &verdict.violations[..verdict.violations.len().min(VIOLATIONS_MAX)];
    let mut out =
        String::from("<p class=\"filter\" hidden><label>Check <select id=\"check\"><option value=\"\">all</option>");
    for (check, count) in &verdict.violated {
        let times = text::count(count.times);
        let _ = write!(out, "<option value=\"{check}\">{check} ({times})</option>");
    }
    out.push_str("</select></label></p>\n");
    out.push_str(&table("violations", &["At, s", "Check", "Node", "What"]));
    for violation in shown {
        let node = violation.node.map(|node| name(timeline, node)).unwrap_or_default();
        let check = violation.check.to_string();
        let _ = writeln!(
            out,
            "<tr data-check=\"{check}\"><td>{}</td><td>{check}</td><td>{}</td><td class=\"what\">{}</td></tr>",
            time(violation.at_ms),
            Escaped(&node),
            Escaped(&cut(&violation.what, WHAT_MAX)),
        );
    }
    out.push_str("</tbody></table></div>\n");
    out.push_str(&rest(total, shown.len(), "violations"));
    out
}

/// Who waited longest.
pub(super) fn resumptions(scenario: &Scenario, timeline: &Timeline) -> String {
    let mut waits: Vec<&Resumption> = timeline.resumptions.iter().collect();
    if waits.is_empty() {
        return "<p>Nobody had to wait for anybody.</p>\n".to_owned();
    }
    let length = |wait: &Resumption| wait.after_ms.unwrap_or(f64::INFINITY);
    waits.sort_by(|a, b| length(b).total_cmp(&length(a)));
    let bound = scenario.bounds.resume_ms as f64;
    let mut out = table("resumptions", &["After what happened at, s", "Receiver", "Publisher", "Waited"]);
    for wait in waits.iter().take(RESUMPTIONS_MAX) {
        let waited = match wait.after_ms {
            Some(after) if after > bound => format!("<b class=\"warn\">{}</b>", whole_ms(after)),
            Some(after) => whole_ms(after),
            None => "<b class=\"warn\">for ever</b>".to_owned(),
        };
        let (receiver, publisher) = (name(timeline, wait.receiver), name(timeline, wait.publisher));
        let _ = writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{waited}</td></tr>",
            time(wait.at_ms),
            Escaped(&receiver),
            Escaped(&publisher),
        );
    }
    out.push_str("</tbody></table></div>\n");
    out
}

fn table(id: &str, columns: &[&str]) -> String {
    let mut out = format!("<div class=\"scroll\"><table id=\"{id}\" aria-labelledby=\"{id}-heading\"><thead><tr>");
    for column in columns {
        let _ = write!(out, "<th scope=\"col\">{column}</th>");
    }
    out.push_str("</tr></thead><tbody>\n");
    out
}

fn rest(total: u64, shown: usize, what: &str) -> String {
    match total.saturating_sub(shown as u64) {
        0 => String::new(),
        more => format!("<p>{} more {what} are not listed.</p>\n", count(more)),
    }
}

/// A moment that the drawings can be set to.
fn time(ms: f64) -> String {
    format!("<span class=\"at\" data-ms=\"{:.0}\">{}</span>", ms.max(0.0), seconds(ms))
}

fn name(timeline: &Timeline, node: usize) -> String {
    timeline.nodes.get(node).map_or_else(|| format!("node-{node}"), |line| line.name.clone())
}
