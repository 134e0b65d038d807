//! ExportCustomer and EraseCustomer.

use finrank_contracts::feature::v1;
use finrank_model::UserId;
use finrank_serving::wire;
use tracing::info;

use super::FeatureStoreService;
use crate::{
    Result,
    people::{self, Exported, Receipt},
};

pub(super) async fn export(
    service: &FeatureStoreService,
    request: v1::ExportCustomerRequest,
) -> Result<Exported> {
    let user_id = UserId::parse(request.user_id)?;
    let customer = service.pseudonyms.of(&user_id);
    let stop = service.stop.clone();
    let exports = &service.exports;
    let exported = exports.export(&service.background, user_id, service.stream_idle_limit, stop).await?;
    info!(%customer, "what is held on a customer is exported");
    Ok(exported)
}

pub(super) async fn erase(
    service: &FeatureStoreService,
    request: v1::EraseCustomerRequest,
) -> Result<v1::EraseCustomerResponse> {
    let user_id = UserId::parse(request.user_id)?;
    let Receipt { erasure_id, erased_at, removed } = people::erase(&service.background, &user_id).await?;
    info!(%erasure_id, customer = %service.pseudonyms.of(&user_id), "a customer is erased");
    let removed = removed.into_iter().map(|(table, rows)| v1::RemovedRows { table: table.to_owned(), rows });
    Ok(v1::EraseCustomerResponse {
        erasure_id: erasure_id.to_string(),
        erased_at: Some(wire::timestamp(erased_at)),
        removed: removed.collect(),
    })
}
