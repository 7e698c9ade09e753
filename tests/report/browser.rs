//! A headless browser: pages opened in it, with what they say and what they look like.

#![allow(unreachable_pub, reason = "a module of a test crate")]

use crate::support::process::{Finished, run};
use crate::support::{LIMIT, root};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Programs that can do it.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];

/// How a page is shown.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Width of the window.
    pub width: u32,
    /// Height of the window.
    pub height: u32,
    /// Whether the reader prefers dark colours.
    pub dark: bool,
}

/// Shows the page in `file`, from `hash` on, and makes a picture of it.
pub fn picture(file: &Path, hash: &str, view: View, png: &Path) {
    let _ = fs::remove_file(png);
    let shown = open(file, hash, view, &[&format!("--screenshot={}", png.display())]);
    assert!(png.exists(), "no picture of {}: {}", file.display(), shown.stderr);
}

/// Shows the page in `file`, and returns it as its scripts have left it.
///
/// # Panics
/// When one of them fails, or something is refused to it.
pub fn document(file: &Path, view: View) -> String {
    let shown = open(file, "", view, &["--dump-dom"]);
    let said: Vec<&str> = console(&shown.stderr).collect();
    assert!(said.is_empty(), "{} says on the console: {said:#?}", file.display());
    shown.stdout
}

/// What pages wrote to the console.
pub fn console(log: &str) -> impl Iterator<Item = &str> {
    log.lines().filter(|line| line.contains("CONSOLE"))
}

/// Shows the page in `file` to its end.
pub fn open(file: &Path, hash: &str, view: View, more: &[&str]) -> Finished {
    let profile = tempfile::tempdir().unwrap();
    let mut command = Command::new(program());
    command.args([
        "--headless=new",
        // The pages are ours, and root has no sandbox.
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
        "--hide-scrollbars",
        "--enable-logging=stderr",
        // Time for its timers and frames, not ours.
        "--virtual-time-budget=10000",
    ]);
    let scheme = u8::from(!view.dark);
    command.arg(format!("--blink-settings=preferredColorScheme={scheme}"));
    command.arg(format!("--window-size={},{}", view.width, view.height));
    command.arg(format!("--user-data-dir={}", profile.path().display()));
    command.args(more).arg(format!("file://{}{hash}", file.display()));
    let ended = run(&mut command, LIMIT);
    assert_eq!(ended.code, Some(0), "{command:?}: {}", ended.stderr);
    ended
}

/// # Panics
/// When there is none: these tests never pass by not running.
fn program() -> PathBuf {
    if let Some(named) = env::var_os("CHROMIUM") {
        return named.into();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found =
        env::split_paths(&path).flat_map(|folder| NAMES.map(|name| folder.join(name))).find(|file| file.is_file());
    found.unwrap_or_else(|| {
        let fetch = root().join(".ci/fetch-browser");
        panic!("none of {NAMES:?} is in PATH: run {}, or set CHROMIUM to a browser", fetch.display())
    })
}
