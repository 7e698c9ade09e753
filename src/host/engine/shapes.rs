//! Types of values that can be carried, as values are read and written by: made once for each function, since wasmtime's own are looked up anew for each
//! value.

use std::collections::HashMap;
use wasmtime::component::Type;

/// Cases of a variant or an enum, or flags.
const NAMES_MAX: usize = 256;

/// A type.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    Bool,
    S8,
    U8,
    S16,
    U16,
    S32,
    U32,
    S64,
    U64,
    Float32,
    Float64,
    Char,
    String,
    List(Box<Self>),
    Record(Box<[(Box<str>, Self)]>),
    Tuple(Box<[Self]>),
    Variant(Names, Box<[Option<Self>]>),
    Enum(Names),
    Option(Box<Self>),
    Result(Option<Box<Self>>, Option<Box<Self>>),
    Flags(Names),
}

/// Names, found by their numbers and the other way round.
#[derive(Clone, Debug)]
pub(super) struct Names {
    all: Box<[Box<str>]>,
    numbers: HashMap<Box<str>, usize>,
}

impl Names {
    fn new<'a>(names: impl ExactSizeIterator<Item = &'a str>, room: &mut usize) -> Result<Self, &'static str> {
        if names.len() > NAMES_MAX {
            return Err("has a type of more than 256 cases");
        }
        take(room, names.len())?;
        let all: Box<[Box<str>]> = names.map(Into::into).collect();
        let numbers = all.iter().enumerate().map(|(number, name)| (name.clone(), number)).collect();
        Ok(Self { all, numbers })
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn get(&self, number: usize) -> Option<&str> {
        self.all.get(number).map(|name| &**name)
    }

    pub(super) fn number(&self, name: &str) -> Option<usize> {
        self.numbers.get(name).copied()
    }
}

impl Shape {
    /// That of `ty`, which takes its parts from `room`.
    ///
    /// # Errors
    /// What it has that cannot be carried.
    pub(super) fn of(ty: &Type, room: &mut usize) -> Result<Self, &'static str> {
        take(room, 1)?;
        Ok(match ty {
            Type::Bool => Self::Bool,
            Type::S8 => Self::S8,
            Type::U8 => Self::U8,
            Type::S16 => Self::S16,
            Type::U16 => Self::U16,
            Type::S32 => Self::S32,
            Type::U32 => Self::U32,
            Type::S64 => Self::S64,
            Type::U64 => Self::U64,
            Type::Float32 => Self::Float32,
            Type::Float64 => Self::Float64,
            Type::Char => Self::Char,
            Type::String => Self::String,
            ty => return Self::compound(ty, room),
        })
    }

    fn compound(ty: &Type, room: &mut usize) -> Result<Self, &'static str> {
        Ok(match ty {
            Type::List(list) => Self::List(Box::new(Self::of(&list.ty(), room)?)),
            Type::Record(record) => {
                let mut fields = Vec::new();
                for field in record.fields() {
                    fields.push((field.name.into(), Self::of(&field.ty, room)?));
                }
                Self::Record(fields.into())
            }
            Type::Tuple(tuple) => Self::Tuple(Self::all(tuple.types(), room)?),
            Type::Variant(variant) => {
                let names = variant.cases().map(|case| case.name).collect::<Vec<_>>();
                let names = Names::new(names.into_iter(), room)?;
                let payload = |ty: Option<Type>| ty.map(|ty| Self::of(&ty, room)).transpose();
                Self::Variant(names, variant.cases().map(|case| case.ty).map(payload).collect::<Result<_, _>>()?)
            }
            Type::Enum(names) => Self::Enum(Names::new(names.names(), room)?),
            Type::Option(option) => Self::Option(Box::new(Self::of(&option.ty(), room)?)),
            Type::Result(result) => {
                let mut payload = |ty: Option<Type>| ty.map(|ty| Self::of(&ty, room).map(Box::new)).transpose();
                Self::Result(payload(result.ok())?, payload(result.err())?)
            }
            Type::Flags(flags) => Self::Flags(Names::new(flags.names(), room)?),
            Type::Own(_) | Type::Borrow(_) => return Err("has a resource"),
            Type::Future(_) | Type::Stream(_) => return Err("has a stream or a future"),
            _ => return Err("has a type that has no encoding"),
        })
    }

    /// Those of `types`, as [`Shape::of`].
    ///
    /// # Errors
    /// As there.
    pub(super) fn all(types: impl Iterator<Item = Type>, room: &mut usize) -> Result<Box<[Self]>, &'static str> {
        types.map(|ty| Self::of(&ty, room)).collect()
    }
}

fn take(room: &mut usize, parts: usize) -> Result<(), &'static str> {
    *room = room.checked_sub(parts).ok_or("has types of too many parts")?;
    Ok(())
}
