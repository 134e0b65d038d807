//! What was measured, as a table for people and as JSON.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{Result, load::Measured};

/// Everything that one run measures.
pub(crate) struct Report {
    users: u32,
    rows: Vec<Value>,
}

impl Report {
    pub(crate) fn new(users: u32) -> Self {
        println!(
            "{:<24}{:<18}{:>6}{:>12}{:>10}{:>10}{:>14}",
            "server", "read", "keys", "offered/s", "p50 ms", "p99 ms", "closed loop/s"
        );
        Self { users, rows: Vec::new() }
    }

    /// Takes a row in, and prints it.
    pub(crate) fn add(&mut self, server: &str, read: &str, keys: usize, measured: Measured) {
        let Measured { offered, p50, p99, closed } = measured;
        println!("{server:<24}{read:<18}{keys:>6}{offered:>12}{p50:>10.2}{p99:>10.2}{closed:>14.0}");
        self.rows.push(json!({
            "server": server, "read": read, "keys": keys, "offered_requests_s": offered,
            "p50_ms": p50, "p99_ms": p99, "closed_loop_requests_s": closed.round(),
        }));
    }

    /// Takes in how long it took until each push could be read, in ascending order, and prints it.
    pub(crate) fn add_lags(&mut self, server: &str, read: &str, lags: &[Duration]) {
        let milliseconds = |quantile: f64| {
            let place = (lags.len() as f64 * quantile).ceil() as usize;
            lags[place.clamp(1, lags.len()) - 1].as_secs_f64() * 1000.0
        };
        let (p50, p99) = (milliseconds(0.5), milliseconds(0.99));
        println!("{server:<24}{read:<18}{:>6}{:>12}{p50:>10.2}{p99:>10.2}", 1, "");
        self.rows.push(json!({
            "server": server, "read": read, "keys": 1, "pushes": lags.len(), "p50_ms": p50, "p99_ms": p99,
        }));
    }

    /// Prints the JSON.
    pub(crate) fn print(self) -> Result<()> {
        println!("{}", json!({ "bench": "online", "users": self.users, "rows": self.rows }));
        Ok(())
    }
}
