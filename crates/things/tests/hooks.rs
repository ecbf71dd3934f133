//! Broker hooks, by the requests that each broker's documentation shows.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "also outside of the functions marked as tests"
)]

#[path = "support/app.rs"]
mod app;
#[path = "hooks/emqx.rs"]
mod emqx;
#[path = "hooks/guard.rs"]
mod guard;
#[path = "hooks/limits.rs"]
mod limits;
#[path = "hooks/mosquitto.rs"]
mod mosquitto;
#[path = "hooks/nanomq.rs"]
mod nanomq;
#[path = "hooks/rabbitmq.rs"]
mod rabbitmq;
#[path = "hooks/reasons.rs"]
mod reasons;
#[path = "hooks/scene.rs"]
mod scene;
#[path = "hooks/vernemq.rs"]
mod vernemq;
