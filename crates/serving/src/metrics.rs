//! Metrics for Prometheus to fetch: counters and gauges that the rooms keep by the `metrics` facade.

use std::net::SocketAddr;

use metrics_exporter_prometheus::PrometheusBuilder;
use serde::{Deserialize, Serialize};

use crate::{Result, ServingError};

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
    let exported = PrometheusBuilder::new().with_http_listener(address).install();
    exported.map_err(|error| ServingError::Metrics { address, reason: error.to_string() })
}
