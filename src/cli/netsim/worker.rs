//! Another process of this program that plays scenarios: a job a line on its standard input, an answer a line on its
//! standard output.
//!
//! A process of its own uses another core, keeps statics and hash keys apart, and may crash without harm: a release
//! ends at a panic, and that is what a simulation looks for.

use super::super::{CliError, EXIT_OK};
use crate::sim::{Counts, HUGE_PAGES, Run, cpu_time, play_caught};
use lattice_netsim::{Check, Fate, Scenario, Tally, Timeline, Verdict, Violation};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

/// Bytes of what a dying worker says that are kept.
const LAST_WORDS_MAX: usize = 4_096;

/// A scenario to play.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Job {
    /// Which.
    pub(super) scenario: Scenario,
    /// Under which seed.
    pub(super) seed: u64,
    /// Whether the timeline is wanted.
    pub(super) timeline: bool,
    /// Whether the fates of packets are wanted.
    pub(super) fates: bool,
}

/// How it went.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    /// What was broken.
    pub(super) verdict: Verdict,
    /// What the clients did besides.
    pub(super) counts: Counts,
    /// What happened when, if it was wanted.
    pub(super) timeline: Option<Timeline>,
    /// What chance did to packets, if it was wanted.
    pub(super) fates: Vec<Fate>,
    /// Processor time that it took, in milliseconds.
    pub(super) cpu_ms: f64,
}

/// Plays jobs until there are no more: `lattice netsim work`.
pub(super) fn serve() -> Result<u8, CliError> {
    crate::sim::log::start();
    for line in std::io::stdin().lock().lines() {
        let job: Job = serde_json::from_str(&line?).map_err(|error| CliError::usage(format!("no job: {error}")))?;
        let begun = cpu_time();
        let Run { played, counts, fates } = play_caught(&job.scenario, job.seed);
        let cpu = cpu_time().saturating_sub(begun);
        let answer = Answer {
            verdict: played.verdict,
            counts,
            timeline: job.timeline.then_some(played.timeline),
            fates: if job.fates { fates } else { Vec::new() },
            cpu_ms: cpu.as_secs_f64() * 1e3,
        };
        let mut text = serde_json::to_vec(&answer).map_err(std::io::Error::other)?;
        text.push(b'\n');
        let mut out = std::io::stdout().lock();
        out.write_all(&text)?;
        out.flush()?;
    }
    Ok(EXIT_OK)
}

/// A worker, seen from the process that has work. Dropping it ends the process.
#[derive(Debug)]
pub(super) struct Worker {
    process: Option<Process>,
    /// How long one job may take in real time; as long as it likes when there is none.
    limit: Option<Duration>,
}

#[derive(Debug)]
struct Process {
    child: Arc<Mutex<Child>>,
    jobs: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    /// Ends with what the process said last on its standard error, when that has been closed.
    words: Option<JoinHandle<Vec<u8>>>,
}

impl Worker {
    /// A worker that is ended when one job takes longer than `limit`, as a run that goes round in a circle does.
    pub(super) fn within(limit: Option<Duration>) -> Self {
        Self { process: None, limit }
    }

    /// Plays a job, and waits for it. A worker that dies of it, or has to be ended, has found a violation; the next job gets
    /// another one.
    pub(super) fn play(&mut self, job: &Job) -> Result<Answer, CliError> {
        if self.process.is_none() {
            self.process = Some(Process::start()?);
        }
        let process = self.process.as_mut().expect("it was started");
        let (answer, over) = process.ask_within(job, self.limit)?;
        match answer {
            Some(answer) => {
                if over.is_some() {
                    // Its answer came as it was being ended.
                    self.process = None;
                }
                Ok(answer)
            }
            None => Ok(self.process.take().expect("it was asked").died(job, over)),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = self.child();
        // One that has ended already is waited for all the same, and nothing else can be done about others.
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Process {
    fn start() -> Result<Self, CliError> {
        let program =
            std::env::current_exe().map_err(|error| CliError::new(format!("cannot find this program: {error}")))?;
        // Messages of panics are its last words; logs are wanted only when asked for.
        let stderr = if std::env::var_os("RUST_LOG").is_some() { Stdio::inherit() } else { Stdio::piped() };
        let mut command = Command::new(program);
        command.args(["netsim", "work"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        // Who has set it knows better.
        if std::env::var_os(HUGE_PAGES.0).is_none() {
            command.env(HUGE_PAGES.0, HUGE_PAGES.1);
        }
        let mut child = command.spawn().map_err(|error| CliError::new(format!("cannot start a worker: {error}")))?;
        let jobs = child.stdin.take().expect("it has a standard input");
        let answers = BufReader::new(child.stdout.take().expect("it has a standard output")).lines();
        // Read all the time, or the process would wait for it.
        let words = child.stderr.take().map(|stderr| std::thread::Builder::new().spawn(move || last_words(stderr)));
        let words = words.transpose().map_err(|error| CliError::new(format!("cannot start a worker: {error}")))?;
        Ok(Self { child: Arc::new(Mutex::new(child)), jobs, answers, words })
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().expect("no holder of this lock panics")
    }

    /// Asks, and has the process ended when the time is up: then the limit is returned, too.
    fn ask_within(
        &mut self,
        job: &Job,
        limit: Option<Duration>,
    ) -> Result<(Option<Answer>, Option<Duration>), CliError> {
        let Some(limit) = limit else { return Ok((self.ask(job), None)) };
        let (answered, waits) = channel::<()>();
        let child = Arc::clone(&self.child);
        let watch = move || {
            let late = waits.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
            if late {
                // One that has ended by itself needs no ending.
                let _ = child.lock().expect("no holder of this lock panics").kill();
            }
            late
        };
        let watcher = std::thread::Builder::new()
            .spawn(watch)
            .map_err(|error| CliError::new(format!("cannot watch a worker: {error}")))?;
        let answer = self.ask(job);
        drop(answered);
        let late = watcher.join().unwrap_or(false);
        Ok((answer, late.then_some(limit)))
    }

    fn ask(&mut self, job: &Job) -> Option<Answer> {
        let mut text = serde_json::to_vec(job).ok()?;
        text.push(b'\n');
        self.jobs.write_all(&text).ok()?;
        self.jobs.flush().ok()?;
        let line = self.answers.next()?.ok()?;
        serde_json::from_str(&line).ok()
    }

    fn died(mut self, job: &Job, over: Option<Duration>) -> Answer {
        let ended = {
            let mut child = self.child();
            // One that lives and makes no sense would wait for its next job for ever.
            let _ = child.kill();
            child.wait().map_or_else(|error| error.to_string(), |status| status.to_string())
        };
        let words = self.words.take().and_then(|words| words.join().ok()).unwrap_or_default();
        let what = match over {
            Some(limit) => format!("it was not over after {} s of real time, and was ended: --limit", limit.as_secs()),
            None => format!("the process that played it died ({ended}): {}", String::from_utf8_lossy(&words).trim()),
        };
        let mut found = Tally::default();
        found.add(Violation { at_ms: 0.0, check: Check::Panic, node: None, what, figure: None });
        let verdict = Verdict::broken(&job.scenario, job.seed, found);
        Answer { verdict, counts: Counts::default(), timeline: None, fates: Vec::new(), cpu_ms: 0.0 }
    }
}

/// The end of what is read until it is closed.
fn last_words(mut stderr: ChildStderr) -> Vec<u8> {
    let (mut words, mut piece) = (Vec::new(), [0; 1024]);
    // What cannot be read is not said.
    while let Some(len) = stderr.read(&mut piece).ok().filter(|len| *len > 0) {
        words.extend_from_slice(&piece[..len]);
        let over = words.len().saturating_sub(LAST_WORDS_MAX);
        words.drain(..over);
    }
    words
}
