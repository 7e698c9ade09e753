//! What is given to components: the list, who may import what of it, and the functions behind. What is not on the list does
//! not exist for them.
//!
//! `wasi:cli`, `io`, `clocks`, `random`, `filesystem` and `http` are wasmtime's own, over a context that is empty: programs import
//! the whole of `filesystem` only to find that there are no folders, and that of `http` to answer; whom they ask by it, `outgoing/` says. Sockets are not given even so, since they can be opened
//! without leave to connect. One file for each of the others.

mod config;
mod http;
mod keyvalue;
mod logging;
mod messaging;

pub(super) use messaging::{BrokerMessage, HANDLER};

/// What a component exports to be asked by HTTP; another 0.2 is as good.
pub(super) const HTTP_HANDLER: &str = "wasi:http/incoming-handler@0.2.0";

use super::log::cut;
use super::state::State;
use wasmtime::Engine;
use wasmtime::component::Linker;
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2;
use wasmtime_wasi::p2::bindings::{cli, filesystem, random};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView as _};

/// Interfaces of one package, and in which versions.
struct Given {
    package: &'static str,
    interfaces: &'static [&'static str],
    versions: Versions,
}

enum Versions {
    /// 0.2.0 and all that are compatible with it.
    Wasi02,
    /// These alone.
    Exactly(&'static [&'static str]),
}

const GIVEN: &[Given] = &[
    Given {
        package: "wasi:cli",
        interfaces: &[
            "environment",
            "exit",
            "stderr",
            "stdin",
            "stdout",
            "terminal-input",
            "terminal-output",
            "terminal-stderr",
            "terminal-stdin",
            "terminal-stdout",
        ],
        versions: Versions::Wasi02,
    },
    Given { package: "wasi:clocks", interfaces: &["monotonic-clock", "wall-clock"], versions: Versions::Wasi02 },
    Given { package: "wasi:config", interfaces: &["store"], versions: Versions::Exactly(config::VERSIONS) },
    Given { package: "wasi:filesystem", interfaces: &["preopens", "types"], versions: Versions::Wasi02 },
    // Programs import the whole of it; who asks others whom no link names is told that it is denied.
    Given { package: "wasi:http", interfaces: &["outgoing-handler", "types"], versions: Versions::Wasi02 },
    Given { package: "wasi:io", interfaces: &["error", "poll", "streams"], versions: Versions::Wasi02 },
    Given {
        package: "wasi:keyvalue",
        interfaces: &["atomics", "batch", "store"],
        versions: Versions::Exactly(keyvalue::VERSIONS),
    },
    Given { package: "wasi:logging", interfaces: &["logging"], versions: Versions::Exactly(&["0.1.0-draft"]) },
    Given { package: "wasi:random", interfaces: &["insecure", "insecure-seed", "random"], versions: Versions::Wasi02 },
    Given {
        package: "wasmcloud:messaging",
        interfaces: &["consumer", "types"],
        versions: Versions::Exactly(&["0.2.0"]),
    },
];

impl Given {
    fn has_version(&self, version: &str) -> bool {
        match self.versions {
            Versions::Wasi02 => {
                let patch = version.strip_prefix("0.2.");
                patch.is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit()))
            }
            Versions::Exactly(versions) => versions.contains(&version),
        }
    }

    fn version_text(&self) -> String {
        match self.versions {
            Versions::Wasi02 => "0.2.x".to_owned(),
            Versions::Exactly(versions) => versions.join(" or "),
        }
    }
}

/// Whether the node itself gives an interface, in whichever version.
pub(super) fn is_given(import: &str) -> bool {
    given(import).is_some()
}

fn given(import: &str) -> Option<&'static Given> {
    let name = import.split_once('@').map_or(import, |(name, _)| name);
    let (package, interface) = name.split_once('/')?;
    GIVEN.iter().find(|given| given.package == package && given.interfaces.contains(&interface))
}

/// Whether all `imports` of a component are given; whether others are to be called for some of them.
///
/// # Errors
/// Names the first that is not, and what is.
pub(super) fn check<'a>(imports: impl Iterator<Item = &'a str>) -> Result<bool, String> {
    let mut calls = false;
    for import in imports {
        let version = import.split_once('@').map_or("", |(_, version)| version);
        match given(import) {
            Some(given) if given.has_version(version) => {}
            Some(given) => {
                return Err(format!(
                    "imports {:?}, which is given in version {} alone",
                    cut(import),
                    given.version_text()
                ));
            }
            None if is_of_others(import) => calls = true,
            None => return Err(format!("imports {:?}, which is not given; given are {}", cut(import), all())),
        }
    }
    Ok(calls)
}

/// Whether an interface is one that components have for each other: of no package that hosts are asked for.
pub(super) fn is_of_others(import: &str) -> bool {
    let package = import.split_once('/').map_or("", |(package, _)| package);
    let namespace = package.split_once(':').map_or("", |(namespace, _)| namespace);
    !["", "wasi", "wasmcloud"].contains(&namespace)
}

fn all() -> String {
    let one = |given: &Given| format!("{}/{{{}}}@{}", given.package, given.interfaces.join(","), given.version_text());
    GIVEN.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The functions behind all that is given.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasi(&mut linker)?;
    config::add(&mut linker)?;
    keyvalue::add(&mut linker)?;
    logging::add(&mut linker)?;
    messaging::add(&mut linker)?;
    Ok(linker)
}

fn wasi(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    // `io`, `clocks`, `random/random` and the three streams of `cli`.
    p2::add_to_linker_proxy_interfaces_async(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    http::add(linker)?;
    cli::environment::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::exit::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_input::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_output::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stdin::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stdout::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    cli::terminal_stderr::add_to_linker::<State, WasiCli>(linker, State::cli)?;
    random::insecure::add_to_linker::<State, WasiRandom>(linker, State::random)?;
    random::insecure_seed::add_to_linker::<State, WasiRandom>(linker, State::random)?;
    filesystem::preopens::add_to_linker::<State, WasiFilesystem>(linker, State::filesystem)?;
    filesystem::types::add_to_linker::<State, WasiFilesystem>(linker, State::filesystem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_is_named() {
        let check = |name: &str| check(std::iter::once(name));
        for good in ["wasi:cli/stdout@0.2.0", "wasi:cli/stdout@0.2.12", "wasi:config/store@0.2.0-rc.1"] {
            assert_eq!(check(good), Ok(false), "{good}");
        }
        for others in ["shop:stock/counts@0.1.0", "shop:stock/counts"] {
            assert_eq!(check(others), Ok(true), "{others}");
        }
        let error = check("wasi:sockets/tcp@0.2.0").unwrap_err();
        assert!(
            error.starts_with("imports \"wasi:sockets/tcp@0.2.0\", which is not given; given are wasi:cli/"),
            "{error}"
        );
        let error = check("wasmcloud:messaging/consumer@0.3.0").unwrap_err();
        assert_eq!(error, "imports \"wasmcloud:messaging/consumer@0.3.0\", which is given in version 0.2.0 alone");
        for bad in ["wasi:cli/stdout@0.2.0-rc", "wasi:cli/stdout", "wasi:cli/stdout@0.3.0", "", "/", "@"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
