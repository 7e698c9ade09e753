//! What is sent: payloads that prove on arrival who sent them, as which, and that no byte changed; encoded in advance,
//! so that the generator costs little beside the server.
use crate::Opts;

#[inline(always)]
pub fn mix64(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d049bb133111eb);
    z ^ (z >> 31)
}

pub fn pattern(n: usize) -> Vec<u8> {
    let mut v = Vec::with_capacity(n + 64);
    let mut i = 0u64;
    while v.len() < n + 64 {
        i += 1;
        v.extend_from_slice(&mix64(i.wrapping_mul(0x9E3779B97F4A7C15)).to_le_bytes())
    }
    v
}
/// Payload table offset of a message: by default 16 fixed variants (nothing to copy per send);
/// with --random any of 2^20 offsets, so the stream does not compress.
#[inline(always)]
pub fn poff(h: u64, rnd: bool) -> usize {
    if rnd { (mix64(h) >> 20) as usize & 0xF_FFFF } else { ((h ^ (h >> 48)) & 15) as usize }
}
pub fn pat_len(o: &Opts) -> usize {
    if o.random { o.size + (1 << 20) } else { o.size }
}
pub fn header_block(n: usize) -> Vec<u8> {
    if n == 0 {
        return vec![];
    }
    let n = n.max(24);
    let mut v = b"NATS/1.0\r\nX-Load: ".to_vec();
    while v.len() < n - 4 {
        v.push(b'h')
    }
    v.extend_from_slice(b"\r\n\r\n");
    v
}

/// Pre-encoded publishes; per send only 8 (+8) bytes per message are patched.
pub struct Batch {
    pub buf: Vec<u8>,
    at: Vec<usize>,
    pub ends: Vec<usize>,
}
impl Batch {
    pub fn new(subj: impl Fn(usize) -> String, count: usize, o: &Opts, pat: &[u8], pid: u64, hb: &[u8]) -> Batch {
        let mut b = Batch { buf: vec![], at: vec![], ends: vec![] };
        for i in 0..count {
            if hb.is_empty() {
                b.buf.extend_from_slice(format!("PUB {} {}\r\n", subj(i), o.size).as_bytes())
            } else {
                b.buf.extend_from_slice(format!("HPUB {} {} {}\r\n", subj(i), hb.len(), hb.len() + o.size).as_bytes());
                b.buf.extend_from_slice(hb)
            }
            b.at.push(b.buf.len());
            let h = pid << 48 | i as u64;
            let off = poff(h, false);
            b.buf.extend_from_slice(&pat[off..off + o.size]);
            b.buf.extend_from_slice(b"\r\n");
            b.ends.push(b.buf.len());
        }
        b
    }
    #[inline(always)]
    pub fn patch(&mut self, i: usize, h: u64, second: u64, size: usize, pat: &[u8], rnd: bool) {
        let p = self.at[i];
        if rnd && size > 16 {
            let f = poff(h, true);
            self.buf[p + 16..p + size].copy_from_slice(&pat[f + 16..f + size])
        }
        if size >= 16 {
            self.buf[p..p + 8].copy_from_slice(&h.to_le_bytes());
            self.buf[p + 8..p + 16].copy_from_slice(&second.to_le_bytes());
        } else if size >= 8 {
            self.buf[p..p + 8].copy_from_slice(&h.to_le_bytes());
        }
    }
}
