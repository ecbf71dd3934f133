//! The gRPC port, asked by clients that were generated from `proto/`, on either engine.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "also outside of the functions marked as tests; modules of a test export to nobody"
)]

#[path = "../support/app.rs"]
mod app;
#[path = "../support/grpc.rs"]
mod wire;

mod accounts;
mod contract;
mod devices;
mod port;
mod world;
