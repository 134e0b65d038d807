//! Hears from Postgres when a generation is whole, and when live embeddings have moved on: one connection for all
//! streams of this server.

use std::time::Duration;

use finrank_store::Store;
use sqlx::postgres::PgListener;
use tokio::{sync::watch, time};
use tracing::warn;

use crate::live::LIVE_CHANNEL;

/// The channel on which a finished refresh says its run's number, and a promotion that it happened.
pub(crate) const GENERATION_CHANNEL: &str = "finrank_generation";

/// How long to wait before connecting again. Streams look for themselves at every heartbeat meanwhile.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// Passes announcements on for ever.
pub(crate) async fn listen(store: &Store, heard: &watch::Sender<()>) {
    loop {
        if let Err(error) = pass_on(store, heard).await {
            warn!(%error, "announcements of new embeddings are not heard for a moment");
        }
        time::sleep(RECONNECT_PAUSE).await;
    }
}

async fn pass_on(store: &Store, heard: &watch::Sender<()>) -> Result<(), sqlx::Error> {
    // Not from the pool, which is for those who give a connection back.
    let mut listener = PgListener::connect(store.url()).await?;
    listener.listen_all([GENERATION_CHANNEL, LIVE_CHANNEL]).await?;
    loop {
        // Also at first, and after a connection was lost (`None`): what was announced then was not heard.
        heard.send_replace(());
        listener.try_recv().await?;
    }
}
