//! Values on their way between components, as wRPC has them: the component model's value encoding.
//!
//! Whole numbers of more than a byte are LEB128, floats are little-endian, texts and lists begin with their length, fields and elements stand
//! one behind the other, what has cases begins with the number of the case, and of flags there are as many bytes as their bits need.
//! Sans-IO; which functions can be called at all is `functions.rs`'s.
//!
//! What has been read takes more memory than it had bytes: a byte in a list is a whole [`Val`]. So it is counted while it is read, and
//! there is a most.

use super::shapes::{Names, Shape};
use bytes::{BufMut as _, Bytes, BytesMut};
use wasmtime::component::Val;

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
pub(super) fn encode(types: &[Shape], values: &[Val]) -> Result<Bytes, Fault> {
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
pub(super) fn measure(types: &[Shape], bytes: &[u8], max: u64) -> Result<u64, Fault> {
    let mut reader = Reader { input: bytes, memory: 0, max, keep: false };
    reader.all(types)?;
    Ok(reader.memory)
}

/// Reads values of `types`, which must be all that `bytes` has.
///
/// # Errors
/// [`Fault`].
pub(super) fn decode(types: &[Shape], bytes: &[u8], max: u64) -> Result<Vec<Val>, Fault> {
    Reader { input: bytes, memory: 0, max, keep: true }.all(types)
}

fn put(out: &mut BytesMut, value: &Val, ty: &Shape) -> Result<(), Fault> {
    match (value, ty) {
        (Val::Bool(value), Shape::Bool) => out.put_u8((*value).into()),
        (Val::S8(value), Shape::S8) => out.put_i8(*value),
        (Val::U8(value), Shape::U8) => out.put_u8(*value),
        (Val::S16(value), Shape::S16) => put_signed(out, (*value).into()),
        (Val::U16(value), Shape::U16) => put_unsigned(out, (*value).into()),
        (Val::S32(value), Shape::S32) => put_signed(out, (*value).into()),
        (Val::U32(value), Shape::U32) => put_unsigned(out, (*value).into()),
        (Val::S64(value), Shape::S64) => put_signed(out, *value),
        (Val::U64(value), Shape::U64) => put_unsigned(out, *value),
        (Val::Float32(value), Shape::Float32) => out.put_f32_le(*value),
        (Val::Float64(value), Shape::Float64) => out.put_f64_le(*value),
        (Val::Char(value), Shape::Char) => out.put_slice(value.encode_utf8(&mut [0; 4]).as_bytes()),
        (Val::String(value), Shape::String) => {
            put_unsigned(out, value.len() as u64);
            out.put_slice(value.as_bytes());
        }
        (Val::List(values), Shape::List(list)) => {
            put_unsigned(out, values.len() as u64);
            return values.iter().try_for_each(|value| put(out, value, list));
        }
        (value, ty) => return put_compound(out, value, ty),
    }
    Ok(())
}

fn put_compound(out: &mut BytesMut, value: &Val, ty: &Shape) -> Result<(), Fault> {
    match (value, ty) {
        (Val::Record(fields), Shape::Record(types)) => {
            fields.iter().zip(types).try_for_each(|((_, value), (_, ty))| put(out, value, ty))
        }
        (Val::Tuple(values), Shape::Tuple(types)) => {
            values.iter().zip(types).try_for_each(|(value, ty)| put(out, value, ty))
        }
        (Val::Variant(name, value), Shape::Variant(names, payloads)) => {
            let number = number(names, name)?;
            put_unsigned(out, number as u64);
            put_payload(out, value.as_deref(), payloads.get(number).and_then(Option::as_ref))
        }
        (Val::Enum(name), Shape::Enum(names)) => {
            put_unsigned(out, number(names, name)? as u64);
            Ok(())
        }
        (Val::Option(value), Shape::Option(ty)) => {
            out.put_u8(value.is_some().into());
            value.as_deref().map_or(Ok(()), |value| put(out, value, ty))
        }
        (Val::Result(result), Shape::Result(ok, err)) => {
            out.put_u8(result.is_err().into());
            match result {
                Ok(value) => put_payload(out, value.as_deref(), ok.as_deref()),
                Err(value) => put_payload(out, value.as_deref(), err.as_deref()),
            }
        }
        (Val::Flags(set), Shape::Flags(names)) => {
            let mut bytes = [0; 32];
            for name in set {
                let number = number(names, name)?;
                bytes[number / 8] |= 1 << (number % 8);
            }
            out.put_slice(&bytes[..names.len().div_ceil(8)]);
            Ok(())
        }
        _ => Err(Fault::Malformed("a value of another type")),
    }
}

fn number(names: &Names, name: &str) -> Result<usize, Fault> {
    names.number(name).ok_or(Fault::Malformed("a case that there is not"))
}

fn put_payload(out: &mut BytesMut, value: Option<&Val>, ty: Option<&Shape>) -> Result<(), Fault> {
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
    fn all(&mut self, types: &[Shape]) -> Result<Vec<Val>, Fault> {
        self.room(types.len(), VALUE)?;
        let values = types.iter().map(|ty| self.value(ty)).collect::<Result<_, _>>()?;
        if self.input.is_empty() { Ok(values) } else { Err(Fault::Malformed("more bytes than their types have")) }
    }

    fn value(&mut self, ty: &Shape) -> Result<Val, Fault> {
        Ok(match ty {
            Shape::Bool => Val::Bool(self.flag()?),
            Shape::S8 => Val::S8(i8::from_le_bytes([self.byte()?])),
            Shape::U8 => Val::U8(self.byte()?),
            Shape::S16 => Val::S16(self.signed()?),
            Shape::U16 => Val::U16(self.unsigned()?),
            Shape::S32 => Val::S32(self.signed()?),
            Shape::U32 => Val::U32(self.unsigned()?),
            Shape::S64 => Val::S64(self.signed()?),
            Shape::U64 => Val::U64(self.unsigned()?),
            Shape::Float32 => Val::Float32(f32::from_le_bytes(self.array()?)),
            Shape::Float64 => Val::Float64(f64::from_le_bytes(self.array()?)),
            Shape::Char => Val::Char(self.char()?),
            Shape::String => Val::String(self.text()?),
            Shape::List(list) => Val::List(self.list(list)?),
            ty => return self.compound(ty),
        })
    }

    fn compound(&mut self, ty: &Shape) -> Result<Val, Fault> {
        Ok(match ty {
            Shape::Record(types) => {
                let mut fields = Vec::new();
                for (name, ty) in types {
                    self.room(1, VALUE + NAME + name.len() as u64)?;
                    let value = self.value(ty)?;
                    if self.keep {
                        fields.push((name.to_string(), value));
                    }
                }
                Val::Record(fields)
            }
            Shape::Tuple(types) => {
                self.room(types.len(), VALUE)?;
                Val::Tuple(types.iter().map(|ty| self.value(ty)).collect::<Result<_, _>>()?)
            }
            Shape::Variant(names, payloads) => {
                let number: u32 = self.unsigned()?;
                let name = self.name(names, number)?;
                let payload = payloads.get(number as usize).and_then(Option::as_ref);
                Val::Variant(name, self.payload(payload)?)
            }
            Shape::Enum(names) => {
                let number: u32 = self.unsigned()?;
                Val::Enum(self.name(names, number)?)
            }
            Shape::Option(ty) => Val::Option(if self.flag()? { self.payload(Some(ty))? } else { None }),
            Shape::Result(ok, err) => Val::Result(match self.flag()? {
                false => Ok(self.payload(ok.as_deref())?),
                true => Err(self.payload(err.as_deref())?),
            }),
            Shape::Flags(names) => Val::Flags(self.flags(names)?),
            // `value` has had all others.
            _ => return Err(Fault::Malformed("a value of another type")),
        })
    }

    fn flags(&mut self, names: &Names) -> Result<Vec<String>, Fault> {
        let bytes = self.take(names.len().div_ceil(8))?;
        let is_set = |number: &usize| bytes[number / 8] & (1 << (number % 8)) != 0;
        let mut set = Vec::new();
        for number in (0..bytes.len() * 8).filter(is_set) {
            let name = names.get(number).ok_or(Fault::Malformed("a flag that there is not"))?;
            self.room(1, NAME + name.len() as u64)?;
            if self.keep {
                set.push(name.to_owned());
            }
        }
        Ok(set)
    }

    fn list(&mut self, ty: &Shape) -> Result<Vec<Val>, Fault> {
        let len: u32 = self.unsigned()?;
        self.room(len as usize, VALUE)?;
        if matches!(ty, Shape::U8) && !self.keep {
            self.take(len as usize)?;
            return Ok(Vec::new());
        }
        // Of no type is one shorter than a byte.
        let mut values = Vec::with_capacity(if self.keep { self.input.len().min(len as usize) } else { 0 });
        for _ in 0..len {
            let value = self.value(ty)?;
            if self.keep {
                values.push(value);
            }
        }
        Ok(values)
    }

    fn payload(&mut self, ty: Option<&Shape>) -> Result<Option<Box<Val>>, Fault> {
        let Some(ty) = ty else { return Ok(None) };
        self.room(1, VALUE)?;
        Ok(Some(Box::new(self.value(ty)?)))
    }

    fn name(&mut self, names: &Names, number: u32) -> Result<String, Fault> {
        let name = names.get(number as usize).ok_or(Fault::Malformed("a case that there is not"))?;
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
        let len = match self.input.first().ok_or(Fault::Short)?.leading_ones() {
            0 => 1,
            ones @ 2..=4 => ones as usize,
            _ => return Err(Fault::Malformed("a char that is none")),
        };
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
