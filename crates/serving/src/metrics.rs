//! Metrics for Prometheus to fetch: counters and gauges that the rooms keep by the `metrics` facade.

use std::net::SocketAddr;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use serde::{Deserialize, Serialize};

use crate::{Result, ServingError};

/// Bounds of the buckets of what is measured in seconds: from a stage of some microseconds to a slow request.
const SECONDS: [f64; 15] = [
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1,
    0.5, 1.0,
];

/// Where metrics are fetched.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// Address and port that answer HTTP with the metrics as text; without one there are none.
    pub listen: Option<SocketAddr>,
}

/// Begins to keep metrics, and to answer whoever fetches them. To be called before anything is counted, and from within
/// a tokio runtime.
///
/// # Errors
/// [`ServingError::Metrics`] when the address cannot be listened on.
pub fn export(config: &MetricsConfig) -> Result<()> {
    let Some(address) = config.listen else {
        return Ok(());
    };
    let exported = PrometheusBuilder::new()
        .with_http_listener(address)
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .and_then(PrometheusBuilder::install);
    exported.map_err(|error| ServingError::Metrics { address, reason: error.to_string() })
}
