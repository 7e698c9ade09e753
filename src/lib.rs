//! The node: one binary that makes any device a member of a self-forming mesh that speaks NATS.

pub mod cli;
pub mod client;
pub mod codec;
pub mod config;
pub mod control;
pub mod drop_in;
pub mod gateway;
pub mod host;
mod hyper_io;
pub mod identity;
pub mod mesh;
mod nats_url;
pub mod node;
pub mod planted;
pub mod ports;
pub mod sim;
pub mod status;
pub mod store;
mod trust;
pub mod weak_map;
pub mod web;
pub mod wiring;
