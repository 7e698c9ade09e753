;; A component that keeps values in the bucket `default`. The first letter of a message says what it does, the second is a key, and the rest
;; is a value; it answers with the outcome, or with the error.
;;   i  increments by one, and answers with the sum as it is read        s  sets         d  deletes
;;   g  answers with the value, or with `none`                           l  answers with all keys, one behind the other
;;   e  answers with `yes` or `none`                                     b  sets, reads and deletes in batches
;;   f  sets for ever, another value each time, until there is an error  o  opens the bucket that is named
;;   h  opens for ever
;; Memory: results at 0 to 255, texts from 256 on, all else from 4096 on, never freed: each call has an instance of its own.
(module
  (import "wasmcloud:messaging/consumer@0.2.0" "publish"
    (func $publish (param i32 i32 i32 i32 i32 i32 i32 i32)))
  (import "wasi:keyvalue/store@0.2.0-draft" "open" (func $open (param i32 i32 i32)))
  (import "wasi:keyvalue/store@0.2.0-draft" "[method]bucket.get" (func $get (param i32 i32 i32 i32)))
  (import "wasi:keyvalue/store@0.2.0-draft" "[method]bucket.set" (func $set (param i32 i32 i32 i32 i32 i32)))
  (import "wasi:keyvalue/store@0.2.0-draft" "[method]bucket.delete" (func $delete (param i32 i32 i32 i32)))
  (import "wasi:keyvalue/store@0.2.0-draft" "[method]bucket.exists" (func $exists (param i32 i32 i32 i32)))
  (import "wasi:keyvalue/store@0.2.0-draft" "[method]bucket.list-keys" (func $list (param i32 i32 i64 i32)))
  (import "wasi:keyvalue/store@0.2.0-draft" "[resource-drop]bucket" (func $drop-bucket (param i32)))
  (import "wasi:keyvalue/atomics@0.2.0-draft" "increment" (func $increment (param i32 i32 i32 i64 i32)))
  (import "wasi:keyvalue/batch@0.2.0-draft" "get-many" (func $get-many (param i32 i32 i32 i32)))
  (import "wasi:keyvalue/batch@0.2.0-draft" "set-many" (func $set-many (param i32 i32 i32 i32)))
  (import "wasi:keyvalue/batch@0.2.0-draft" "delete-many" (func $delete-many (param i32 i32 i32 i32)))
  (memory (export "memory") 2)
  (global $free (mut i32) (i32.const 4096))
  (data (i32.const 256) "default")
  (data (i32.const 272) "none")
  (data (i32.const 288) "yes")
  (data (i32.const 304) "ok")
  (data (i32.const 320) "no such store")
  (data (i32.const 352) "denied")

  (func $allocate (export "cabi_realloc") (param $old i32) (param $size i32) (param $align i32) (param $new i32) (result i32)
    (local $at i32)
    (if (local.get $old) (then (unreachable)))
    (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
    (global.set $free (i32.add (local.get $at) (local.get $new)))
    (local.get $at))

  ;; The text of the error at an address.
  (func $why (param $at i32) (result i32 i32)
    (if (i32.eqz (i32.load8_u (local.get $at))) (then (return (i32.const 320) (i32.const 13))))
    (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 1)) (then (return (i32.const 352) (i32.const 6))))
    (i32.load (i32.add (local.get $at) (i32.const 4)))
    (i32.load (i32.add (local.get $at) (i32.const 8))))

  ;; "ok", or the text of the error, of a result without a value at 64.
  (func $done (result i32 i32)
    (if (i32.load8_u (i32.const 64)) (then (return (call $why (i32.const 68)))))
    (i32.const 304) (i32.const 2))

  ;; The value of a key, "none", or the text of the error.
  (func $read (param $bucket i32) (param $key i32) (result i32 i32)
    (call $get (local.get $bucket) (local.get $key) (i32.const 1) (i32.const 64))
    (if (i32.load8_u (i32.const 64)) (then (return (call $why (i32.const 68)))))
    (if (i32.eqz (i32.load8_u (i32.const 68))) (then (return (i32.const 272) (i32.const 4))))
    (i32.load (i32.const 72)) (i32.load (i32.const 76)))

  ;; All keys, one behind the other, at 2048.
  (func $keys (param $bucket i32) (result i32 i32)
    (local $at i32) (local $end i32) (local $to i32)
    (call $list (local.get $bucket) (i32.const 0) (i64.const 0) (i32.const 64))
    (if (i32.load8_u (i32.const 64)) (then (return (call $why (i32.const 72)))))
    (local.set $to (i32.const 2048))
    (local.set $at (i32.load (i32.const 72)))
    (local.set $end (i32.add (local.get $at) (i32.mul (i32.load (i32.const 76)) (i32.const 8))))
    (block $all
      (loop $each
        (br_if $all (i32.eq (local.get $at) (local.get $end)))
        (memory.copy (local.get $to) (i32.load (local.get $at)) (i32.load (i32.add (local.get $at) (i32.const 4))))
        (local.set $to (i32.add (local.get $to) (i32.load (i32.add (local.get $at) (i32.const 4)))))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br $each)))
    (i32.const 2048) (i32.sub (local.get $to) (i32.const 2048)))

  ;; Sets, reads and deletes one key in batches; what was read.
  (func $batch (param $bucket i32) (param $key i32) (param $value i32) (param $value-len i32) (result i32 i32)
    (i32.store (i32.const 128) (local.get $key))
    (i32.store (i32.const 132) (i32.const 1))
    (i32.store (i32.const 136) (local.get $value))
    (i32.store (i32.const 140) (local.get $value-len))
    (call $set-many (local.get $bucket) (i32.const 128) (i32.const 1) (i32.const 64))
    (if (i32.load8_u (i32.const 64)) (then (return (call $why (i32.const 68)))))
    (call $get-many (local.get $bucket) (i32.const 128) (i32.const 1) (i32.const 96))
    (if (i32.load8_u (i32.const 96)) (then (return (call $why (i32.const 100)))))
    (call $delete-many (local.get $bucket) (i32.const 128) (i32.const 1) (i32.const 64))
    (if (i32.load8_u (i32.const 64)) (then (return (call $why (i32.const 68)))))
    (if (i32.eqz (i32.load8_u (i32.load (i32.const 100)))) (then (return (i32.const 272) (i32.const 4))))
    (i32.load (i32.add (i32.load (i32.const 100)) (i32.const 12)))
    (i32.load (i32.add (i32.load (i32.const 100)) (i32.const 16))))

  (func $flood (param $bucket i32) (param $key i32) (result i32 i32)
    (loop $again
      (i32.store (i32.const 128) (i32.add (i32.load (i32.const 128)) (i32.const 1)))
      (call $set (local.get $bucket) (local.get $key) (i32.const 1) (i32.const 128) (i32.const 4) (i32.const 64))
      (br_if $again (i32.eqz (i32.load8_u (i32.const 64)))))
    (call $done))

  (func $do (param $op i32) (param $key i32) (param $rest i32) (param $rest-len i32) (result i32 i32)
    (local $bucket i32)
    (if (i32.eq (local.get $op) (i32.const 0x6f)) ;; o
      (then
        (call $open (local.get $key) (i32.add (local.get $rest-len) (i32.const 1)) (i32.const 64))
        (return (call $done))))
    (if (i32.eq (local.get $op) (i32.const 0x68)) ;; h
      (then (loop $again (call $open (i32.const 256) (i32.const 7) (i32.const 64)) (br $again))))
    (call $open (i32.const 256) (i32.const 7) (i32.const 64))
    (if (i32.load8_u (i32.const 64)) (then (return (call $why (i32.const 68)))))
    (call $drop-bucket (i32.load (i32.const 68)))
    (call $open (i32.const 256) (i32.const 7) (i32.const 64))
    (local.set $bucket (i32.load (i32.const 68)))
    (if (i32.eq (local.get $op) (i32.const 0x69)) ;; i
      (then
        (call $increment (local.get $bucket) (local.get $key) (i32.const 1) (i64.const 1) (i32.const 64))
        (if (i32.load8_u (i32.const 64)) (then (return (call $why (i32.const 72)))))
        (return (call $read (local.get $bucket) (local.get $key)))))
    (if (i32.eq (local.get $op) (i32.const 0x73)) ;; s
      (then
        (call $set (local.get $bucket) (local.get $key) (i32.const 1) (local.get $rest) (local.get $rest-len) (i32.const 64))
        (return (call $done))))
    (if (i32.eq (local.get $op) (i32.const 0x64)) ;; d
      (then
        (call $delete (local.get $bucket) (local.get $key) (i32.const 1) (i32.const 64))
        (return (call $done))))
    (if (i32.eq (local.get $op) (i32.const 0x65)) ;; e
      (then
        (call $exists (local.get $bucket) (local.get $key) (i32.const 1) (i32.const 64))
        (if (i32.load8_u (i32.const 64)) (then (return (call $why (i32.const 68)))))
        (if (i32.load8_u (i32.const 68)) (then (return (i32.const 288) (i32.const 3))))
        (return (i32.const 272) (i32.const 4))))
    (if (i32.eq (local.get $op) (i32.const 0x6c)) (then (return (call $keys (local.get $bucket))))) ;; l
    (if (i32.eq (local.get $op) (i32.const 0x62)) ;; b
      (then
        (return (call $batch (local.get $bucket) (local.get $key) (local.get $rest) (local.get $rest-len)))))
    (if (i32.eq (local.get $op) (i32.const 0x66)) ;; f
      (then (return (call $flood (local.get $bucket) (local.get $key)))))
    (call $read (local.get $bucket) (local.get $key)))

  (func (export "wasmcloud:messaging/handler@0.2.0#handle-message")
    (param $subject i32) (param $subject-len i32) (param $body i32) (param $body-len i32)
    (param $has i32) (param $reply i32) (param $reply-len i32) (result i32)
    (local $at i32) (local $len i32)
    (call $do (i32.load8_u (local.get $body)) (i32.add (local.get $body) (i32.const 1))
      (i32.add (local.get $body) (i32.const 2)) (i32.sub (local.get $body-len) (i32.const 2)))
    (local.set $len)
    (local.set $at)
    (if (local.get $has)
      (then
        (call $publish (local.get $reply) (local.get $reply-len) (local.get $at) (local.get $len)
          (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 16))))
    (i32.const 0)))
