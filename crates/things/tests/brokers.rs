//! Real brokers, set up by the very text of `docs/brokers`: a device connects with its key, talks where it
//! may, is refused where it may not, and is refused once its key is replaced.
//!
//! `cargo xtask test --brokers` installs them and sets `THINGS_TEST_BROKERS`; without it nothing is tried.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "also outside of the functions marked as tests"
)]

#[path = "support/app.rs"]
mod app;
#[path = "support/mqtt.rs"]
mod mqtt;
#[path = "brokers/rabbitmq.rs"]
mod rabbitmq;
#[path = "hooks/scene.rs"]
mod scene;

use std::{env, fs, net::TcpListener, path::Path};

/// Whether real brokers are asked for.
fn wanted() -> bool {
    let wanted = env::var_os("THINGS_TEST_BROKERS").is_some();
    if !wanted {
        eprintln!("no real broker is tried: `cargo xtask test --brokers` does");
    }
    wanted
}

/// The first block of a page that begins with this line, without that line.
fn block(page: &str, first: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/brokers").join(page);
    let text = fs::read_to_string(file).unwrap();
    let block = text.split("```").skip(1).step_by(2).find_map(|block| {
        let (_, lines) = block.split_once('\n')?;
        lines.strip_prefix(first)
    });
    block.unwrap_or_else(|| panic!("{page} has no block that begins with `{first}`")).to_owned()
}

/// A port that is free now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
