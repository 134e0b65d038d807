//! From what is kept of a catalogue back to the snapshot that it was built from.

use std::collections::HashMap;

use finrank_contracts::ranking::v1::{KeptCatalogue, KeptPage, KeptProduct};
use finrank_decisions::{
    DecisionLogError,
    contents::{AT_A_TIME, Contents},
};
use finrank_model::{Embedding, EmbeddingSpace, InvalidField, ModelVersion, Sha256Digest};
use finrank_serving::wire;
use prost::Message;
use prost_types::Timestamp;

use super::CatalogueProduct;
use crate::{Generation, Snapshot};

impl Snapshot {
    /// Of the catalogue that is kept under a digest; `None` if it is not, or not all of it.
    ///
    /// # Errors
    /// When what is kept is not what was kept, cannot be read, or Postgres does not answer.
    pub async fn kept(
        contents: &Contents,
        catalogue: Sha256Digest,
    ) -> Result<Option<Self>, DecisionLogError> {
        let Some(bytes) = contents.get(&[catalogue]).await?.remove(&catalogue) else { return Ok(None) };
        let kept: KeptCatalogue = message(catalogue, &bytes)?;
        let unreadable = |field: InvalidField| DecisionLogError::unreadable(catalogue, field.to_string());
        let generation = generation(&kept).map_err(unreadable)?;
        let bundle = digest(catalogue, &kept.bundle_sha256)?;
        let mut product_digests = Vec::new();
        for page in in_order(contents, catalogue, &kept.pages).await? {
            let Some((sha256, bytes)) = page else { return Ok(None) };
            let page: KeptPage = message(sha256, &bytes)?;
            product_digests.extend(page.products);
        }
        let mut products = Vec::with_capacity(product_digests.len());
        for kept in in_order(contents, catalogue, &product_digests).await? {
            let Some((sha256, bytes)) = kept else { return Ok(None) };
            let kept = message(sha256, &bytes)?;
            let product = product(kept, generation.dimension);
            products.push(product.map_err(|reason| DecisionLogError::unreadable(sha256, reason))?);
        }
        Ok(Some(Self { generation, bundle, products }))
    }
}

/// Contents in the order of their digests; `None` for what is not kept.
async fn in_order(
    contents: &Contents,
    catalogue: Sha256Digest,
    digests: &[Vec<u8>],
) -> Result<Vec<Option<(Sha256Digest, Vec<u8>)>>, DecisionLogError> {
    let mut found = Vec::with_capacity(digests.len());
    for some in digests.chunks(AT_A_TIME) {
        let some: Vec<Sha256Digest> =
            some.iter().map(|bytes| digest(catalogue, bytes)).collect::<Result<_, _>>()?;
        let mut kept: HashMap<Sha256Digest, Vec<u8>> = contents.get(&some).await?;
        found.extend(some.into_iter().map(|sha256| Some((sha256, kept.remove(&sha256)?))));
    }
    Ok(found)
}

fn generation(kept: &KeptCatalogue) -> Result<Generation, InvalidField> {
    Ok(Generation {
        run_id: kept.run_id,
        model_version: ModelVersion::parse(kept.model_version.as_str())?,
        embedding_space: EmbeddingSpace::parse(kept.embedding_space.as_str())?,
        dimension: kept.dimension as usize,
    })
}

fn product(kept: KeptProduct, dimension: usize) -> Result<(CatalogueProduct, Embedding), String> {
    let mut product = kept.product.ok_or("it has no product")?;
    let attributes =
        kept.attributes.into_iter().filter_map(|attribute| Some((attribute.name, attribute.value?)));
    product.attributes = attributes.collect();
    // A catalogue knows no time of its products, and every product must have one.
    product.event_time = Some(Timestamp::default());
    let product = wire::product(product).map_err(|invalid| invalid.to_string())?;
    let embedding =
        Embedding::new(kept.embedding, dimension).map_err(|invalid| format!("its embedding {invalid}"))?;
    Ok((product.into(), embedding))
}

fn message<M: Message + Default>(sha256: Sha256Digest, bytes: &[u8]) -> Result<M, DecisionLogError> {
    M::decode(bytes).map_err(|error| DecisionLogError::unreadable(sha256, error.to_string()))
}

fn digest(of: Sha256Digest, bytes: &[u8]) -> Result<Sha256Digest, DecisionLogError> {
    Sha256Digest::try_from(bytes)
        .map_err(|_| DecisionLogError::unreadable(of, "it names what is no SHA-256".to_owned()))
}
