;; What each component that is asked by HTTP is made of, around its own `handle` function. Memory: results at 0 to 255, texts from
;; 256 on, what the host hands over from 4096 on, and from 1 MiB on the answer, which grows at its end.
(module
  (import "wasi:http/types@0.2.0" "[constructor]fields" (func $fields (result i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-request.method" (func $method (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-request.path-with-query" (func $path (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-request.consume" (func $consume (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-body.stream" (func $stream (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[constructor]outgoing-request" (func $outgoing-request (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-path-with-query"
    (func $to-path (param i32 i32 i32 i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-authority"
    (func $to-host (param i32 i32 i32 i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[constructor]outgoing-response" (func $response (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-response.set-status-code" (func $status (param i32 i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-response.body" (func $body (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-body.write" (func $write (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[static]outgoing-body.finish" (func $finish (param i32 i32 i32 i32)))
  (import "wasi:http/types@0.2.0" "[static]response-outparam.set"
    (func $set (param i32 i32 i32 i32 i64 i32 i32 i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]future-incoming-response.subscribe" (func $subscribe (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]future-incoming-response.get" (func $get (param i32 i32)))
  (import "wasi:http/outgoing-handler@0.2.0" "handle" (func $send (param i32 i32 i32 i32)))
  (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
  (import "wasi:io/streams@0.2.0" "[method]input-stream.blocking-read" (func $read (param i32 i64 i32)))
  (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush" (func $flush (param i32 i32 i32 i32)))
  (import "wasi:io/streams@0.2.0" "[resource-drop]output-stream" (func $drop-output (param i32)))
  (memory (export "memory") 128)
  (global $free (mut i32) (i32.const 4096))
  (global $end (mut i32) (i32.const 1048576))
  (data (i32.const 256) "GET\00\00\00\00\00HEAD\00\00\00\00POST\00\00\00\00PUT\00\00\00\00\00")
  (data (i32.const 320) " \ndeniedelsewhere/")

  (func $allocate (export "cabi_realloc") (param $old i32) (param $size i32) (param $align i32) (param $new i32) (result i32)
    (local $at i32)
    (if (local.get $old) (then (unreachable)))
    (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
    (global.set $free (i32.add (local.get $at) (local.get $new)))
    (local.get $at))

  ;; Puts bytes at the end of the answer.
  (func $put (param $at i32) (param $len i32)
    (memory.copy (global.get $end) (local.get $at) (local.get $len))
    (global.set $end (i32.add (global.get $end) (local.get $len))))

  ;; Puts the request's method, path and body at the end of the answer.
  (func $echo (param $request i32)
    (local $at i32)
    (call $method (local.get $request) (i32.const 0))
    (local.set $at (i32.add (i32.const 256) (i32.mul (i32.load8_u (i32.const 0)) (i32.const 8))))
    (loop $letters
      (call $put (local.get $at) (i32.const 1))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $letters (i32.load8_u (local.get $at))))
    (call $put (i32.const 320) (i32.const 1))
    (call $path (local.get $request) (i32.const 0))
    (call $put (i32.load (i32.const 4)) (i32.load (i32.const 8)))
    (call $put (i32.const 321) (i32.const 1))
    (call $consume (local.get $request) (i32.const 0))
    (call $stream (i32.load (i32.const 4)) (i32.const 8))
    (local.set $at (i32.load (i32.const 12)))
    (loop $chunks
      (global.set $free (i32.const 4096))
      (call $read (local.get $at) (i64.const 65536) (i32.const 0))
      (if (i32.eqz (i32.load8_u (i32.const 0)))
        (then
          (call $put (i32.load (i32.const 4)) (i32.load (i32.const 8)))
          (br $chunks)))))

  ;; Sends the answer, with that status.
  (func $answer (param $out i32) (param $code i32)
    (local $response i32) (local $body i32) (local $stream i32) (local $at i32) (local $len i32)
    (local.set $response (call $response (call $fields)))
    (drop (call $status (local.get $response) (local.get $code)))
    (call $body (local.get $response) (i32.const 0))
    (local.set $body (i32.load (i32.const 4)))
    (call $set (local.get $out) (i32.const 0) (local.get $response)
      (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
    (call $write (local.get $body) (i32.const 0))
    (local.set $stream (i32.load (i32.const 4)))
    (local.set $at (i32.const 1048576))
    (block $done
      (loop $chunks
        (local.set $len (i32.sub (global.get $end) (local.get $at)))
        (br_if $done (i32.eqz (local.get $len)))
        (if (i32.gt_u (local.get $len) (i32.const 4096)) (then (local.set $len (i32.const 4096))))
        (call $flush (local.get $stream) (local.get $at) (local.get $len) (i32.const 0))
        (if (i32.load8_u (i32.const 0)) (then (unreachable)))
        (local.set $at (i32.add (local.get $at) (local.get $len)))
        (br $chunks)))
    (call $drop-output (local.get $stream))
    (call $finish (local.get $body) (i32.const 0) (i32.const 0) (i32.const 0)))

  ;; Asks others, and puts "denied" at the end of the answer when it is told so.
  (func $ask
    (local $request i32) (local $future i32)
    (local.set $request (call $outgoing-request (call $fields)))
    (drop (call $to-host (local.get $request) (i32.const 1) (i32.const 328) (i32.const 9)))
    (drop (call $to-path (local.get $request) (i32.const 1) (i32.const 337) (i32.const 1)))
    (call $send (local.get $request) (i32.const 0) (i32.const 0) (i32.const 0))
    (if (i32.load8_u (i32.const 0)) (then (unreachable)))
    (local.set $future (i32.load (i32.const 8)))
    (call $block (call $subscribe (local.get $future)))
    (call $get (local.get $future) (i32.const 0))
    (if (i32.ne (i32.load8_u (i32.const 16)) (i32.const 1)) (then (unreachable)))
    (if (i32.ne (i32.load8_u (i32.const 24)) (i32.const 15)) (then (unreachable)))
    (call $put (i32.const 322) (i32.const 6)))

  (func (export "wasi:http/incoming-handler@0.2.0#handle") (param $request i32) (param $out i32)
    HANDLE))
