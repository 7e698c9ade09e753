//! What the nodes log, in virtual time: for looking at one seed.

use lattice_netsim::Host;
use std::cell::RefCell;
use std::fmt;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

thread_local! {
    /// Any host of the world that this thread runs: all know the true time.
    static CLOCK: RefCell<Option<Host>> = const { RefCell::new(None) };
}

/// From now on log lines of this thread bear the time of `host`'s world.
pub fn follow(host: Host) {
    CLOCK.replace(Some(host));
}

/// Logs what `RUST_LOG` asks for, when it does.
pub fn start() {
    if std::env::var_os(EnvFilter::DEFAULT_ENV).is_some() {
        let format = tracing_subscriber::fmt().with_timer(VirtualTime).with_ansi(false).with_writer(std::io::stderr);
        // Another test of this process may have been first.
        let _ = format.with_env_filter(EnvFilter::from_default_env()).try_init();
    }
}

struct VirtualTime;

impl FormatTime for VirtualTime {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        CLOCK.with_borrow(|clock| match clock {
            Some(host) => write!(w, "{:>12.6}", host.time().as_secs_f64()),
            None => Ok(()),
        })
    }
}
