;; What each of the components is made of, around its own `handle` function. Memory: results at 0 to 255, texts from 256 on,
;; all else from 4096 on, one behind the other, never freed: each call has an instance of its own.
(module
  (import "wasmcloud:messaging/consumer@0.2.0" "publish"
    (func $publish (param i32 i32 i32 i32 i32 i32 i32 i32)))
  (import "wasmcloud:messaging/consumer@0.2.0" "request"
    (func $request (param i32 i32 i32 i32 i32 i32)))
  (import "wasi:config/store@0.2.0-draft" "get" (func $config (param i32 i32 i32)))
  (import "wasi:logging/logging@0.1.0-draft" "log" (func $log (param i32 i32 i32 i32 i32)))
  (memory (export "memory") 1)
  (global $free (mut i32) (i32.const 4096))
  (data (i32.const 256) "greeting")
  (data (i32.const 288) "elsewhere")
  (data (i32.const 320) "it does not like this")
  (data (i32.const 352) "$SYS.REQ.SERVER.PING")

  (func $allocate (export "cabi_realloc") (param $old i32) (param $size i32) (param $align i32) (param $new i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
    (global.set $free (i32.add (local.get $at) (local.get $new)))
    (if (i32.gt_u (global.get $free) (i32.mul (memory.size) (i32.const 65536)))
      (then
        (if (i32.eq (i32.const -1)
              (memory.grow (i32.add (i32.const 1) (i32.div_u (local.get $new) (i32.const 65536)))))
          (then (unreachable)))))
    (if (local.get $old) (then (memory.copy (local.get $at) (local.get $old) (local.get $size))))
    (local.get $at))

  ;; Answers the message in hand with the bytes given, if it wants an answer.
  (func $answer (param $has i32) (param $reply i32) (param $reply-len i32) (param $body i32) (param $body-len i32)
    (if (local.get $has)
      (then
        (call $publish (local.get $reply) (local.get $reply-len) (local.get $body) (local.get $body-len)
          (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 16)))))

  (func (export "wasmcloud:messaging/handler@0.2.0#handle-message")
    (param $subject i32) (param $subject-len i32) (param $body i32) (param $body-len i32)
    (param $has i32) (param $reply i32) (param $reply-len i32) (result i32)
    HANDLE))
