//! Which functions of components can be called by others, and which of theirs they import: those whose values can be carried.
//!
//! What cannot is what stands for something in the instance that has made it: resources, streams, futures. How values are carried is
//! `values.rs`'s, and how calls are made `invoke.rs`'s and `wrpc/`'s.

use std::collections::BTreeMap;
use wasmtime::Engine;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex, Type};

/// Cases of a variant or an enum, or flags: each value of such a type is looked up among them.
const CASES_MAX: usize = 256;

/// What a function takes, and gives.
#[derive(Clone, Debug)]
pub(super) struct Signature {
    pub(super) params: Box<[Type]>,
    pub(super) results: Box<[Type]>,
}

impl Signature {
    /// That of `function`.
    ///
    /// # Errors
    /// What it has that cannot be carried.
    pub(super) fn of(function: &ComponentFunc) -> Result<Self, &'static str> {
        let signature =
            Self { params: function.params().map(|(_, ty)| ty).collect(), results: function.results().collect() };
        if function.async_() {
            return Err("is async");
        }
        signature.params.iter().chain(&signature.results).try_for_each(carried)?;
        Ok(signature)
    }
}

/// Whether values of a type can be carried.
///
/// # Errors
/// What of it cannot.
fn carried(ty: &Type) -> Result<(), &'static str> {
    const MANY: &str = "has a type of more than 256 cases";
    match ty {
        Type::Bool | Type::S8 | Type::U8 | Type::S16 | Type::U16 | Type::S32 | Type::U32 | Type::S64 | Type::U64 => {
            Ok(())
        }
        Type::Float32 | Type::Float64 | Type::Char | Type::String => Ok(()),
        Type::List(list) => carried(&list.ty()),
        Type::Record(record) => record.fields().try_for_each(|field| carried(&field.ty)),
        Type::Tuple(tuple) => tuple.types().try_for_each(|ty| carried(&ty)),
        Type::Variant(variant) if variant.cases().len() > CASES_MAX => Err(MANY),
        Type::Variant(variant) => variant.cases().filter_map(|case| case.ty).try_for_each(|ty| carried(&ty)),
        Type::Enum(names) if names.names().len() > CASES_MAX => Err(MANY),
        Type::Flags(flags) if flags.names().len() > CASES_MAX => Err(MANY),
        Type::Enum(_) | Type::Flags(_) => Ok(()),
        Type::Option(option) => carried(&option.ty()),
        Type::Result(result) => result.ok().iter().chain(&result.err()).try_for_each(carried),
        Type::Own(_) | Type::Borrow(_) => Err("has a resource"),
        Type::Future(_) | Type::Stream(_) => Err("has a stream or a future"),
        Type::Map(_) | Type::FixedLengthList(_) | Type::ErrorContext => Err("has a type that has no encoding"),
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
    /// Those of `component` whose values can be carried.
    pub(super) fn of(component: &Component) -> Self {
        let engine = component.engine();
        let mut all = BTreeMap::new();
        for (interface, item) in component.component_type().exports(engine) {
            let ComponentItem::ComponentInstance(instance) = item.ty else { continue };
            let Some(place) = component.get_export_index(None, interface) else { continue };
            let one = |(name, function): (&str, ComponentFunc)| {
                let (index, signature) =
                    (component.get_export_index(Some(&place), name)?, Signature::of(&function).ok()?);
                Some((name.into(), Export { index, signature }))
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
