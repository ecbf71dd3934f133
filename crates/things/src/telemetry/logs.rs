//! Logs: for a person where there is one, JSON otherwise; always on the error stream.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, filter::ParseError, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// Reads a filter: `info`, `warn,things=debug`.
pub(crate) fn filter(text: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::builder().parse(text)
}

/// Starts logging. A second call, as in tests, changes nothing.
pub(crate) fn start(filter: EnvFilter) {
    let subscriber = tracing_subscriber::registry().with(filter);
    let stream = std::io::stderr;
    let started = if stream().is_terminal() {
        subscriber.with(fmt::layer().with_writer(stream).with_target(false).compact()).try_init()
    } else {
        subscriber.with(fmt::layer().with_writer(stream).json().flatten_event(true)).try_init()
    };
    if started.is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let message = panic.payload_as_str().unwrap_or("no message");
            tracing::error!(%place, message, "panic");
        }));
    }
}
