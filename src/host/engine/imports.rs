//! Functions that a component imports from others: each call of one goes to the component that a link names, wherever that runs.
//!
//! What the node gives itself is `interfaces.rs`'s, and the way there `wrpc/`'s.

use super::call::Limit;
use super::functions::{PARTS_MAX, Signature, functions};
use super::interfaces;
use super::limiter::Share;
use super::state::State;
use super::values;
use super::wrpc::{Call, Refusal};
use std::sync::Arc;
use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{Component, Linker, Val};
use wasmtime::{Error, StoreContextMut};

/// Functions that one component may import from others.
const FUNCTIONS_MAX: usize = 1_024;

/// What a component may import yet.
struct Room {
    functions: usize,
    parts: usize,
}

/// A function of another component.
#[derive(Debug)]
struct Import {
    /// With its version.
    interface: Arc<str>,
    function: Arc<str>,
    signature: Signature,
}

/// A call of an imported function came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{interface} {function}{to}: {why}")]
struct CallFailed {
    interface: Arc<str>,
    function: Arc<str>,
    to: String,
    why: Refusal,
}

/// Gives `component` what it imports and the node does not give itself.
///
/// # Errors
/// Names what cannot be carried from component to component.
pub(super) fn add(linker: &mut Linker<State>, component: &Component) -> Result<(), String> {
    let engine = component.engine();
    let mut room = Room { functions: FUNCTIONS_MAX, parts: PARTS_MAX };
    for (name, item) in component.component_type().imports(engine) {
        if interfaces::is_given(name) {
            continue;
        }
        let ComponentItem::ComponentInstance(instance) = item.ty else {
            return Err(format!("imports {name:?}, which is no interface"));
        };
        add_interface(linker, component, name, &instance, &mut room)?;
    }
    Ok(())
}

fn add_interface(
    linker: &mut Linker<State>,
    component: &Component,
    name: &str,
    instance: &ComponentInstance,
    room: &mut Room,
) -> Result<(), String> {
    let engine = component.engine();
    let refused =
        |why: &str| format!("imports {name:?} from other components, which {why}: values alone can be carried");
    let resource = instance.exports(engine).any(|(_, item)| matches!(item.ty, ComponentItem::Resource(_)));
    if resource {
        return Err(refused("has a resource"));
    }
    let mut place = linker.instance(name).map_err(|error| format!("imports {name:?}: {error:#}"))?;
    for (function, ty) in functions(engine, instance) {
        let left = room.functions.checked_sub(1);
        room.functions =
            left.ok_or_else(|| format!("imports more than {FUNCTIONS_MAX} functions of other components"))?;
        let signature = Signature::of(&ty, &mut room.parts).map_err(refused)?;
        let import = Arc::new(Import { interface: name.into(), function: function.into(), signature });
        let added = place.func_new_async(function, move |store, _, params, results| {
            Box::new(call(store, Arc::clone(&import), params, results))
        });
        added.map_err(|error| format!("imports {name:?}: {error:#}"))?;
    }
    Ok(())
}

async fn call(
    mut store: StoreContextMut<'_, State>,
    import: Arc<Import>,
    params: &[Val],
    results: &mut [Val],
) -> wasmtime::Result<()> {
    let state = store.data_mut();
    state.limiter.publish()?;
    let live = state.live.clone();
    let target = live.links.target(&import.interface).map(str::to_owned);
    let failed = |why: Refusal| {
        let to = target.as_ref().map_or_else(String::new, |target| format!(" of component {target:?}"));
        Error::new(CallFailed { interface: import.interface.clone(), function: import.function.clone(), to, why })
    };
    let target = target.as_deref().ok_or_else(|| failed(Refusal::Unlinked))?;
    let params = values::encode(&import.signature.params, params).map_err(|fault| failed(fault.into()))?;
    if params.len() > live.bounds.carried_bytes_max {
        return Err(Limit::Values { max: live.bounds.carried_bytes_max }.into());
    }
    // While it waits all of that stays, and the instance has not been asked for it.
    let max = live.bounds.values_bytes_max;
    let memory = values::measure(&import.signature.params, &params, max).map_err(|fault| failed(fault.into()))?;
    let mut share = Share::of(&live.budget);
    share.take(memory + params.len() as u64)?;
    let call = Call { source: &live.id, target, interface: &import.interface, function: &import.function };
    let answer = state.waiting(live.calls.call(&call, params, &mut share)).await;
    let answer = answer.map_err(&failed)?;
    let answer = values::decode(&import.signature.results, &answer, max).map_err(|fault| failed(fault.into()))?;
    for (place, value) in results.iter_mut().zip(answer) {
        *place = value;
    }
    Ok(())
}
