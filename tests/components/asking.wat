;; A component that is asked by HTTP and asks others: whom, it is told in the body of its own request; the path is handed on; GET asks
;; by `http`, all else by `https`, as a request does that says nothing. Memory: results at 0 to 255, futures from 2048 on, what the
;; host hands over from 4096 on, from 1 MiB on the answer, which grows at its end, and from 7 MiB on zeros to be sent.
;;
;; Its answer has what came as bodies. A failure stands there as "!" and the number of its `error-code`, in two digits, or 99 when
;; there is none; the status is that of the last answer that came, or 502.
(module
  (import "wasi:http/types@0.2.0" "[constructor]fields" (func $fields (result i32)))
  (import "wasi:http/types@0.2.0" "http-error-code" (func $error-code (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-request.method" (func $method (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-request.path-with-query" (func $path (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-request.consume" (func $consume (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-body.stream" (func $stream (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[constructor]outgoing-request" (func $outgoing-request (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-method" (func $to-method (param i32 i32 i32 i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-scheme"
    (func $to-scheme (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-path-with-query"
    (func $to-path (param i32 i32 i32 i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-authority"
    (func $to-host (param i32 i32 i32 i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-request.body" (func $request-body (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[constructor]request-options" (func $options (result i32)))
  (import "wasi:http/types@0.2.0" "[method]request-options.set-connect-timeout" (func $connect (param i32 i32 i64) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]request-options.set-first-byte-timeout" (func $first-byte (param i32 i32 i64) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]request-options.set-between-bytes-timeout" (func $between (param i32 i32 i64) (result i32)))
  (import "wasi:http/types@0.2.0" "[constructor]outgoing-response" (func $response (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-response.set-status-code" (func $status (param i32 i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-response.body" (func $body (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-body.write" (func $write (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[static]outgoing-body.finish" (func $finish (param i32 i32 i32 i32)))
  (import "wasi:http/types@0.2.0" "[static]response-outparam.set"
    (func $set (param i32 i32 i32 i32 i64 i32 i32 i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-response.status" (func $status-of (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-response.consume" (func $consume-answer (param i32 i32)))
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
  (global $code (mut i32) (i32.const 502))
  (global $host (mut i32) (i32.const 0))
  (global $host-len (mut i32) (i32.const 0))
  (global $at (mut i32) (i32.const 0))
  (global $at-len (mut i32) (i32.const 0))
  (global $is-http (mut i32) (i32.const 0))

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

  ;; Puts a failure at the end of the answer.
  (func $fail (param $number i32)
    (i32.store8 (i32.const 192) (i32.const 33))
    (i32.store8 (i32.const 193) (i32.add (i32.const 48) (i32.div_u (local.get $number) (i32.const 10))))
    (i32.store8 (i32.const 194) (i32.add (i32.const 48) (i32.rem_u (local.get $number) (i32.const 10))))
    (call $put (i32.const 192) (i32.const 3)))

  ;; Reads whom to ask.
  (func $learn (param $request i32)
    (call $method (local.get $request) (i32.const 0))
    (global.set $is-http (i32.eqz (i32.load8_u (i32.const 0))))
    (call $path (local.get $request) (i32.const 0))
    (global.set $at (i32.load (i32.const 4)))
    (global.set $at-len (i32.load (i32.const 8)))
    (call $consume (local.get $request) (i32.const 0))
    (call $stream (i32.load (i32.const 4)) (i32.const 8))
    (call $read (i32.load (i32.const 12)) (i64.const 1024) (i32.const 0))
    (if (i32.load8_u (i32.const 0)) (then (unreachable)))
    (global.set $host (i32.load (i32.const 4)))
    (global.set $host-len (i32.load (i32.const 8))))

  ;; Sends a request with so many zeros as its body: its future, or 0 when it has failed.
  (func $start (param $upload i32) (result i32)
    (local $request i32) (local $future i32) (local $body i32) (local $stream i32) (local $len i32) (local $options i32)
    (local.set $request (call $outgoing-request (call $fields)))
    (drop (call $to-host (local.get $request) (i32.const 1) (global.get $host) (global.get $host-len)))
    (drop (call $to-path (local.get $request) (i32.const 1) (global.get $at) (global.get $at-len)))
    (if (global.get $is-http)
      (then (drop (call $to-scheme (local.get $request) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)))))
    (if (local.get $upload)
      (then
        (drop (call $to-method (local.get $request) (i32.const 2) (i32.const 0) (i32.const 0)))
        (call $request-body (local.get $request) (i32.const 0))
        (local.set $body (i32.load (i32.const 4)))
        (call $write (local.get $body) (i32.const 0))
        (local.set $stream (i32.load (i32.const 4)))))
    (local.set $options (call $options))
    OPTIONS
    (call $send (local.get $request) (i32.const 1) (local.get $options) (i32.const 0))
    (if (i32.load8_u (i32.const 0))
      (then (call $fail (i32.load8_u (i32.const 8))) (return (i32.const 0))))
    (local.set $future (i32.load (i32.const 8)))
    (if (local.get $upload)
      (then
        (block $done
          (loop $chunks
            (br_if $done (i32.eqz (local.get $upload)))
            (local.set $len (local.get $upload))
            (if (i32.gt_u (local.get $len) (i32.const 4096)) (then (local.set $len (i32.const 4096))))
            (call $flush (local.get $stream) (i32.const 7340032) (local.get $len) (i32.const 0))
            (br_if $done (i32.load8_u (i32.const 0)))
            (local.set $upload (i32.sub (local.get $upload) (local.get $len)))
            (br $chunks)))
        (call $drop-output (local.get $stream))
        (call $finish (local.get $body) (i32.const 0) (i32.const 0) (i32.const 0))))
    (local.get $future))

  ;; Waits for what comes of a request, and puts it at the end of the answer.
  (func $take (param $future i32)
    (local $answer i32) (local $stream i32) (local $base i32)
    (if (i32.eqz (local.get $future)) (then (return)))
    (call $block (call $subscribe (local.get $future)))
    (call $get (local.get $future) (i32.const 0))
    (if (i32.ne (i32.load8_u (i32.const 0)) (i32.const 1)) (then (unreachable)))
    (if (i32.load8_u (i32.const 8)) (then (unreachable)))
    (if (i32.load8_u (i32.const 16))
      (then (call $fail (i32.load8_u (i32.const 24))) (return)))
    (local.set $answer (i32.load (i32.const 24)))
    (global.set $code (call $status-of (local.get $answer)))
    (call $consume-answer (local.get $answer) (i32.const 0))
    (call $stream (i32.load (i32.const 4)) (i32.const 8))
    (local.set $stream (i32.load (i32.const 12)))
    (local.set $base (global.get $free))
    (loop $chunks
      (global.set $free (local.get $base))
      (call $read (local.get $stream) (i64.const 65536) (i32.const 0))
      (if (i32.eqz (i32.load8_u (i32.const 0)))
        (then
          (call $put (i32.load (i32.const 4)) (i32.load (i32.const 8)))
          (br $chunks))))
    ;; It is closed, or the last operation has failed.
    (if (i32.eqz (i32.load8_u (i32.const 4)))
      (then
        (call $error-code (i32.load (i32.const 8)) (i32.const 64))
        (if (i32.load8_u (i32.const 64))
          (then (call $fail (i32.load8_u (i32.const 72))))
          (else (call $fail (i32.const 99)))))))

  ;; Sends the answer.
  (func $answer (param $out i32)
    (local $response i32) (local $body i32) (local $stream i32) (local $at i32) (local $len i32)
    (local.set $response (call $response (call $fields)))
    (drop (call $status (local.get $response) (global.get $code)))
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

  ;; Asks so many times at once, and answers with what came of each.
  (func (export "wasi:http/incoming-handler@0.2.0#handle") (param $request i32) (param $out i32)
    (local $i i32)
    (call $learn (local.get $request))
    (loop $begin
      (i32.store (i32.add (i32.const 2048) (i32.mul (local.get $i) (i32.const 4))) (call $start (i32.const UPLOAD)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $begin (i32.lt_u (local.get $i) (i32.const TIMES))))
    (local.set $i (i32.const 0))
    (loop $end
      (call $take (i32.load (i32.add (i32.const 2048) (i32.mul (local.get $i) (i32.const 4)))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $end (i32.lt_u (local.get $i) (i32.const TIMES))))
    (call $answer (local.get $out))))
