//! Clients of the gRPC port, generated from `proto/` as anybody else would.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated; and every test crate includes this file and uses part of it"
)]

use std::net::SocketAddr;

use tonic::transport::{Channel, Endpoint};

pub mod protomfx {
    include!(concat!(env!("OUT_DIR"), "/client/protomfx.rs"));
}

pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/client/things.v1.rs"));
}

/// A connection, made when it is first used.
pub fn channel(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy()
}
