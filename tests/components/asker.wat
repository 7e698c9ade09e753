;; A component that calls others, as the first letter of a message says, and answers with what they return.
;;   a  counts one more of the thing that is named, and answers with a digit, or with the error
;;   b  has the rest mirrored             n  calls what takes and returns nothing, and answers with `done`
;;   f  counts for ever
;; Memory: results at 0 to 255, texts from 256 on, what the host hands over from 4096 on.
(module
  (import "wasmcloud:messaging/consumer@0.2.0" "publish"
    (func $publish (param i32 i32 i32 i32 i32 i32 i32 i32)))
  (import "shop:stock/counts@0.1.0" "add" (func $add (param i32 i32 i64 i32)))
  (import "shop:stock/mirrors@0.1.0" "bytes" (func $bytes (param i32 i32 i32)))
  (import "shop:stock/mirrors@0.1.0" "nothing" (func $nothing))
  (memory (export "memory") 64)
  (global $free (mut i32) (i32.const 4096))
  (data (i32.const 256) "done")

  (func $allocate (export "cabi_realloc") (param $old i32) (param $size i32) (param $align i32) (param $new i32) (result i32)
    (local $at i32)
    (if (local.get $old) (then (unreachable)))
    (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
    (global.set $free (i32.add (local.get $at) (local.get $new)))
    (local.get $at))

  (func $count (param $thing i32) (param $thing-len i32) (result i32 i32)
    (call $add (local.get $thing) (local.get $thing-len) (i64.const 1) (i32.const 64))
    (if (i32.load8_u (i32.const 64)) (then (return (i32.load (i32.const 72)) (i32.load (i32.const 76)))))
    (i32.store8 (i32.const 128) (i32.add (i32.const 48) (i32.load (i32.const 72))))
    (i32.const 128) (i32.const 1))

  (func $do (param $op i32) (param $rest i32) (param $rest-len i32) (result i32 i32)
    (if (i32.eq (local.get $op) (i32.const 0x61)) ;; a
      (then (return (call $count (local.get $rest) (local.get $rest-len)))))
    (if (i32.eq (local.get $op) (i32.const 0x62)) ;; b
      (then
        (call $bytes (local.get $rest) (local.get $rest-len) (i32.const 64))
        (return (i32.load (i32.const 64)) (i32.load (i32.const 68)))))
    (if (i32.eq (local.get $op) (i32.const 0x66)) ;; f
      (then (loop $again (call $add (local.get $rest) (local.get $rest-len) (i64.const 1) (i32.const 64)) (br $again))))
    (call $nothing)
    (i32.const 256) (i32.const 4))

  (func (export "wasmcloud:messaging/handler@0.2.0#handle-message")
    (param $subject i32) (param $subject-len i32) (param $body i32) (param $body-len i32)
    (param $has i32) (param $reply i32) (param $reply-len i32) (result i32)
    (local $at i32) (local $len i32)
    (call $do (i32.load8_u (local.get $body)) (i32.add (local.get $body) (i32.const 1))
      (i32.sub (local.get $body-len) (i32.const 1)))
    (local.set $len)
    (local.set $at)
    (if (local.get $has)
      (then (call $publish (local.get $reply) (local.get $reply-len) (local.get $at) (local.get $len)
        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 32))))
    (i32.store8 (i32.const 0) (i32.const 0))
    (i32.const 0)))
