//! How a run went, as JSON for machines: one object whose fields stay as they are.

use super::worker::Answer;
use lattice_netsim::{Check, Count, Violation};
use serde::Serialize;
use std::collections::BTreeMap;

/// A run, or the sum of many.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) scenario: String,
    pub(super) seed: u64,
    pub(super) passed: bool,
    pub(super) trace_hash: String,
    pub(super) violations: Vec<Violation>,
    pub(super) violations_total: u64,
    /// How often, and how badly, by check.
    pub(super) violated: BTreeMap<Check, Count>,
    /// By check: how badly, where it is known.
    pub(super) shortfalls: BTreeMap<Check, f64>,
    pub(super) bites: BTreeMap<String, u64>,
    pub(super) vacuous: Vec<String>,
    pub(super) resume_ms: Option<f64>,
    pub(super) published: u64,
    pub(super) delivered: u64,
    pub(super) lost: u64,
    pub(super) requests: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) overfilled_ms: Option<f64>,
    pub(super) cpu_ms: f64,
    /// Of a swarm: how many seeds were played …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) runs: Option<u64>,
    /// … and those that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failed: Option<Vec<u64>>,
    /// What plays it again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) replay: Option<String>,
    /// The smallest scenario that fails as well, as a file, if one was looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) shrunk: Option<String>,
}

impl Report {
    /// The report on one run. A fault that never bit fails it when `vacuous_fails`.
    pub(super) fn new(answer: &Answer, vacuous_fails: bool, replay: String) -> Self {
        let verdict = &answer.verdict;
        let vacuous: Vec<String> = verdict.vacuous().map(|bite| format!("{}#{}", bite.kind, bite.fault)).collect();
        Self {
            scenario: verdict.scenario.clone(),
            seed: verdict.seed,
            passed: verdict.passed() && (!vacuous_fails || (vacuous.is_empty() && verdict.overfilled_ms.is_none())),
            trace_hash: verdict.trace_hash.clone(),
            violations: verdict.violations.clone(),
            violations_total: verdict.violations_total(),
            violated: verdict.violated.clone(),
            shortfalls: verdict.shortfalls.clone(),
            bites: verdict.bites(),
            vacuous,
            resume_ms: verdict.resume_ms,
            published: verdict.published,
            delivered: verdict.delivered,
            lost: verdict.lost,
            requests: answer.counts.requests,
            overfilled_ms: verdict.overfilled_ms,
            cpu_ms: answer.cpu_ms,
            replay: Some(replay),
            ..Self::default()
        }
    }
}
