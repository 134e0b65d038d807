//! What every session asks of Postgres when it begins, in one place for both kinds of connection.
//!
//! A process that is killed has its sockets closed by the kernel, and Postgres ends its sessions at once. A host that is lost
//! says nothing: by its defaults Postgres keeps the sessions for two hours more, and with them their locks, so that nothing
//! that was learned meanwhile is seen and no refresh goes on. A client may ask that this is found out sooner.

use std::time::Duration;

/// How long a connection is silent before either end asks whether the other lives.
pub(crate) const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
/// How long it waits before it asks again.
pub(crate) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// How many questions in a row may stay without an answer.
pub(crate) const KEEPALIVE_COUNT: u32 = 3;
/// How long what was sent may stay unacknowledged.
pub(crate) const UNACKNOWLEDGED_LIMIT: Duration = Duration::from_secs(30);

/// What one kind of session may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    /// How long a transaction may stand open without a statement: a process that was stopped keeps its sockets open.
    pub(crate) idle_in_transaction: Duration,
    /// How long one statement may take; as long as it wants if absent.
    pub(crate) statement_limit: Option<Duration>,
}

impl Session {
    /// The settings by their names in Postgres, without those that `stated`, the URL's own `options`, says something of.
    pub(crate) fn settings(self, stated: &str) -> Vec<(&'static str, String)> {
        let milliseconds = |limit: Duration| limit.as_millis().to_string();
        let mut settings = vec![
            ("tcp_keepalives_idle", KEEPALIVE_IDLE.as_secs().to_string()),
            ("tcp_keepalives_interval", KEEPALIVE_INTERVAL.as_secs().to_string()),
            ("tcp_keepalives_count", KEEPALIVE_COUNT.to_string()),
            ("tcp_user_timeout", milliseconds(UNACKNOWLEDGED_LIMIT)),
            ("idle_in_transaction_session_timeout", milliseconds(self.idle_in_transaction)),
        ];
        settings.extend(self.statement_limit.map(|limit| ("statement_timeout", milliseconds(limit))));
        settings.retain(|(name, _)| !stated.contains(name));
        settings
    }
}
