//! WriteRows: every message is answered by one, which tells what became of each row.

use std::{pin::Pin, time::Duration};

use finrank_contracts::feature::v1;
use finrank_store::Store;
use futures::{Stream, stream};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::{FeatureStoreService, stopping::stopped};
use crate::{
    features::Horizon,
    ingest::{Written, write_next},
};

/// An answer for each message.
pub(crate) type Answers = Pin<Box<dyn Stream<Item = Result<v1::WriteRowsResponse, Status>> + Send>>;

/// A stream of rows on its way.
struct Rows {
    messages: Streaming<v1::WriteRowsRequest>,
    store: Store,
    horizon: Horizon,
    idle_limit: Duration,
    stop: CancellationToken,
    /// Rows of the messages before.
    seen: u64,
}

/// Answers message by message; the next one is read when the client takes the answer to the one before.
pub(super) fn rows(service: &FeatureStoreService, messages: Streaming<v1::WriteRowsRequest>) -> Answers {
    let rows = Rows {
        messages,
        store: service.store.clone(),
        horizon: service.horizon.clone(),
        idle_limit: service.stream_idle_limit,
        stop: service.stop.clone(),
        seen: 0,
    };
    Box::pin(stream::try_unfold(rows, |mut rows| async {
        let answer = rows.next().await?;
        Ok(answer.map(|answer| (answer, rows)))
    }))
}

impl Rows {
    async fn next(&mut self) -> Result<Option<v1::WriteRowsResponse>, Status> {
        let reading = write_next(&self.store, &mut self.messages, self.seen, self.idle_limit);
        let Some(Written { results, rejections }) = (tokio::select! {
            written = reading => written?,
            // Whatever is being written is lost to nobody: it was not answered, and so is sent again.
            () = self.stop.cancelled() => {
                return Err(stopped("send again what was not answered"));
            }
        }) else {
            return Ok(None);
        };
        self.seen += results.len() as u64;
        self.horizon.follow_write().await;
        Ok(Some(v1::WriteRowsResponse { results: results.into_iter().map(Into::into).collect(), rejections }))
    }
}
