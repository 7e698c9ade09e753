//! Components for tests and benchmarks, as text: each is `base.wat` or `http.wat` around a few instructions, `asking.wat` with
//! numbers in it, or one of the others, in the world of `world.wit`.
#![allow(dead_code, unreachable_pub, reason = "each of those who include this uses a part of it")]

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const WORLDS: &str = include_str!("world.wit");
const BASE: &str = include_str!("base.wat");
const HTTP: &str = include_str!("http.wat");
const ASKING: &str = include_str!("asking.wat");
const KEEPER: &str = include_str!("keeper.wat");
const STOCK: &str = include_str!("stock.wat");
const MIRROR: &str = include_str!("mirror.wat");
const ASKER: &str = include_str!("asker.wat");

/// The result `ok`, which is all zeros.
const OK: &str = "(i32.const 0)";

/// Answers with what it was sent.
pub fn echo() -> Vec<u8> {
    answering("(local.get $body) (local.get $body-len)")
}

/// Answers with what `greeting` is in its configuration; traps when it has none.
pub fn config() -> Vec<u8> {
    component(&format!(
        "(call $config (i32.const 256) (i32.const 8) (i32.const 32))
         (if (i32.load8_u (i32.const 32)) (then (unreachable)))
         (if (i32.eqz (i32.load8_u (i32.const 36))) (then (unreachable)))
         (call $answer (local.get $has) (local.get $reply) (local.get $reply-len)
           (i32.load (i32.const 40)) (i32.load (i32.const 44)))
         {OK}"
    ))
}

/// Logs what it was sent as a warning, with the subject as its context, and answers.
pub fn log() -> Vec<u8> {
    component(&format!(
        "(call $log (i32.const 3) (local.get $subject) (local.get $subject-len) (local.get $body) (local.get $body-len))
         (call $answer (local.get $has) (local.get $reply) (local.get $reply-len) (local.get $body) (local.get $body-len))
         {OK}"
    ))
}

/// Asks `elsewhere` with what it was sent, for a second at most, and answers with the answer, or with the error.
pub fn ask() -> Vec<u8> {
    component(&format!(
        "(call $request (i32.const 288) (i32.const 9) (local.get $body) (local.get $body-len) (i32.const 1000) (i32.const 64))
         (if (i32.load8_u (i32.const 64))
           (then (call $answer (local.get $has) (local.get $reply) (local.get $reply-len)
             (i32.load (i32.const 68)) (i32.load (i32.const 72))))
           (else (call $answer (local.get $has) (local.get $reply) (local.get $reply-len)
             (i32.load (i32.const 76)) (i32.load (i32.const 80)))))
         {OK}"
    ))
}

/// Publishes where the lattice is steered, and answers with the error, or with nothing.
pub fn steer() -> Vec<u8> {
    component(&format!(
        "(call $publish (i32.const 352) (i32.const 20) (local.get $body) (local.get $body-len)
           (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 32))
         (if (i32.load8_u (i32.const 32))
           (then (call $answer (local.get $has) (local.get $reply) (local.get $reply-len)
             (i32.load (i32.const 36)) (i32.load (i32.const 40))))
           (else (call $answer (local.get $has) (local.get $reply) (local.get $reply-len) (i32.const 0) (i32.const 0))))
         {OK}"
    ))
}

/// Has others answer where the lattice is steered, and answers with the error, or with nothing.
pub fn detour() -> Vec<u8> {
    component(&format!(
        "(call $publish (i32.const 288) (i32.const 9) (local.get $body) (local.get $body-len)
           (i32.const 1) (i32.const 352) (i32.const 20) (i32.const 32))
         (if (i32.load8_u (i32.const 32))
           (then (call $answer (local.get $has) (local.get $reply) (local.get $reply-len)
             (i32.load (i32.const 36)) (i32.load (i32.const 40))))
           (else (call $answer (local.get $has) (local.get $reply) (local.get $reply-len) (i32.const 0) (i32.const 0))))
         {OK}"
    ))
}

/// Returns an error.
pub fn error() -> Vec<u8> {
    component(
        "(i32.store8 (i32.const 0) (i32.const 1))
         (i32.store (i32.const 4) (i32.const 320))
         (i32.store (i32.const 8) (i32.const 21))
         (i32.const 0)",
    )
}

/// Computes for ever.
pub fn endless() -> Vec<u8> {
    component("(loop $again (br $again)) (unreachable)")
}

/// Takes memory, 64 KiB at a time, until it gets no more, and then traps.
pub fn memory_bomb() -> Vec<u8> {
    component(
        "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
         (unreachable)",
    )
}

/// Traps.
pub fn trap() -> Vec<u8> {
    component("(unreachable)")
}

/// Calls itself for ever.
pub fn recursion() -> Vec<u8> {
    let module = BASE.replace("HANDLE", "(call $deeper (i32.const 0)) (i32.const 0)").replace(
        ";; Answers the message",
        "(func $deeper (param i32) (call $deeper (i32.add (local.get 0) (i32.const 1))) (call $deeper (local.get 0)))
         ;; Answers the message",
    );
    encode("component", &module)
}

/// Asks for its configuration for ever.
pub fn host_call_flood() -> Vec<u8> {
    component("(loop $again (call $config (i32.const 256) (i32.const 0) (i32.const 32)) (br $again)) (unreachable)")
}

/// Publishes what it was sent to `elsewhere` for ever.
pub fn publish_flood() -> Vec<u8> {
    component(
        "(loop $again
           (call $publish (i32.const 288) (i32.const 9) (local.get $body) (local.get $body-len)
             (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 32))
           (br $again))
         (unreachable)",
    )
}

/// Logs for ever.
pub fn log_flood() -> Vec<u8> {
    component(
        "(loop $again
           (call $log (i32.const 4) (i32.const 256) (i32.const 8) (local.get $body) (local.get $body-len))
           (br $again))
         (unreachable)",
    )
}

/// Hands the host texts of 16 MiB.
pub fn transfer_bomb() -> Vec<u8> {
    component(
        "(drop (memory.grow (i32.const 300)))
         (call $log (i32.const 4) (i32.const 256) (i32.const 8) (i32.const 0) (i32.const 16777216))
         (i32.const 0)",
    )
}

/// Wants 128 MiB before it has been called.
pub fn large_memory() -> Vec<u8> {
    encode(
        "component",
        &BASE.replace("(memory (export \"memory\") 1)", "(memory (export \"memory\") 2048)").replace("HANDLE", OK),
    )
}

/// Computes for ever before it has been called.
pub fn endless_start() -> Vec<u8> {
    let start = "(func $start (loop $again (br $again))) (start $start) ;; Answers the message";
    encode("component", &BASE.replace(";; Answers the message", start).replace("HANDLE", OK))
}

/// Imports what is not given.
pub fn stranger() -> Vec<u8> {
    let module = r#"(module
        (import "wasi:sockets/tcp@0.2.0" "open" (func (result i32)))
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (unreachable))
        (func (export "wasmcloud:messaging/handler@0.2.0#handle-message")
          (param i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 0)))"#;
    encode("stranger", module)
}

/// Polls 200 timers that have fired, for ever: all are ready each time, so that the task's turns are used up before it waits.
pub fn poller() -> Vec<u8> {
    let module = r#"(module
        (import "wasi:io/poll@0.2.0" "poll" (func $poll (param i32 i32 i32)))
        (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $after (param i64) (result i32)))
        (memory (export "memory") 2)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
        (func (export "wasmcloud:messaging/handler@0.2.0#handle-message")
          (param i32 i32 i32 i32 i32 i32 i32) (result i32)
          (local $i i32)
          (loop $make
            (i32.store (i32.add (i32.const 1024) (i32.mul (local.get $i) (i32.const 4)))
              (call $after (i64.const 1000000)))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $make (i32.lt_u (local.get $i) (i32.const 200))))
          (loop $again
            (call $poll (i32.const 1024) (i32.const 200) (i32.const 16))
            (local.set $i (i32.const 0))
            (loop $work
              (local.set $i (i32.add (local.get $i) (i32.const 1)))
              (br_if $work (i32.lt_u (local.get $i) (i32.const 1000000))))
            (br $again))
          (unreachable)))"#;
    encode("poller", module)
}

/// Answers requests by HTTP with status 201, their method, path and body.
pub fn http_echo() -> Vec<u8> {
    http("(call $echo (local.get $request)) (call $answer (local.get $out) (i32.const 201))")
}

/// Asks others by HTTP, and answers that it was denied.
pub fn http_asking() -> Vec<u8> {
    http("(call $ask) (call $answer (local.get $out) (i32.const 200))")
}

/// How a component asks others by HTTP, when it is asked itself: `asking.wat`.
#[derive(Clone, Copy, Debug)]
pub struct Asking {
    /// Requests at once.
    pub times: usize,
    /// Bytes of the body of each.
    pub upload: usize,
    /// What it sets in its options, in milliseconds.
    pub connect: Option<u64>,
    pub first_byte: Option<u64>,
    pub between_bytes: Option<u64>,
}

impl Default for Asking {
    fn default() -> Self {
        Self { times: 1, upload: 0, connect: None, first_byte: None, between_bytes: None }
    }
}

/// Asks whom it is told to ask.
pub fn asking(how: Asking) -> Vec<u8> {
    let option = |name: &str, millis: Option<u64>| {
        let nanos = millis.map(|millis| millis * 1_000_000);
        let set = |nanos| format!("(drop (call ${name} (local.get $options) (i32.const 1) (i64.const {nanos})))");
        nanos.map(set).unwrap_or_default()
    };
    let options =
        [option("connect", how.connect), option("first-byte", how.first_byte), option("between", how.between_bytes)];
    let module = ASKING.replace("OPTIONS", &options.concat());
    encode("http", &module.replace("UPLOAD", &how.upload.to_string()).replace("TIMES", &how.times.to_string()))
}

/// Answers, and then traps.
pub fn http_trap() -> Vec<u8> {
    http("(call $echo (local.get $request)) (call $answer (local.get $out) (i32.const 200)) (unreachable)")
}

/// Computes for ever when it is asked.
pub fn http_endless() -> Vec<u8> {
    http("(loop $again (br $again))")
}

/// Does not answer.
pub fn http_silent() -> Vec<u8> {
    http("")
}

/// Answers with so many zeros.
pub fn http_large(bytes: usize) -> Vec<u8> {
    http(&format!(
        "(global.set $end (i32.add (global.get $end) (i32.const {bytes})))
         (call $answer (local.get $out) (i32.const 200))"
    ))
}

/// Keeps values, as the first letter of a message says: `keeper.wat`.
pub fn keeper() -> Vec<u8> {
    encode("keeper", KEEPER)
}

/// Counts things for others: `stock.wat`.
pub fn stock() -> Vec<u8> {
    encode("stock", STOCK)
}

/// Returns what it is called with: `mirror.wat`.
pub fn mirror() -> Vec<u8> {
    encode("mirror", MIRROR)
}

/// Calls others, as the first letter of a message says: `asker.wat`.
pub fn asker() -> Vec<u8> {
    encode("asker", ASKER)
}

/// Has one more of the thing `things` counted by another component when it is asked by HTTP, and answers with status 200, or with 503 when
/// that says an error.
pub fn front() -> Vec<u8> {
    let import = r#"(import "shop:stock/counts@0.1.0" "add" (func $add (param i32 i32 i64 i32)))
  (memory (export "memory") 32)
  (data (i32.const 512) "things")"#;
    let handle = "(call $add (i32.const 512) (i32.const 6) (i64.const 1) (i32.const 64))
        (call $answer (local.get $out) (select (i32.const 503) (i32.const 200) (i32.load8_u (i32.const 64))))";
    let module = HTTP.replace(r#"(memory (export "memory") 128)"#, import).replace("HANDLE", handle);
    encode("front", &module)
}

/// Imports from others what cannot be carried.
pub fn handed() -> Vec<u8> {
    let module = r#"(module
        (import "shop:stock/handles@0.1.0" "[constructor]handle" (func (result i32)))
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (unreachable))
        (func (export "wasmcloud:messaging/handler@0.2.0#handle-message")
          (param i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 0)))"#;
    encode("handed", module)
}

/// Exports nothing.
pub fn idle() -> Vec<u8> {
    encode("idle", "(module)")
}

fn answering(body: &str) -> Vec<u8> {
    component(&format!("(call $answer (local.get $has) (local.get $reply) (local.get $reply-len) {body}) {OK}"))
}

fn component(handle: &str) -> Vec<u8> {
    encode("component", &BASE.replace("HANDLE", handle))
}

fn http(handle: &str) -> Vec<u8> {
    encode("http", &HTTP.replace("HANDLE", handle))
}

fn encode(world: &str, module: &str) -> Vec<u8> {
    let mut module = wat::parse_str(module).expect("the text is right");
    let mut resolve = Resolve::default();
    let package = resolve.push_source("world.wit", WORLDS).expect("the worlds are right");
    let world = resolve.select_world(&[package], Some(world)).expect("there is such a world");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("the module fits");
    let encoder = ComponentEncoder::default().validate(true).module(&module).expect("the module fits the world");
    encoder.realloc_via_memory_grow(false).encode().expect("it can be made a component")
}
