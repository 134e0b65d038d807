//! One file per command.

pub(crate) mod audit;
pub(crate) mod batch_recommend;
pub(crate) mod customer;
pub(crate) mod evaluate;
pub(crate) mod explain;
pub(crate) mod features;
pub(crate) mod import;
pub(crate) mod index;
pub(crate) mod model;
pub(crate) mod policy;
pub(crate) mod postgres;
pub(crate) mod recommend;
pub(crate) mod refresh;
mod reloaded;
pub(crate) mod selection;
pub(crate) mod serve;
pub(crate) mod train;
pub(crate) mod train_scorer;

/// Runs asynchronous work from a command that otherwise blocks.
pub(crate) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Runtime::new()?.block_on(work)
}
