//! The smallest program with a NATS server inside: `cargo run -p lattice-broker --example embed [ADDRESS]`.

use lattice_broker::env::Env;
use lattice_broker::{Broker, Config};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::default();
    if let Some(address) = std::env::args().nth(1) {
        config.listen = address.parse()?;
    }
    let broker = Broker::new(Env::tokio(), config)?;
    eprintln!("NATS clients connect to {}", broker.listen()?);
    std::future::pending().await
}
