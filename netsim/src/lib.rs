//! A deterministic network for whole nodes: virtual time, seeded faults, one process.
#![forbid(unsafe_code)]
