//! SIGHUP, by which an operator has files read anew.

use std::future;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::warn;

/// The SIGHUPs of this process, as they come.
#[derive(Debug)]
pub struct Hangups(Option<Signal>);

impl Hangups {
    /// Listens for them. To be called within a tokio runtime; if they cannot be listened for, none ever comes.
    pub fn listen() -> Self {
        Self(
            signal(SignalKind::hangup())
                .inspect_err(|error| warn!(%error, "SIGHUP is not listened for"))
                .ok(),
        )
    }

    /// Returns at the next one.
    pub async fn next(&mut self) {
        let came = match &mut self.0 {
            Some(hangups) => hangups.recv().await,
            None => None,
        };
        if came.is_none() {
            future::pending::<()>().await;
        }
    }
}
