//! `cargo xtask bench`: what the registry costs, on both engines, from nothing.
//!
//! The measuring itself is crates/things/benches/registry; here are the release build and the
//! cluster that it needs.

use std::{env, ffi::OsString, path::PathBuf};

use crate::{
    Result,
    postgres::Cluster,
    process::{Interrupts, cargo, root, say},
};

/// As it comes: with fsync, because commits must cost what they cost.
const DURABLE: &[&str] = &[];

pub(crate) fn run(arguments: Vec<OsString>) -> Result<()> {
    let interrupts = Interrupts::listen()?;
    say("bench: cargo build --release");
    if !interrupts.run(cargo()?.args(["build", "--release"]))?.success() {
        return Err("the release build failed".into());
    }
    let cluster = Cluster::start(&interrupts, DURABLE)?;
    let mut measure = cargo()?;
    // The driver needs no release build of its own: its dependencies are optimised in the profile
    // `dev` too, and what it measures is another process.
    measure.args([
        "bench",
        "--quiet",
        "--profile",
        "dev",
        "--package",
        "things",
        "--bench",
        "registry",
        "--",
    ]);
    measure.args(arguments);
    measure.env("THINGS_BENCH_BINARY", binary()?).env("THINGS_BENCH_POSTGRES", cluster.url());
    if interrupts.run(&mut measure)?.success() { Ok(()) } else { Err("the measuring failed".into()) }
}

/// Where cargo puts the release build.
fn binary() -> Result<PathBuf> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    Ok(root()?.join(target).join("release/things"))
}
