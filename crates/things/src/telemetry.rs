//! What the process tells its operator: metrics and logs.

mod devices;
pub(crate) mod hooks;
pub(crate) mod logs;
pub mod metrics;

pub use hooks::HookMetrics;
pub use metrics::{MailMetrics, Metrics};
