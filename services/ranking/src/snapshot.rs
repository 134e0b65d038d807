//! From the steps of WatchProductEmbeddings to a whole snapshot. A part that does not fit ends the snapshot,
//! never a part of the catalogue in service. What follows a snapshot is read by `feed`.

use finrank_contracts::feature::v1::{
    self, ProductEmbedding, SnapshotChunk, SnapshotComplete, SnapshotStarted,
    watch_product_embeddings_response::Step,
};
use finrank_model::{Embedding, EmbeddingSpace, InvalidEmbedding, InvalidField, ModelVersion, Sha256Digest};
use finrank_serving::wire;
use thiserror::Error;

use crate::{Generation, catalogue::CatalogueProduct};

/// All products of one generation with their embeddings. Only what was received whole becomes one.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(crate) generation: Generation,
    /// Of the bundle whose towers computed it.
    pub(crate) bundle: Sha256Digest,
    pub(crate) products: Vec<(CatalogueProduct, Embedding)>,
}

impl Snapshot {
    /// What it is of.
    pub fn generation(&self) -> &Generation {
        &self.generation
    }

    /// Products and their embeddings as an index has them: in the order of ids.
    pub fn into_rows(mut self) -> (Generation, Vec<CatalogueProduct>, Vec<Embedding>) {
        self.products.sort_by(|(a, _), (b, _)| a.product_id.cmp(&b.product_id));
        let (products, embeddings) = self.products.into_iter().unzip();
        (self.generation, products, embeddings)
    }
}

/// Why a snapshot cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// A step came that cannot follow the one before it.
    #[error("{step} came without a snapshot having started")]
    NotStarted {
        /// Which step.
        step: &'static str,
    },
    /// A step of another snapshot than the one that started.
    #[error("generation {started} started and {completed} was completed")]
    OtherGeneration {
        /// The one that started.
        started: i64,
        /// The one that ended.
        completed: i64,
    },
    /// Products were lost or added on the way.
    #[error("{announced} products were announced and {received} received")]
    Count {
        /// As announced.
        announced: u64,
        /// As received.
        received: u64,
    },
    /// A message without something that it must have.
    #[error("a message has no {0}")]
    Missing(&'static str),
    /// A product, or the generation, does not hold what it must.
    #[error(transparent)]
    Field(#[from] InvalidField),
    /// A product's vector is no embedding.
    #[error("the embedding of product {product_id} {source}")]
    Embedding {
        /// Whose.
        product_id: String,
        /// What is wrong with it.
        source: InvalidEmbedding,
    },
    /// A generation of another model was to follow without a snapshot.
    #[error("a generation of model {came} follows one of {held}")]
    OtherModelFollows {
        /// The model of what is held.
        held: ModelVersion,
        /// The model of what came.
        came: ModelVersion,
    },
    /// A product's vector is of another model or space than the snapshot.
    #[error("the embedding of product {product_id} is of model {model_version} in space {space}")]
    OtherModel {
        /// Whose.
        product_id: String,
        /// The embedding's.
        model_version: String,
        /// The embedding's.
        space: String,
    },
}

/// Puts snapshots together, step by step.
#[derive(Debug, Default)]
pub(crate) struct SnapshotReader {
    partial: Option<Partial>,
}

#[derive(Debug)]
struct Partial {
    announced: u64,
    snapshot: Snapshot,
}

impl SnapshotReader {
    /// Takes the next step; returns a snapshot and its resume token when this step made it whole.
    ///
    /// # Errors
    /// When the step does not fit. What was read so far is of no use then.
    pub(crate) fn take(&mut self, step: Option<Step>) -> Result<Option<(Snapshot, Vec<u8>)>, SnapshotError> {
        match step {
            Some(Step::SnapshotStarted(started)) => self.partial = Some(Partial::start(started)?),
            Some(Step::SnapshotChunk(chunk)) => self.started("a chunk")?.add(chunk)?,
            Some(Step::SnapshotComplete(complete)) => {
                self.started("the completion")?.check_complete(&complete)?;
                return Ok(self.partial.take().map(|partial| (partial.snapshot, complete.resume_token)));
            }
            // A step that this program does not know yet is no more to it than a sign of life.
            _ => {}
        }
        Ok(None)
    }

    fn started(&mut self, step: &'static str) -> Result<&mut Partial, SnapshotError> {
        self.partial.as_mut().ok_or(SnapshotError::NotStarted { step })
    }
}

impl Partial {
    fn start(started: SnapshotStarted) -> Result<Self, SnapshotError> {
        let (generation, bundle) = generation_of(started.generation)?;
        let snapshot = Snapshot { generation, bundle, products: Vec::new() };
        Ok(Self { announced: started.product_count, snapshot })
    }

    fn add(&mut self, chunk: SnapshotChunk) -> Result<(), SnapshotError> {
        for entry in chunk.products {
            self.snapshot.products.push(product_of(entry, &self.snapshot.generation)?);
        }
        Ok(())
    }

    fn check_complete(&self, complete: &SnapshotComplete) -> Result<(), SnapshotError> {
        let started = self.snapshot.generation.run_id;
        if complete.run_id != started {
            return Err(SnapshotError::OtherGeneration { started, completed: complete.run_id });
        }
        let received = self.snapshot.products.len() as u64;
        if received != self.announced {
            return Err(SnapshotError::Count { announced: self.announced, received });
        }
        Ok(())
    }
}

/// A generation that a message must have, and the digest of its bundle.
pub(crate) fn generation_of(
    generation: Option<v1::Generation>,
) -> Result<(Generation, Sha256Digest), SnapshotError> {
    let generation = generation.ok_or(SnapshotError::Missing("generation"))?;
    let bundle = Sha256Digest::parse(&generation.bundle_sha256)?;
    Ok((generation.try_into()?, bundle))
}

/// A product of a generation's model.
pub(crate) fn product_of(
    entry: ProductEmbedding,
    generation: &Generation,
) -> Result<(CatalogueProduct, Embedding), SnapshotError> {
    let product = entry.product.ok_or(SnapshotError::Missing("product"))?;
    let embedding = entry.embedding.ok_or(SnapshotError::Missing("embedding"))?;
    if embedding.model_version != generation.model_version.as_str()
        || embedding.embedding_space != generation.embedding_space.as_str()
    {
        return Err(SnapshotError::OtherModel {
            product_id: product.product_id,
            model_version: embedding.model_version,
            space: embedding.embedding_space,
        });
    }
    let embedding = Embedding::new(embedding.values, generation.dimension)
        .map_err(|source| SnapshotError::Embedding { product_id: product.product_id.clone(), source })?;
    Ok((wire::product(product)?.into(), embedding))
}

impl TryFrom<v1::Generation> for Generation {
    type Error = InvalidField;

    fn try_from(generation: v1::Generation) -> Result<Self, InvalidField> {
        if generation.dimension == 0 {
            return Err(InvalidField::new("dimension", "is 0"));
        }
        Ok(Self {
            run_id: generation.run_id,
            model_version: ModelVersion::parse(generation.model_version)?,
            embedding_space: EmbeddingSpace::parse(generation.embedding_space)?,
            dimension: generation.dimension as usize,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use finrank_contracts::{
        common::v1::{self as common, ProductClass},
        feature::v1::Heartbeat,
    };

    use super::*;
    use crate::fixtures::{DIMENSION, generation};

    pub(crate) fn generation_message(run_id: i64) -> v1::Generation {
        let Generation { run_id, model_version, embedding_space, dimension } = generation(run_id);
        v1::Generation {
            run_id,
            model_version: model_version.into(),
            embedding_space: embedding_space.into(),
            dimension: dimension as u32,
            features_as_of: None,
            bundle_sha256: "ab".repeat(32),
        }
    }

    pub(crate) fn started(product_count: u64) -> Step {
        let generation = Some(generation_message(7));
        Step::SnapshotStarted(SnapshotStarted { generation, product_count, ..SnapshotStarted::default() })
    }

    pub(crate) fn entry(product_id: &str, values: Vec<f32>) -> ProductEmbedding {
        ProductEmbedding {
            product: Some(common::Product {
                product_id: product_id.to_owned(),
                product_class: ProductClass::Loan.into(),
                name: "A loan".to_owned(),
                event_time: Some(Default::default()),
                ..Default::default()
            }),
            embedding: Some(common::Embedding {
                values,
                model_version: "m7".to_owned(),
                embedding_space: "s7".to_owned(),
                ..Default::default()
            }),
        }
    }

    pub(crate) fn chunk(products: Vec<ProductEmbedding>) -> Step {
        Step::SnapshotChunk(SnapshotChunk { products })
    }

    pub(crate) fn complete(run_id: i64) -> Step {
        let resume_token = b"of the snapshot".to_vec();
        Step::SnapshotComplete(SnapshotComplete { run_id, resume_token })
    }

    fn read(steps: impl IntoIterator<Item = Step>) -> Result<Option<Snapshot>, SnapshotError> {
        let mut reader = SnapshotReader::default();
        let read = steps.into_iter().try_fold(None, |_, step| reader.take(Some(step)))?;
        Ok(read.map(|(snapshot, _)| snapshot))
    }

    #[test]
    fn chunks_become_a_snapshot_when_it_is_complete() {
        let one = chunk(vec![entry("a", vec![1.0; DIMENSION])]);
        let two = chunk(vec![entry("b", vec![2.0; DIMENSION])]);
        let heartbeat = Step::Heartbeat(Heartbeat::default());

        let snapshot = read([started(2), one, heartbeat, two, complete(7)]).unwrap().unwrap();

        assert_eq!(snapshot.generation, generation(7));
        assert_eq!(snapshot.bundle.to_string(), "ab".repeat(32));
        assert_eq!(snapshot.products.len(), 2);
        assert_eq!(snapshot.products[1].0.product_id.as_str(), "b");
        assert_eq!(snapshot.products[1].1.as_slice(), [2.0; DIMENSION]);
    }

    #[test]
    fn an_unfinished_snapshot_is_given_up_when_another_one_starts() {
        let stale = chunk(vec![entry("a", vec![1.0; DIMENSION])]);
        let fresh = chunk(vec![entry("b", vec![2.0; DIMENSION])]);

        let snapshot = read([started(9), stale, started(1), fresh, complete(7)]).unwrap().unwrap();

        assert_eq!(snapshot.products.len(), 1);
    }

    #[test]
    fn products_that_were_lost_on_the_way_are_noticed() {
        let one = chunk(vec![entry("a", vec![1.0; DIMENSION])]);

        let error = read([started(2), one, complete(7)]).unwrap_err();

        assert!(matches!(error, SnapshotError::Count { announced: 2, received: 1 }));
    }

    #[test]
    fn a_snapshot_ends_as_the_one_that_started() {
        let without_start = read([complete(7)]).unwrap_err();
        let another = read([started(0), complete(8)]).unwrap_err();

        assert!(matches!(without_start, SnapshotError::NotStarted { .. }));
        assert!(matches!(another, SnapshotError::OtherGeneration { started: 7, completed: 8 }));
    }

    #[test]
    fn a_vector_that_is_no_embedding_of_the_generation_is_refused_by_the_products_name() {
        let short = read([started(1), chunk(vec![entry("short", vec![1.0; DIMENSION - 1])])]).unwrap_err();
        let nan = read([started(1), chunk(vec![entry("nan", vec![f32::NAN; DIMENSION])])]).unwrap_err();
        let mut elsewhere = entry("elsewhere", vec![1.0; DIMENSION]);
        elsewhere.embedding.as_mut().unwrap().embedding_space = "s8".to_owned();
        let elsewhere = read([started(1), chunk(vec![elsewhere])]).unwrap_err();

        assert!(short.to_string().contains("product short has 3 components"), "{short}");
        assert!(nan.to_string().contains("product nan component 0"), "{nan}");
        assert!(
            elsewhere.to_string().contains("product elsewhere is of model m7 in space s8"),
            "{elsewhere}"
        );
    }
}
