//! Texts of requests that a component makes for others: bounded, as wasmtime keeps them as long as they come. Everything else of
//! `wasi:http` is wasmtime's own.

use super::super::state::State;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::p2::bindings::http::types::{HostOutgoingRequest as _, Method, OutgoingRequest, Scheme};

/// The interface under the name by which wasmtime gives it; another 0.2 finds it as well.
const TYPES: &str = "wasi:http/types@0.2.12";

/// Bytes of a text. What is longer is refused, as what is malformed is.
const TEXT_BYTES_MAX: usize = 4 << 10;

type Set = (Result<(), ()>,);

/// To be called after wasmtime's own functions have been given.
pub(super) fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut types = linker.instance(TYPES)?;
    types.func_wrap(
        "[method]outgoing-request.set-method",
        |mut store: StoreContextMut<'_, State>,
         (request, method): (Resource<OutgoingRequest>, Method)|
         -> wasmtime::Result<Set> {
            if matches!(&method, Method::Other(text) if text.len() > TEXT_BYTES_MAX) {
                return Ok((Err(()),));
            }
            Ok((store.data_mut().http().set_method(request, method)?,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-scheme",
        |mut store: StoreContextMut<'_, State>,
         (request, scheme): (Resource<OutgoingRequest>, Option<Scheme>)|
         -> wasmtime::Result<Set> {
            if matches!(&scheme, Some(Scheme::Other(text)) if text.len() > TEXT_BYTES_MAX) {
                return Ok((Err(()),));
            }
            Ok((store.data_mut().http().set_scheme(request, scheme)?,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-path-with-query",
        |mut store: StoreContextMut<'_, State>,
         (request, path): (Resource<OutgoingRequest>, Option<String>)|
         -> wasmtime::Result<Set> {
            if is_long(path.as_deref()) {
                return Ok((Err(()),));
            }
            Ok((store.data_mut().http().set_path_with_query(request, path)?,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-authority",
        |mut store: StoreContextMut<'_, State>,
         (request, authority): (Resource<OutgoingRequest>, Option<String>)|
         -> wasmtime::Result<Set> {
            if is_long(authority.as_deref()) {
                return Ok((Err(()),));
            }
            Ok((store.data_mut().http().set_authority(request, authority)?,))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

fn is_long(text: Option<&str>) -> bool {
    text.is_some_and(|text| text.len() > TEXT_BYTES_MAX)
}
