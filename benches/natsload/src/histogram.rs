//! Latencies, counted in buckets of less than 1 % width: bounded memory whatever the run's length.
use crate::json::Json;

/// Log-linear histogram of nanoseconds, <1 % bucket error.
pub struct Hist {
    b: Vec<u64>,
    pub n: u64,
    pub max: u64,
    pub min: u64,
    sum: u128,
}
const SB: u32 = 7;
impl Hist {
    pub fn new() -> Self {
        Hist { b: vec![0; 64 << SB], n: 0, max: 0, min: u64::MAX, sum: 0 }
    }
    #[inline]
    fn idx(v: u64) -> usize {
        if v < (1 << SB) {
            return v as usize;
        }
        let e = 63 - v.leading_zeros();
        let s = e - SB;
        (((s + 1) as usize) << SB) + ((v >> s) as usize & ((1 << SB) - 1))
    }
    fn val(i: usize) -> u64 {
        let s = i >> SB;
        if s == 0 {
            return i as u64;
        }
        let m = (i & ((1 << SB) - 1)) as u64 | (1 << SB);
        (m << (s - 1)) + ((1u64 << (s - 1)) >> 1)
    }
    #[inline]
    pub fn rec(&mut self, v: u64) {
        self.b[Self::idx(v)] += 1;
        self.n += 1;
        self.sum += v as u128;
        if v > self.max {
            self.max = v
        }
        if v < self.min {
            self.min = v
        }
    }
    pub fn merge(&mut self, o: &Hist) {
        for (a, b) in self.b.iter_mut().zip(&o.b) {
            *a += *b
        }
        self.n += o.n;
        self.sum += o.sum;
        self.max = self.max.max(o.max);
        self.min = self.min.min(o.min);
    }
    pub fn q(&self, q: f64) -> u64 {
        if self.n == 0 {
            return 0;
        }
        let want = ((self.n as f64) * q).ceil().max(1.0) as u64;
        let mut c = 0;
        for (i, x) in self.b.iter().enumerate() {
            c += x;
            if c >= want {
                return Self::val(i).min(self.max);
            }
        }
        self.max
    }
    pub fn mean(&self) -> f64 {
        if self.n == 0 { 0.0 } else { self.sum as f64 / self.n as f64 }
    }
    pub fn json(&self, j: &mut Json, pfx: &str) {
        let us = |v: u64| v as f64 / 1000.0;
        j.f(&format!("{pfx}min_us"), if self.n == 0 { 0.0 } else { us(self.min) });
        j.f(&format!("{pfx}p50_us"), us(self.q(0.5)));
        j.f(&format!("{pfx}p90_us"), us(self.q(0.9)));
        j.f(&format!("{pfx}p99_us"), us(self.q(0.99)));
        j.f(&format!("{pfx}p999_us"), us(self.q(0.999)));
        j.f(&format!("{pfx}max_us"), us(self.max));
        j.f(&format!("{pfx}mean_us"), self.mean() / 1000.0);
    }
}
