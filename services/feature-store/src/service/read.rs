//! BatchGetEmbeddings and BatchGetHoldings.

use finrank_contracts::feature::v1;
use finrank_model::{InvalidField, ProductId, UserId};
use finrank_store::Store;

use super::optional_version;
use crate::{
    Result,
    cache::HotCache,
    embeddings::{self, Answer, Found, Generation, Lookup, PresentEmbedding},
};

/// The most ids of one request.
const MAX_IDS: usize = 1000;

pub(super) async fn embeddings(
    store: &Store,
    cache: &HotCache,
    request: v1::BatchGetEmbeddingsRequest,
) -> Result<v1::BatchGetEmbeddingsResponse> {
    let version = optional_version(&request.model_version)?;
    let version = version.as_ref();
    let found = match request.entity() {
        v1::EntityKind::User => {
            let ids = parse_ids("ids", &request.ids, |raw| UserId::parse(raw))?;
            embeddings::hot_users(store, cache, &ids, version).await?
        }
        v1::EntityKind::Product => {
            let ids = parse_ids("ids", &request.ids, |raw| ProductId::parse(raw))?;
            embeddings::lookup_products(store, &ids, version).await?
        }
        v1::EntityKind::Unspecified => {
            return Err(InvalidField::new("entity", "is not ENTITY_KIND_USER or ENTITY_KIND_PRODUCT").into());
        }
    };
    let Found { generation, answers } = found;
    let results = answers.into_iter().map(|answer| result(answer, &generation)).collect();
    Ok(v1::BatchGetEmbeddingsResponse { results, generation: Some(generation.as_ref().into()) })
}

pub(super) async fn holdings(
    store: &Store,
    request: v1::BatchGetHoldingsRequest,
) -> Result<v1::BatchGetHoldingsResponse> {
    let user_ids = parse_ids("user_ids", &request.user_ids, |raw| UserId::parse(raw))?;
    let held = embeddings::holdings(store, &user_ids).await?;
    let results = request
        .user_ids
        .into_iter()
        .zip(held)
        .map(|(user_id, product_ids)| v1::HoldingsResult { user_id, product_ids });
    Ok(v1::BatchGetHoldingsResponse { results: results.collect() })
}

/// Checks how many ids there are, and each of them; a bad one is named by its place: `ids[3]`.
pub(super) fn parse_ids<T>(
    field: &str,
    raw: &[String],
    parse: impl Fn(&String) -> Result<T, InvalidField>,
) -> Result<Vec<T>, InvalidField> {
    parse_at_most(MAX_IDS, field, raw, parse)
}

/// As [`parse_ids`], of fewer ids.
pub(super) fn parse_at_most<T>(
    most: usize,
    field: &str,
    raw: &[String],
    parse: impl Fn(&String) -> Result<T, InvalidField>,
) -> Result<Vec<T>, InvalidField> {
    if !(1..=most).contains(&raw.len()) {
        let reason = format!("has {} entries, 1 to {most} are allowed", raw.len());
        return Err(InvalidField::new(field, reason));
    }
    let parse = |(place, raw)| {
        parse(raw).map_err(|invalid| InvalidField::new(format!("{field}[{place}]"), invalid.reason))
    };
    raw.iter().enumerate().map(parse).collect()
}

fn result(answer: Answer, generation: &Generation) -> v1::EmbeddingResult {
    let (status, embedding) = match answer.lookup {
        Lookup::Present(PresentEmbedding { embedding, features_as_of, computed_at }) => {
            let embedding = generation.embedding_on_the_wire(&embedding, features_as_of, computed_at);
            (v1::EmbeddingStatus::Present, Some(embedding))
        }
        Lookup::UnknownEntity => (v1::EmbeddingStatus::UnknownEntity, None),
        Lookup::NotMaterialised => (v1::EmbeddingStatus::NotMaterialised, None),
    };
    v1::EmbeddingResult { id: answer.id, status: status.into(), embedding }
}
