//! What is not wasmtime's own of `wasi:http`: texts of requests that a component makes of others are bounded, as wasmtime keeps them as long as
//! they come; such requests are counted; and what went wrong with a body has its name.

use super::super::outgoing::code;
use super::super::state::State;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, LinkerInstance, Resource};
use wasmtime_wasi::WasiView as _;
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler::Host as _;
use wasmtime_wasi_http::p2::bindings::http::types::{
    ErrorCode, FutureIncomingResponse, HostOutgoingRequest as _, IoError, Method, OutgoingRequest, RequestOptions,
    Scheme,
};
use wasmtime_wasi_http::{Error, WasiHttpCtxView, WasiHttpView as _};

/// The interfaces under the names by which wasmtime gives them; another 0.2 finds them as well.
const TYPES: &str = "wasi:http/types@0.2.12";
const HANDLER: &str = "wasi:http/outgoing-handler@0.2.12";

/// Bytes of a text. What is longer is refused, as what is malformed is.
const TEXT_BYTES_MAX: usize = 4 << 10;

type Context<'a> = StoreContextMut<'a, State>;
type Set = Result<(), ()>;
type Setter<T> = fn(&mut WasiHttpCtxView<'_>, Resource<OutgoingRequest>, T) -> wasmtime::Result<Set>;
type Sent = Result<Resource<FutureIncomingResponse>, ErrorCode>;

/// To be called after wasmtime's own functions have been given.
pub(super) fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut types = linker.instance(TYPES)?;
    let method = |method: &Method| if let Method::Other(text) = method { text.len() } else { 0 };
    let scheme = |scheme: &Option<Scheme>| if let Some(Scheme::Other(text)) = scheme { text.len() } else { 0 };
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    bound(&mut types, "method", method, |http, request, method| http.set_method(request, method))?;
    bound(&mut types, "scheme", scheme, |http, request, scheme| http.set_scheme(request, scheme))?;
    bound(&mut types, "authority", text, |http, request, text| http.set_authority(request, text))?;
    bound(&mut types, "path-with-query", text, |http, request, text| http.set_path_with_query(request, text))?;
    types.func_wrap("http-error-code", |mut context: Context<'_>, (error,): (Resource<IoError>,)| {
        let error = context.data_mut().ctx().table.get(&error)?;
        let own = || error.downcast_ref::<Error>().map(code);
        Ok((error.downcast_ref::<ErrorCode>().cloned().or_else(own),))
    })?;
    linker.instance(HANDLER)?.func_wrap("handle", send)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Gives a function that sets a text of a request, of at most [`TEXT_BYTES_MAX`].
fn bound<T: ComponentType + Lift + Send + Sync + 'static>(
    types: &mut LinkerInstance<'_, State>,
    name: &str,
    len: fn(&T) -> usize,
    set: Setter<T>,
) -> wasmtime::Result<()> {
    let name = format!("[method]outgoing-request.set-{name}");
    types.func_wrap(&name, move |mut context: Context<'_>, (request, value): (Resource<OutgoingRequest>, T)| {
        let is_long = len(&value) > TEXT_BYTES_MAX;
        Ok((if is_long { Err(()) } else { set(&mut context.data_mut().http(), request, value)? },))
    })
}

fn send(
    mut context: Context<'_>,
    (request, options): (Resource<OutgoingRequest>, Option<Resource<RequestOptions>>),
) -> wasmtime::Result<(Sent,)> {
    context.data_mut().limiter.ask()?;
    let mut http = context.data_mut().http();
    let borrowed = || Resource::new_borrow(request.rep());
    if http.path_with_query(borrowed())?.is_none_or(|path| path.is_empty()) {
        // Without a path wasmtime would write a line to the node's log, each time. This one is accepted.
        let _ = http.set_path_with_query(borrowed(), Some("/".to_owned()))?;
    }
    match http.handle(request, options) {
        Ok(future) => Ok((Ok(future),)),
        // What is no word for the component ends it.
        Err(error) => Ok((Err(error.downcast()?),)),
    }
}
