//! Which program this is. A release build is told its commit and time by environment variables; a
//! build from a working copy knows neither, and so stays the same for the same sources.

/// The version, as in Cargo.toml.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit it was built from.
pub const COMMIT: &str = match option_env!("THINGS_BUILD_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// When it was built.
pub const TIME: &str = match option_env!("THINGS_BUILD_TIME") {
    Some(time) => time,
    None => "unknown",
};
