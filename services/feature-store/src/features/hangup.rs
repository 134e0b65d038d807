//! SIGHUP, by which an operator has the file of definitions read anew.

use finrank_serving::Hangups;
use tracing::{info, warn};

use super::{Registry, registry::Reloaded};

/// Reads the file anew at every SIGHUP, for ever.
pub(crate) async fn reload_on_hangup(registry: &Registry) {
    let mut hangups = Hangups::listen();
    loop {
        hangups.next().await;
        match registry.reload().await {
            Ok(Reloaded { in_force, before })
                if in_force.declared.definitions.digest == before.definitions.digest =>
            {
                info!("SIGHUP: the feature definitions are what they were");
            }
            Ok(_) => info!("SIGHUP: the feature definitions were read anew"),
            Err(error) if error.is_out_of_reach() => {
                warn!(%error, "SIGHUP: the feature definitions were read, and are in force once Postgres answers");
            }
            Err(error) => warn!(%error, "SIGHUP: the feature definitions stay as they are"),
        }
    }
}
