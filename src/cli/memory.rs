//! Gives the memory back to the system that is free in this process.
//!
//! The allocator of glibc keeps what was freed between things that are still in use. After a million subscriptions, or
//! some slow consumers, have gone, hundreds of megabytes would stay with a process that needs ten of them.

use lattice_broker::env::Env;
use std::time::Duration;

/// How often.
const EVERY: Duration = Duration::from_secs(30);
/// A process of this size or less has nothing that would be worth it.
const SMALL_BYTES: u64 = 32 << 20;

/// Gives back what is free for as long as the process lives, from a thread of its own kind: nobody waits for it but who
/// wants memory from the same arena at that moment.
pub(super) fn give_back_now_and_then(env: &Env) {
    let task = {
        let env = env.clone();
        async move {
            loop {
                env.sleep(EVERY).await;
                if env.usage().memory > SMALL_BYTES {
                    env.work(give_back).await;
                }
            }
        }
    };
    env.spawn(task);
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "there is no other way to ask the allocator")]
fn give_back() {
    // SAFETY: it takes no pointers, may be called at any time from any thread, and changes nothing that is in use.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_back() {}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::*;

    /// What the allocator keeps by itself: one block is in use, and all below it free.
    #[tokio::test]
    async fn what_is_free_goes_back() {
        let env = Env::tokio();
        let mut many: Vec<Vec<u8>> = (0..200_000).map(|_| vec![1; 500]).collect();
        let above = many.split_off(199_999);
        let used = env.usage().memory;
        drop(many);
        give_back();
        let left = env.usage().memory;
        assert!(left + (80 << 20) < used, "{used} bytes before, {left} after");
        drop(above);
    }
}
