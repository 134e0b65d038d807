//! ExportCustomer and EraseCustomer.

use finrank_contracts::feature::v1;
use finrank_model::UserId;
use finrank_serving::wire;
use finrank_store::Store;
use tracing::info;

use crate::{
    Result,
    people::{self, Exported, Receipt},
};

pub(super) async fn export(store: &Store, request: v1::ExportCustomerRequest) -> Result<Exported> {
    people::export(store, UserId::parse(request.user_id)?).await
}

pub(super) async fn erase(
    store: &Store,
    request: v1::EraseCustomerRequest,
) -> Result<v1::EraseCustomerResponse> {
    let Receipt { erasure_id, erased_at, removed } =
        people::erase(store, &UserId::parse(request.user_id)?).await?;
    info!(%erasure_id, "a customer is erased");
    let removed = removed.into_iter().map(|(table, rows)| v1::RemovedRows { table: table.to_owned(), rows });
    Ok(v1::EraseCustomerResponse {
        erasure_id: erasure_id.to_string(),
        erased_at: Some(wire::timestamp(erased_at)),
        removed: removed.collect(),
    })
}
