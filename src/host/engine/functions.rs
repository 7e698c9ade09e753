//! Which functions of components can be called by others, and which of theirs they import: those whose values can be carried.
//!
//! What cannot is what stands for something in the instance that has made it: resources, streams, futures. How values are carried is
//! `values.rs`'s, and how calls are made `invoke.rs`'s and `wrpc/`'s.

use super::interfaces;
use super::shapes::Shape;
use std::collections::BTreeMap;
use wasmtime::Engine;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex};

/// Parts of the types of all functions of a component that are called, and of all that it calls.
pub(super) const PARTS_MAX: usize = 1 << 16;

/// What a function takes, and gives.
#[derive(Clone, Debug)]
pub(super) struct Signature {
    pub(super) params: Box<[Shape]>,
    pub(super) results: Box<[Shape]>,
}

impl Signature {
    /// That of `function`, whose types take their parts from `room`.
    ///
    /// # Errors
    /// What it has that cannot be carried.
    pub(super) fn of(function: &ComponentFunc, room: &mut usize) -> Result<Self, &'static str> {
        if function.async_() {
            return Err("is async");
        }
        let params = Shape::all(function.params().map(|(_, ty)| ty), room)?;
        Ok(Self { params, results: Shape::all(function.results(), room)? })
    }
}

/// A function that others can call.
#[derive(Clone, Debug)]
pub(super) struct Export {
    pub(super) index: ComponentExportIndex,
    pub(super) signature: Signature,
}

/// Functions that others can call, by interface and name.
#[derive(Clone, Debug, Default)]
pub(super) struct Exports(BTreeMap<Box<str>, BTreeMap<Box<str>, Export>>);

impl Exports {
    /// Those of `component` whose values can be carried, of interfaces that components have for each other: what hosts call is
    /// no others' business.
    pub(super) fn of(component: &Component) -> Self {
        let engine = component.engine();
        let (mut all, mut room) = (BTreeMap::new(), PARTS_MAX);
        for (interface, item) in component.component_type().exports(engine) {
            let ComponentItem::ComponentInstance(instance) = item.ty else { continue };
            if !interfaces::is_of_others(interface) {
                continue;
            }
            let Some(place) = component.get_export_index(None, interface) else { continue };
            let one = |(name, function): (&str, ComponentFunc)| {
                let index = component.get_export_index(Some(&place), name)?;
                Some((name.into(), Export { index, signature: Signature::of(&function, &mut room).ok()? }))
            };
            let functions: BTreeMap<Box<str>, Export> = functions(engine, &instance).filter_map(one).collect();
            if !functions.is_empty() {
                all.insert(interface.into(), functions);
            }
        }
        Self(all)
    }

    /// One of them.
    pub(super) fn get(&self, interface: &str, function: &str) -> Option<&Export> {
        self.0.get(interface)?.get(function)
    }

    /// The interfaces that have such functions.
    pub(super) fn interfaces(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.keys().map(|interface| &**interface)
    }
}

/// The functions of an interface.
pub(super) fn functions<'a>(
    engine: &'a Engine,
    instance: &'a wasmtime::component::types::ComponentInstance,
) -> impl Iterator<Item = (&'a str, ComponentFunc)> {
    instance.exports(engine).filter_map(|(name, item)| match item.ty {
        ComponentItem::ComponentFunc(function) => Some((name, function)),
        _ => None,
    })
}
