//! Values on their way between components, as wRPC has them: the component model's value encoding.
//!
//! Whole numbers of more than a byte are LEB128, floats are little-endian, texts and lists begin with their length, fields and elements stand
//! one behind the other, what has cases begins with the number of the case, and of flags there are as many bytes as their bits need.
//! Sans-IO; which functions can be called at all is `functions.rs`'s.
//!
//! What has been read takes more memory than it had bytes: a byte in a list is a whole [`Val`]. So it is counted while it is read, and
//! there is a most.

use bytes::{BufMut as _, Bytes, BytesMut};
use wasmtime::component::{Type, Val};

/// Memory of a value, without what it points to.
const VALUE: u64 = size_of::<Val>() as u64;
/// Memory of a name, without its letters: where it is, and what the allocator adds to those.
const NAME: u64 = size_of::<String>() as u64 + 16;

/// Something is wrong with values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// There is more to come.
    #[error("they break off")]
    Short,
    /// They are not of the types that they should be of.
    #[error("{0}")]
    Malformed(&'static str),
    /// They take too much memory.
    #[error("they take more than {max} bytes of memory")]
    Large {
        /// How much they may take.
        max: u64,
    },
}

/// Writes `values`, which are of `types`.
///
/// # Errors
/// [`Fault::Malformed`]: they are not.
pub(super) fn encode(types: &[Type], values: &[Val]) -> Result<Bytes, Fault> {
    if types.len() != values.len() {
        return Err(Fault::Malformed("another number of values"));
    }
    let mut out = BytesMut::new();
    for (value, ty) in values.iter().zip(types) {
        put(&mut out, value, ty)?;
    }
    Ok(out.freeze())
}

/// Looks through values of `types`, which must be all that `bytes` has; the memory that they take once they are read.
///
/// # Errors
/// [`Fault`]; nothing has been kept.
pub(super) fn measure(types: &[Type], bytes: &[u8], max: u64) -> Result<u64, Fault> {
    let mut reader = Reader { input: bytes, memory: 0, max, keep: false };
    reader.all(types)?;
    Ok(reader.memory)
}

/// Reads values of `types`, which must be all that `bytes` has.
///
/// # Errors
/// [`Fault`].
pub(super) fn decode(types: &[Type], bytes: &[u8], max: u64) -> Result<Vec<Val>, Fault> {
    Reader { input: bytes, memory: 0, max, keep: true }.all(types)
}

fn put(out: &mut BytesMut, value: &Val, ty: &Type) -> Result<(), Fault> {
    match (value, ty) {
        (Val::Bool(value), Type::Bool) => out.put_u8((*value).into()),
        (Val::S8(value), Type::S8) => out.put_i8(*value),
        (Val::U8(value), Type::U8) => out.put_u8(*value),
        (Val::S16(value), Type::S16) => put_signed(out, (*value).into()),
        (Val::U16(value), Type::U16) => put_unsigned(out, (*value).into()),
        (Val::S32(value), Type::S32) => put_signed(out, (*value).into()),
        (Val::U32(value), Type::U32) => put_unsigned(out, (*value).into()),
        (Val::S64(value), Type::S64) => put_signed(out, *value),
        (Val::U64(value), Type::U64) => put_unsigned(out, *value),
        (Val::Float32(value), Type::Float32) => out.put_f32_le(*value),
        (Val::Float64(value), Type::Float64) => out.put_f64_le(*value),
        (Val::Char(value), Type::Char) => out.put_slice(value.encode_utf8(&mut [0; 4]).as_bytes()),
        (Val::String(value), Type::String) => {
            put_unsigned(out, value.len() as u64);
            out.put_slice(value.as_bytes());
        }
        (Val::List(values), Type::List(list)) => {
            put_unsigned(out, values.len() as u64);
            let ty = list.ty();
            return values.iter().try_for_each(|value| put(out, value, &ty));
        }
        (value, ty) => return put_compound(out, value, ty),
    }
    Ok(())
}

fn put_compound(out: &mut BytesMut, value: &Val, ty: &Type) -> Result<(), Fault> {
    match (value, ty) {
        (Val::Record(fields), Type::Record(record)) => {
            fields.iter().zip(record.fields()).try_for_each(|((_, value), field)| put(out, value, &field.ty))
        }
        (Val::Tuple(values), Type::Tuple(tuple)) => {
            values.iter().zip(tuple.types()).try_for_each(|(value, ty)| put(out, value, &ty))
        }
        (Val::Variant(name, value), Type::Variant(variant)) => {
            let found = variant.cases().enumerate().find(|(_, case)| case.name == name);
            let (number, case) = found.ok_or(Fault::Malformed("a case that there is not"))?;
            put_unsigned(out, number as u64);
            put_payload(out, value.as_deref(), case.ty.as_ref())
        }
        (Val::Enum(name), Type::Enum(names)) => {
            let number = names.names().position(|other| other == name);
            put_unsigned(out, number.ok_or(Fault::Malformed("a case that there is not"))? as u64);
            Ok(())
        }
        (Val::Option(value), Type::Option(option)) => {
            out.put_u8(value.is_some().into());
            value.as_deref().map_or(Ok(()), |value| put(out, value, &option.ty()))
        }
        (Val::Result(result), Type::Result(ty)) => {
            out.put_u8(result.is_err().into());
            match result {
                Ok(value) => put_payload(out, value.as_deref(), ty.ok().as_ref()),
                Err(value) => put_payload(out, value.as_deref(), ty.err().as_ref()),
            }
        }
        (Val::Flags(set), Type::Flags(flags)) => {
            let mut bytes = vec![0u8; flags.names().len().div_ceil(8)];
            for (number, _) in flags.names().enumerate().filter(|(_, name)| set.iter().any(|set| set == name)) {
                bytes[number / 8] |= 1 << (number % 8);
            }
            out.put_slice(&bytes);
            Ok(())
        }
        _ => Err(Fault::Malformed("a value of another type")),
    }
}

fn put_payload(out: &mut BytesMut, value: Option<&Val>, ty: Option<&Type>) -> Result<(), Fault> {
    match (value, ty) {
        (Some(value), Some(ty)) => put(out, value, ty),
        (None, None) => Ok(()),
        (Some(_), None) | (None, Some(_)) => Err(Fault::Malformed("a case with another payload")),
    }
}

fn put_unsigned(out: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8((value & 0x7f) as u8);
}

fn put_signed(out: &mut BytesMut, mut value: i64) {
    // It ends where all that is left is the sign, and the last bit that was written says so.
    while !(-0x40..0x40).contains(&value) {
        out.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8((value & 0x7f) as u8);
}

struct Reader<'a> {
    input: &'a [u8],
    memory: u64,
    max: u64,
    /// Without it values are looked at alone, and what is returned says nothing.
    keep: bool,
}

impl<'a> Reader<'a> {
    fn all(&mut self, types: &[Type]) -> Result<Vec<Val>, Fault> {
        self.room(types.len(), VALUE)?;
        let values = types.iter().map(|ty| self.value(ty)).collect::<Result<_, _>>()?;
        if self.input.is_empty() { Ok(values) } else { Err(Fault::Malformed("more bytes than their types have")) }
    }

    fn value(&mut self, ty: &Type) -> Result<Val, Fault> {
        Ok(match ty {
            Type::Bool => Val::Bool(self.flag()?),
            Type::S8 => Val::S8(i8::from_le_bytes([self.byte()?])),
            Type::U8 => Val::U8(self.byte()?),
            Type::S16 => Val::S16(self.signed()?),
            Type::U16 => Val::U16(self.unsigned()?),
            Type::S32 => Val::S32(self.signed()?),
            Type::U32 => Val::U32(self.unsigned()?),
            Type::S64 => Val::S64(self.signed()?),
            Type::U64 => Val::U64(self.unsigned()?),
            Type::Float32 => Val::Float32(f32::from_le_bytes(self.array()?)),
            Type::Float64 => Val::Float64(f64::from_le_bytes(self.array()?)),
            Type::Char => Val::Char(self.char()?),
            Type::String => Val::String(self.text()?),
            Type::List(list) => Val::List(self.list(&list.ty())?),
            ty => return self.compound(ty),
        })
    }

    fn compound(&mut self, ty: &Type) -> Result<Val, Fault> {
        Ok(match ty {
            Type::Record(record) => {
                let mut fields = Vec::new();
                for field in record.fields() {
                    self.room(1, VALUE + NAME + field.name.len() as u64)?;
                    let value = self.value(&field.ty)?;
                    if self.keep {
                        fields.push((field.name.to_owned(), value));
                    }
                }
                Val::Record(fields)
            }
            Type::Tuple(tuple) => {
                self.room(tuple.types().len(), VALUE)?;
                Val::Tuple(tuple.types().map(|ty| self.value(&ty)).collect::<Result<_, _>>()?)
            }
            Type::Variant(variant) => {
                let number: u32 = self.unsigned()?;
                let case = variant.cases().nth(number as usize).ok_or(Fault::Malformed("a case that there is not"))?;
                Val::Variant(self.name(case.name)?, self.payload(case.ty)?)
            }
            Type::Enum(names) => {
                let number: u32 = self.unsigned()?;
                let name = names.names().nth(number as usize).ok_or(Fault::Malformed("a case that there is not"))?;
                Val::Enum(self.name(name)?)
            }
            Type::Option(option) => Val::Option(if self.flag()? { self.payload(Some(option.ty()))? } else { None }),
            Type::Result(ty) if self.flag()? => Val::Result(Err(self.payload(ty.err())?)),
            Type::Result(ty) => Val::Result(Ok(self.payload(ty.ok())?)),
            Type::Flags(flags) => {
                let bytes = self.take(flags.names().len().div_ceil(8))?;
                let is_set = |number: usize| bytes[number / 8] & (1 << (number % 8)) != 0;
                if (flags.names().len()..bytes.len() * 8).any(is_set) {
                    return Err(Fault::Malformed("a flag that there is not"));
                }
                let set = flags.names().enumerate().filter(|(number, _)| is_set(*number));
                Val::Flags(set.map(|(_, name)| self.name(name)).collect::<Result<_, _>>()?)
            }
            _ => return Err(Fault::Malformed("a type that cannot be carried")),
        })
    }

    fn list(&mut self, ty: &Type) -> Result<Vec<Val>, Fault> {
        let len: u32 = self.unsigned()?;
        self.room(len as usize, VALUE)?;
        if matches!(ty, Type::U8) && !self.keep {
            self.take(len as usize)?;
            return Ok(Vec::new());
        }
        let mut values = Vec::new();
        for _ in 0..len {
            let value = self.value(ty)?;
            if self.keep {
                values.push(value);
            }
        }
        Ok(values)
    }

    fn payload(&mut self, ty: Option<Type>) -> Result<Option<Box<Val>>, Fault> {
        let Some(ty) = ty else { return Ok(None) };
        self.room(1, VALUE)?;
        Ok(Some(Box::new(self.value(&ty)?)))
    }

    fn name(&mut self, name: &str) -> Result<String, Fault> {
        self.room(1, NAME + name.len() as u64)?;
        Ok(if self.keep { name.to_owned() } else { String::new() })
    }

    fn text(&mut self) -> Result<String, Fault> {
        let len: u32 = self.unsigned()?;
        self.room(1, len.into())?;
        let text = self.take(len as usize)?;
        let text = str::from_utf8(text).map_err(|_| Fault::Malformed("a text that is not UTF-8"))?;
        Ok(if self.keep { text.to_owned() } else { String::new() })
    }

    fn char(&mut self) -> Result<char, Fault> {
        let first = *self.input.first().ok_or(Fault::Short)?;
        // A byte that begins none is told below.
        let len = (first.leading_ones() as usize).clamp(1, 4);
        let text = str::from_utf8(self.take(len)?).ok();
        text.and_then(|text| text.chars().next()).ok_or(Fault::Malformed("a char that is none"))
    }

    fn flag(&mut self) -> Result<bool, Fault> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Fault::Malformed("neither 0 nor 1 where there are two cases")),
        }
    }

    fn unsigned<T: TryFrom<u64>>(&mut self) -> Result<T, Fault> {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = u64::from(self.byte()?);
            let bits = byte & 0x7f;
            if shift > 63 || (shift == 63 && bits > 1) {
                return Err(Fault::Malformed("a number that is too large"));
            }
            value |= bits << shift;
            shift += 7;
            if byte < 0x80 {
                return T::try_from(value).map_err(|_| Fault::Malformed("a number that is too large"));
            }
        }
    }

    fn signed<T: TryFrom<i64>>(&mut self) -> Result<T, Fault> {
        let (mut value, mut shift) = (0i64, 0);
        loop {
            let byte = self.byte()?;
            let bits = i64::from(byte & 0x7f);
            // Of the tenth byte one bit is left: the sign, and all others are as it is.
            if shift > 63 || (shift == 63 && ![0, 0x7f].contains(&bits)) {
                return Err(Fault::Malformed("a number that is too large"));
            }
            value |= bits << shift;
            shift += 7;
            if byte < 0x80 {
                if shift < 64 && byte & 0x40 != 0 {
                    value |= -1 << shift;
                }
                return T::try_from(value).map_err(|_| Fault::Malformed("a number that is too large"));
            }
        }
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (bytes, rest) = self.input.split_first_chunk().ok_or(Fault::Short)?;
        self.input = rest;
        Ok(*bytes)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        let (bytes, rest) = self.input.split_at_checked(len).ok_or(Fault::Short)?;
        self.input = rest;
        Ok(bytes)
    }

    fn room(&mut self, count: usize, each: u64) -> Result<(), Fault> {
        self.memory = self.memory.saturating_add((count as u64).saturating_mul(each));
        if self.memory > self.max { Err(Fault::Large { max: self.max }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
