//! Values are read as they are written, and what is none is refused in bounded time and memory.

use super::super::functions::{PARTS_MAX, Signature, functions};
use super::*;
use proptest::prelude::*;
use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

/// More than any of these takes.
const MAX: u64 = 1 << 20;

/// The parameters of a function, as the text format has them.
fn types(params: &str) -> Box<[Shape]> {
    let text = format!("(component (import \"i\" (instance (export \"f\" (func {params})))))");
    let engine = Engine::default();
    let component = Component::from_binary(&engine, &wat::parse_str(text).unwrap()).unwrap();
    let world = component.component_type();
    let (_, item) = world.imports(&engine).next().unwrap();
    let ComponentItem::ComponentInstance(instance) = item.ty else { panic!("no instance") };
    let (_, function) = functions(&engine, &instance).next().unwrap();
    Signature::of(&function, &mut PARTS_MAX.clone()).unwrap().params
}

fn one(ty: &str) -> Box<[Shape]> {
    types(&format!("(param \"x\" {ty})"))
}

fn read(types: &[Shape], bytes: &[u8]) -> Result<Vec<Val>, Fault> {
    let (measured, read) = (measure(types, bytes, MAX), decode(types, bytes, MAX));
    assert_eq!(measured.err(), read.as_ref().err().copied(), "to look and to read find the same");
    read
}

#[test]
fn numbers_are_as_long_as_they_must_be() {
    let unsigned = one("u64");
    for (value, bytes) in [(0, &[0][..]), (127, &[127]), (128, &[0x80, 1]), (300, &[0xac, 2])] {
        assert_eq!(&*encode(&unsigned, &[Val::U64(value)]).unwrap(), bytes);
        assert_eq!(read(&unsigned, bytes), Ok(vec![Val::U64(value)]));
    }
    let signed = one("s64");
    for (value, bytes) in
        [(0, &[0][..]), (63, &[63]), (64, &[0xc0, 0]), (-1, &[0x7f]), (-64, &[0x40]), (-65, &[0xbf, 0x7f])]
    {
        assert_eq!(&*encode(&signed, &[Val::S64(value)]).unwrap(), bytes);
        assert_eq!(read(&signed, bytes), Ok(vec![Val::S64(value)]));
    }
}

#[test]
fn numbers_that_do_not_fit_are_refused() {
    let large = Err(Fault::Malformed("a number that is too large"));
    assert_eq!(read(&one("u16"), &[0x80, 0x80, 4]), large);
    assert_eq!(read(&one("s16"), &[0x80, 0x80, 2]), large);
    assert_eq!(read(&one("u64"), &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]), large);
    assert_eq!(read(&one("s64"), &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]), large);
    assert_eq!(read(&one("u64"), &[0x80; 11]), large);
    assert_eq!(read(&one("u64"), &[0x80; 9]), Err(Fault::Short));
}

#[test]
fn what_is_none_is_refused() {
    let bad =
        |ty: &str, bytes: &[u8]| assert!(matches!(read(&one(ty), bytes), Err(Fault::Malformed(_))), "{ty} {bytes:?}");
    bad("bool", &[2]);
    bad("char", &[0x80]);
    bad("char", &[0xff]);
    bad("string", &[1, 0xff]);
    bad("u8", &[1, 2]);
    bad("(option u8)", &[2, 0]);
    for ty in ["u8", "char", "string", "(list u32)", "f64"] {
        assert_eq!(read(&one(ty), &[]), Err(Fault::Short), "{ty}");
    }
}

#[test]
fn a_list_takes_memory_before_it_is_read() {
    let list = one("(list u8)");
    let large = Err(Fault::Large { max: MAX });
    assert_eq!(read(&list, &[0xff, 0xff, 0xff, 0xff, 0xf]), large);
    assert_eq!(measure(&list, &[3, 1, 2, 3], MAX), Ok(4 * VALUE));
    assert_eq!(measure(&list, &[3, 1, 2, 3], 4 * VALUE - 1), Err(Fault::Large { max: 4 * VALUE - 1 }));
}

/// Types that nest, and values of them.
const NESTED: &str =
    "(param \"x\" (list (tuple string (option (result u32 (error string))) s16 char f64 (list bool))))";

fn nested() -> impl Strategy<Value = Val> {
    let result = prop_oneof![
        any::<u32>().prop_map(|value| Ok(Some(Box::new(Val::U32(value))))),
        any::<String>().prop_map(|value| Err(Some(Box::new(Val::String(value))))),
    ];
    let option = proptest::option::of(result.prop_map(|result| Box::new(Val::Result(result)))).prop_map(Val::Option);
    let bools = proptest::collection::vec(any::<bool>().prop_map(Val::Bool), 0..5).prop_map(Val::List);
    let finite = any::<f64>().prop_filter("equal to itself", |value| !value.is_nan());
    let tuple = (any::<String>(), option, any::<i16>(), any::<char>(), finite, bools);
    let tuple = tuple.prop_map(|(a, b, c, d, e, f)| {
        Val::Tuple(vec![Val::String(a), b, Val::S16(c), Val::Char(d), Val::Float64(e), f])
    });
    proptest::collection::vec(tuple, 0..5).prop_map(Val::List)
}

proptest! {
    #[test]
    fn what_is_written_is_read(value in nested()) {
        let types = types(NESTED);
        let bytes = encode(&types, std::slice::from_ref(&value)).unwrap();
        prop_assert_eq!(read(&types, &bytes), Ok(vec![value]));
        for len in 0..bytes.len() {
            prop_assert_eq!(read(&types, &bytes[..len]), Err(Fault::Short));
        }
    }

    #[test]
    fn nothing_that_comes_is_trusted(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let types = types(NESTED);
        if let Ok(values) = read(&types, &bytes) {
            // Numbers may have been longer than they must be.
            prop_assert_eq!(read(&types, &encode(&types, &values).unwrap()), Ok(values));
        }
    }
}
