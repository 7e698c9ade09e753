//! `wasi:config/store`: what a component is configured with.

use crate::host::engine::state::State;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Linker, Lower};

/// In which it is given.
pub(super) const VERSIONS: &[&str] = &["0.2.0-draft", "0.2.0-rc.1"];

#[derive(Debug, ComponentType, Lower)]
#[component(variant)]
#[expect(dead_code, reason = "reading a map does not fail")]
enum Error {
    #[component(name = "upstream")]
    Upstream(String),
    #[component(name = "io")]
    Io(String),
}

type Context<'a> = StoreContextMut<'a, State>;

pub(super) fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    for version in VERSIONS {
        let mut store = linker.instance(&format!("wasi:config/store@{version}"))?;
        store.func_wrap("get", |context: Context<'_>, (key,): (String,)| {
            let value: Result<Option<String>, Error> = Ok(context.data().live.config.get(&key).cloned());
            Ok((value,))
        })?;
        store.func_wrap("get-all", |context: Context<'_>, (): ()| {
            let all = context.data().live.config.iter().map(|(key, value)| (key.clone(), value.clone()));
            let all: Result<Vec<(String, String)>, Error> = Ok(all.collect());
            Ok((all,))
        })?;
    }
    Ok(())
}
