//! The gateway on real loopback sockets: against a real nats-server, and against a scripted one for what a real one
//! does not do on request.

mod double;
mod real;
mod scripted;
