//! Faults that can be planted, to prove that each rule has a test that notices when it is taken out.
//!
//! Without the feature `planted` every `planted!("…")` is `false` and vanishes. With it the one fault
//! named by `THINGS_PLANTED` is switched on; `cargo xtask planted` builds so, plants each and expects
//! its tests to fail. It has the list of all: a fault is added there and here, and tidy compares.
//! A release build with the feature does not compile.

#[cfg(all(feature = "planted", not(debug_assertions)))]
compile_error!("the feature `planted` takes rules out; it is for tests only");

/// Whether this fault is planted.
#[cfg(not(feature = "planted"))]
macro_rules! planted {
    ($fault:literal) => {
        false
    };
}

/// Whether this fault is planted.
#[cfg(feature = "planted")]
macro_rules! planted {
    ($fault:literal) => {
        $crate::planted::is($fault)
    };
}

/// The whole text is the fault's name. A rule that is kept in two places is taken out in both by one name.
#[cfg(feature = "planted")]
pub(crate) fn is(fault: &str) -> bool {
    static PLANTED: std::sync::LazyLock<Option<String>> =
        std::sync::LazyLock::new(|| std::env::var("THINGS_PLANTED").ok());
    PLANTED.as_deref() == Some(fault)
}
