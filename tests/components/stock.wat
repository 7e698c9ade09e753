;; A component that counts things in the bucket `default`, for others who call it. A thing that is called `trap` makes it trap, `loop` has it compute
;; for ever.
;; Memory: results at 0 to 255, texts from 256 on, what the host hands over from 4096 on.
(module
  (import "wasi:keyvalue/store@0.2.0-draft" "open" (func $open (param i32 i32 i32)))
  (import "wasi:keyvalue/atomics@0.2.0-draft" "increment" (func $increment (param i32 i32 i32 i64 i32)))
  (memory (export "memory") 2)
  (global $free (mut i32) (i32.const 4096))
  (data (i32.const 256) "default")
  (data (i32.const 272) "no bucket")
  (data (i32.const 288) "not counted")

  (func $allocate (export "cabi_realloc") (param $old i32) (param $size i32) (param $align i32) (param $new i32) (result i32)
    (local $at i32)
    (if (local.get $old) (then (unreachable)))
    (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
    (global.set $free (i32.add (local.get $at) (local.get $new)))
    (local.get $at))

  ;; An error with that text, at 0.
  (func $error (param $at i32) (param $len i32) (result i32)
    (i32.store8 (i32.const 0) (i32.const 1))
    (i32.store (i32.const 8) (local.get $at))
    (i32.store (i32.const 12) (local.get $len))
    (i32.const 0))

  (func (export "shop:stock/counts@0.1.0#add") (param $thing i32) (param $thing-len i32) (param $more i64) (result i32)
    (if (i32.eq (local.get $thing-len) (i32.const 4))
      (then
        (if (i32.eq (i32.load (local.get $thing)) (i32.const 0x70617274)) (then (unreachable))) ;; trap
        (if (i32.eq (i32.load (local.get $thing)) (i32.const 0x706f6f6c)) (then (loop $again (br $again)))))) ;; loop
    (call $open (i32.const 256) (i32.const 7) (i32.const 64))
    (if (i32.load8_u (i32.const 64)) (then (return (call $error (i32.const 272) (i32.const 9)))))
    (call $increment (i32.load (i32.const 68)) (local.get $thing) (local.get $thing-len) (local.get $more) (i32.const 64))
    (if (i32.load8_u (i32.const 64)) (then (return (call $error (i32.const 288) (i32.const 11)))))
    (i32.store8 (i32.const 0) (i32.const 0))
    (i64.store (i32.const 8) (i64.load (i32.const 72)))
    (i32.const 0)))
