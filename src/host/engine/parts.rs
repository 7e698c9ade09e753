//! What a component is made of, counted before the compiler has to: a few bytes can say "twice what is in me, which is twice what
//! is in it", and the compiler writes all of that out, and each instance then has it.
//!
//! It looks at the shape alone; whether the file is right is the compiler's to say. What it cannot resolve it takes for the
//! largest that there is, so that it never counts too few.

use super::log::cut;
use wasmparser::{
    BinaryReaderError, ComponentAlias, ComponentAliasSectionReader, ComponentExportSectionReader,
    ComponentExternalKind, ComponentInstance, ComponentInstanceSectionReader, ComponentOuterAliasKind,
    ComponentTypeRef, Encoding, Instance, InstanceSectionReader, Parser, Payload,
};

/// Instances of modules and components that one component may come to, written out.
const INSTANCES_MAX: u64 = 1_000;

/// Bytes that an instance may take besides its memories and tables.
const BYTES_MAX: u64 = 16 << 20;

/// What wasmtime keeps in each instance, in bytes, rounded up: for a module as such, a global, a function that it has or
/// imports, a type.
const MODULE_BYTES: u64 = 4 << 10;
const GLOBAL_BYTES: u64 = 16;
const FUNCTION_BYTES: u64 = 40;
const TYPE_BYTES: u64 = 8;

/// What one instance of a component comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Parts {
    /// Instances of modules and components in it.
    pub(super) instances: u64,
    /// Bytes that it takes besides its memories and tables.
    pub(super) bytes: u64,
}

impl Parts {
    fn add(&mut self, other: Self) {
        self.instances = self.instances.saturating_add(other.instances);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    fn largest(self, other: Self) -> Self {
        Self { instances: self.instances.max(other.instances), bytes: self.bytes.max(other.bytes) }
    }

    /// As a part of something else.
    fn as_one(self) -> Self {
        Self { instances: self.instances.saturating_add(1), ..self }
    }
}

/// Something whose end has not been read yet.
enum Open {
    Module(Parts),
    Component(Component),
}

#[derive(Default)]
struct Component {
    made: Parts,
    modules: Vec<Parts>,
    components: Vec<Parts>,
}

#[derive(Default)]
struct Count {
    open: Vec<Open>,
    /// At least as much as any that has been read to its end.
    largest_module: Parts,
    largest_component: Parts,
    whole: Parts,
}

/// Counts what an instance of the component in `image` comes to.
///
/// # Errors
/// What is wrong with it, or too much.
pub(super) fn count(image: &[u8]) -> Result<Parts, String> {
    let mut count = Count::default();
    for payload in Parser::new(0).parse_all(image) {
        let broken = |error| format!("is no whole component: {}", cut(&format!("{error}")));
        count.take(&payload.map_err(broken)?)?;
    }
    let Parts { instances, bytes } = count.whole;
    if instances > INSTANCES_MAX {
        return Err(format!("is made of {instances} instances or more: expected at most {INSTANCES_MAX}"));
    }
    if bytes > BYTES_MAX {
        return Err(format!(
            "has so many functions and globals that an instance takes {bytes} bytes beside its memory: expected at most {BYTES_MAX}"
        ));
    }
    Ok(count.whole)
}

impl Count {
    fn take(&mut self, payload: &Payload<'_>) -> Result<(), String> {
        match payload {
            Payload::Version { encoding: Encoding::Module, .. } => {
                self.open.push(Open::Module(Parts { instances: 0, bytes: MODULE_BYTES }));
            }
            Payload::Version { encoding: Encoding::Component, .. } => {
                self.open.push(Open::Component(Component::default()));
            }
            Payload::End(_) => self.end(),
            Payload::TypeSection(section) => self.in_module(section.count(), TYPE_BYTES),
            Payload::ImportSection(section) => self.in_module(section.count(), FUNCTION_BYTES),
            Payload::FunctionSection(section) => self.in_module(section.count(), FUNCTION_BYTES),
            Payload::GlobalSection(section) => self.in_module(section.count(), GLOBAL_BYTES),
            _ => return self.in_component(payload),
        }
        Ok(())
    }

    fn end(&mut self) {
        match self.open.pop() {
            Some(Open::Module(made)) => {
                self.largest_module = self.largest_module.largest(made);
                if let Some(Open::Component(outer)) = self.open.last_mut() {
                    outer.modules.push(made);
                }
            }
            Some(Open::Component(Component { made, .. })) => {
                self.largest_component = self.largest_component.largest(made);
                match self.open.last_mut() {
                    Some(Open::Component(outer)) => outer.components.push(made),
                    Some(Open::Module(_)) | None => self.whole = made,
                }
            }
            None => {}
        }
    }

    fn in_module(&mut self, count: u32, bytes: u64) {
        if let Some(Open::Module(made)) = self.open.last_mut() {
            made.bytes = made.bytes.saturating_add(u64::from(count) * bytes);
        }
    }

    fn in_component(&mut self, payload: &Payload<'_>) -> Result<(), String> {
        let Some(Open::Component(component)) = self.open.last_mut() else { return Ok(()) };
        let (module, other) = (self.largest_module, self.largest_component);
        let done = match payload {
            Payload::InstanceSection(section) => component.instantiate(section, module),
            Payload::ComponentInstanceSection(section) => component.instantiate_components(section, other),
            Payload::ComponentImportSection(section) => {
                let mut types = section.clone().into_iter().map(|import| import.map(|import| import.ty));
                let is_code = |ty: &_| matches!(ty, Ok(ComponentTypeRef::Module(_) | ComponentTypeRef::Component(_)));
                if types.any(|ty| is_code(&ty)) {
                    return Err("imports code, in a module or a component: expected to have all of it".to_owned());
                }
                Ok(())
            }
            Payload::ComponentAliasSection(section) => {
                if section.clone().into_iter().any(|alias| alias.is_ok_and(|alias| is_code_of_an_instance(&alias))) {
                    return Err("has code from an instance: expected code of its own".to_owned());
                }
                component.alias(section, module, other)
            }
            Payload::ComponentExportSection(section) => component.export(section, module, other),
            _ => Ok(()),
        };
        done.map_err(|error| format!("is no whole component: {error}"))
    }
}

fn is_code_of_an_instance(alias: &ComponentAlias<'_>) -> bool {
    let code = [ComponentExternalKind::Module, ComponentExternalKind::Component];
    matches!(alias, ComponentAlias::InstanceExport { kind, .. } if code.contains(kind))
}

/// What is not found stands for the largest that there is.
impl Component {
    fn instantiate(&mut self, section: &InstanceSectionReader<'_>, largest: Parts) -> Result<(), BinaryReaderError> {
        for instance in section.clone() {
            if let Instance::Instantiate { module_index, .. } = instance? {
                self.made.add(self.modules.get(module_index as usize).copied().unwrap_or(largest).as_one());
            }
        }
        Ok(())
    }

    fn instantiate_components(
        &mut self,
        section: &ComponentInstanceSectionReader<'_>,
        largest: Parts,
    ) -> Result<(), BinaryReaderError> {
        for instance in section.clone() {
            if let ComponentInstance::Instantiate { component_index, .. } = instance? {
                self.made.add(self.components.get(component_index as usize).copied().unwrap_or(largest).as_one());
            }
        }
        Ok(())
    }

    /// What is further out was read to its end before this.
    fn alias(
        &mut self,
        section: &ComponentAliasSectionReader<'_>,
        module: Parts,
        component: Parts,
    ) -> Result<(), BinaryReaderError> {
        for alias in section.clone() {
            match alias? {
                ComponentAlias::Outer { kind: ComponentOuterAliasKind::CoreModule, .. } => self.modules.push(module),
                ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, .. } => {
                    self.components.push(component);
                }
                ComponentAlias::Outer { .. }
                | ComponentAlias::InstanceExport { .. }
                | ComponentAlias::CoreInstanceExport { .. } => {}
            }
        }
        Ok(())
    }

    /// An export has a number of its own.
    fn export(
        &mut self,
        section: &ComponentExportSectionReader<'_>,
        module: Parts,
        component: Parts,
    ) -> Result<(), BinaryReaderError> {
        for export in section.clone() {
            match export?.kind {
                ComponentExternalKind::Module => self.modules.push(module),
                ComponentExternalKind::Component => self.components.push(component),
                ComponentExternalKind::Func
                | ComponentExternalKind::Value
                | ComponentExternalKind::Type
                | ComponentExternalKind::Instance => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    fn section(id: u8, body: &[u8]) -> Vec<u8> {
        let mut section = vec![id];
        let mut len = body.len();
        loop {
            let more = len > 0x7f;
            section.push(u8::try_from(len & 0x7f).unwrap() | if more { 0x80 } else { 0 });
            len >>= 7;
            if !more {
                break;
            }
        }
        section.extend_from_slice(body);
        section
    }

    /// A component that holds `inner` and makes two instances of it.
    fn twice(inner: &[u8]) -> Vec<u8> {
        let instances = section(5, &[2, 0, 0, 0, 0, 0, 0]);
        [EMPTY_COMPONENT, &section(4, inner), &instances].concat()
    }

    /// A component with a module of so many globals, made an instance of.
    fn with_globals(globals: u8) -> Vec<u8> {
        let one = [0x7f, 0, 0x41, 0, 0x0b];
        let body = [&[globals], one.repeat(globals.into()).as_slice()].concat();
        let module = [b"\0asm\x01\0\0\0".as_slice(), &section(6, &body)].concat();
        [EMPTY_COMPONENT, &section(1, &module), &section(2, &[1, 0, 0, 0])].concat()
    }

    #[test]
    fn what_is_nested_is_multiplied() {
        assert_eq!(count(EMPTY_COMPONENT), Ok(Parts::default()));
        assert_eq!(count(&twice(EMPTY_COMPONENT)).unwrap().instances, 2);
        assert_eq!(count(&twice(&twice(EMPTY_COMPONENT))).unwrap().instances, 6);
        let mut bomb = EMPTY_COMPONENT.to_vec();
        for _ in 0..80 {
            bomb = twice(&bomb);
        }
        assert!(bomb.len() < 3_000);
        let why = count(&bomb).unwrap_err();
        assert!(why.ends_with("instances or more: expected at most 1000"), "{why}");
    }

    #[test]
    fn what_an_instance_keeps_is_counted_for_each() {
        let one = count(&with_globals(100)).unwrap();
        assert_eq!(one, Parts { instances: 1, bytes: MODULE_BYTES + 100 * GLOBAL_BYTES });
        let mut image = with_globals(100);
        for _ in 0..7 {
            image = twice(&image);
        }
        let many = count(&image).unwrap();
        assert_eq!(many.bytes, 128 * one.bytes);
    }

    #[test]
    fn what_is_cut_off_is_no_component() {
        let whole = twice(&with_globals(3));
        for len in 0..whole.len() {
            // A whole section may be missing: then it counts what is there.
            if let Err(why) = count(&whole[..len]) {
                assert!(why.starts_with("is no whole component: "), "{why}");
            }
        }
    }
}
