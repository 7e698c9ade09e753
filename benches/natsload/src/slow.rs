//! Slow consumers: they subscribe to a fat subject and never read, until the server must have thrown them out; then they
//! come again. The fat subject's publisher is one of its own, so that nobody else is held back with it.
use crate::Opts;
use crate::clock::*;
use crate::faults::Faults;
use crate::json::Json;
use crate::light::*;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::*};

const FAT_BYTES: usize = 16384;
/// Messages every ten milliseconds: 8 MB/s, so that the server's default of 64 MiB is full within ten seconds.
const FAT_BURST: usize = 5;
/// For reading what the kernel still holds of one that was thrown out.
const WAKE_NS: u64 = 3_000_000_000;

#[derive(Default)]
struct Count {
    thrown_out: u64,
    kept: u64,
    published: u64,
    held_back: u64,
}

struct Sleeper {
    c: Light,
    wakes: u64,
}

pub fn slow(o: &Opts, faults: &Faults, end: &AtomicBool) -> io::Result<Json> {
    let mut scratch = vec![0; 1 << 20];
    let mut fat = Light::greet(o, "fat", "PING\r\n")?;
    let burst =
        [format!("PUB soak.fat {FAT_BYTES}\r\n").as_bytes(), &[b'f'; FAT_BYTES], b"\r\n"].concat().repeat(FAT_BURST);
    let mut sleepers: Vec<Sleeper> = (0..o.slow).map(|i| sleeper(o, i)).collect::<io::Result<_>>()?;
    let (mut count, mut due) = (Count::default(), now_ns());
    while !end.load(SeqCst) {
        due += 10_000_000;
        sleep_until_ns(due);
        if fat.is_flushed() {
            fat.send(&burst)?;
            count.published += FAT_BURST as u64;
        } else {
            // The server holds a publisher back whose messages it cannot be rid of, as it may.
            fat.flush()?;
            count.held_back += FAT_BURST as u64;
        }
        if !fat.read(&mut scratch, |_| {})? {
            return Err(io::Error::other("the fat subject's publisher was closed"));
        }
        for (i, sleeper) in sleepers.iter_mut().enumerate() {
            wake(o, i, sleeper, &mut scratch, &mut count, faults)?;
        }
    }
    sleepers.into_iter().for_each(|sleeper| sleeper.c.reset());
    let mut j = Json::default();
    j.u("slow", o.slow as u64);
    j.u("slow_thrown_out", count.thrown_out);
    j.u("slow_kept", count.kept);
    j.u("fat_published", count.published);
    j.u("fat_held_back", count.held_back);
    Ok(j)
}

fn sleeper(o: &Opts, i: usize) -> io::Result<Sleeper> {
    let c = Light::greet(o, &format!("slow{i}"), "SUB soak.fat 1\r\nPING\r\n")?;
    c.narrow()?;
    // Not all at once: their lives differ by up to a quarter.
    let life = o.slow_life * (1.0 + (i % 8) as f64 / 32.0);
    Ok(Sleeper { c, wakes: now_ns() + (life * 1e9) as u64 })
}

/// Looks, when its time has come, whether it was thrown out: only who reads sees the end of the stream.
fn wake(o: &Opts, i: usize, s: &mut Sleeper, scratch: &mut [u8], count: &mut Count, faults: &Faults) -> io::Result<()> {
    let now = now_ns();
    if now < s.wakes {
        return Ok(());
    }
    if matches!(s.c.read(scratch, |_| {}), Ok(true)) {
        if now < s.wakes + WAKE_NS {
            return Ok(());
        }
        count.kept += 1;
        faults.add(format!("slow consumer still connected after {} s without reading", o.slow_life));
    } else {
        count.thrown_out += 1;
    }
    *s = sleeper(o, i)?;
    Ok(())
}
