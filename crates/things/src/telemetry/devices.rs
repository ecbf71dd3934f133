//! What devices' checks came to, counted by the registry and read from it when metrics are asked for.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter},
};
use registry::Registry;

/// Tells the registry's counts.
pub(super) struct DeviceChecks(pub(super) Arc<Registry>);

impl fmt::Debug for DeviceChecks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceChecks")
    }
}

impl Collector for DeviceChecks {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let checks = self.0.device_checks();
        let failed = checks.failed.map(|(reason, count)| (reason.as_str(), count));
        let outcomes = [("passed", checks.passed)].into_iter().chain(failed);
        let sources = [("memory", checks.from_memory), ("database", checks.from_database)];
        let help = "Checks of devices' credentials, by their outcome";
        let mut family = encoder.encode_descriptor("device_checks", help, None, MetricType::Counter)?;
        for (outcome, count) in outcomes {
            ConstCounter::new(count).encode(family.encode_family(&[("outcome", outcome)])?)?;
        }
        let help = "Credentials looked up, by where the answer came from";
        let mut family = encoder.encode_descriptor("device_lookups", help, None, MetricType::Counter)?;
        for (source, count) in sources {
            ConstCounter::new(count).encode(family.encode_family(&[("source", source)])?)?;
        }
        let help = "Failed checks that the list of them had no room for";
        let family =
            encoder.encode_descriptor("device_failed_checks_unlisted", help, None, MetricType::Counter)?;
        ConstCounter::new(checks.unlisted).encode(family)
    }
}
