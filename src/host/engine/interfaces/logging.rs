//! `wasi:logging/logging`: lines for the node's log.

use crate::host::engine::log::Level;
use crate::host::engine::state::State;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker};

#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "made of what a component says, by what is derived")]
enum Said {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
    #[component(name = "critical")]
    Critical,
}

pub(super) fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.instance("wasi:logging/logging@0.1.0-draft")?.func_wrap(
        "log",
        |context: StoreContextMut<'_, State>, (said, source, text): (Said, String, String)| {
            let level = match said {
                Said::Trace | Said::Debug => Level::Debug,
                Said::Info => Level::Info,
                Said::Warn => Level::Warn,
                Said::Error | Said::Critical => Level::Error,
            };
            context.data().live.log.write(level, &source, &text);
            Ok(())
        },
    )
}
