//! Logs, on stderr: text for people, JSON for programs.

use std::io::{IsTerminal, stderr};

use serde::{Deserialize, Serialize};
use tracing_subscriber::{EnvFilter, fmt::format::FmtSpan};

use crate::{Result, ServingError};

/// How to log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Text or JSON.
    pub format: LogFormat,
    /// What to log, as `RUST_LOG` is written: `info,finrank_ranking=debug`.
    pub filter: String,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One line for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "warn,finrank=info,rpc=info".to_owned() }
    }
}

/// Begins to log. A second call changes nothing.
///
/// # Errors
/// When the filter cannot be read.
pub fn init(config: &LogConfig) -> Result<()> {
    let filter = EnvFilter::try_new(&config.filter).map_err(|error| ServingError::LogFilter {
        filter: config.filter.clone(),
        reason: error.to_string(),
    })?;
    // A span's end says how long it took.
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_span_events(FmtSpan::CLOSE)
        .with_writer(stderr);
    // An error means that a subscriber is there already, as when several servers start in one process.
    let _ = match config.format {
        LogFormat::Text => lines.with_ansi(stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    Ok(())
}
