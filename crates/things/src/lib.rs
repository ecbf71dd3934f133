//! How it is said: the device registry's one binary, its HTTP API, gRPC port, command line and configuration.
//!
//! The library exists for the binary and for tests, which run the same server inside their process.

mod app;
mod auth;
mod backups;
mod bench;
pub mod build;
pub mod cli;
pub mod config;
pub mod grpc;
mod health;
pub mod hooks;
mod limits;
pub mod mail;
pub mod pages;
pub mod rest;
pub mod serve;
pub mod telemetry;

pub use app::{App, Options, Parts};
pub use backups::{BackupState, Schedule};
pub use limits::{RateLimits, Source};
