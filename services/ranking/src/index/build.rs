//! From embeddings to an index: built whole, or around an approximate index that an earlier catalogue had.

use std::{path::PathBuf, sync::Arc};

use finrank_model::Embedding;
use tracing::info;

use super::{
    IndexError, IndexSettings, Placed, ProductIndex, Row,
    approximate::{Approximate, ApproximateKind},
    recall,
    side::Places,
    stored::Shelf,
    vectors::Vectors,
};
use crate::Generation;

/// Builds the indexes of one catalogue.
#[derive(Debug)]
pub struct IndexBuilder<'previous> {
    /// How.
    pub settings: &'previous IndexSettings,
    /// The index that is in service, if any.
    pub unchanged: Option<Unchanged<'previous>>,
    /// The directory of this index alone, where an approximate one is read from and kept.
    pub directory: Option<PathBuf>,
}

/// What an index in service has in common with the one to be built.
#[derive(Clone, Debug)]
pub struct Unchanged<'previous> {
    /// The index in service.
    pub index: &'previous ProductIndex,
    /// For each row to be, the row in service with the same embedding, if any; these go up.
    pub rows: Vec<Option<Row>>,
}

impl IndexBuilder<'_> {
    /// Builds an index whose row `i` is `embeddings[i]`.
    ///
    /// # Errors
    /// [`IndexError::OtherDimension`], or when Faiss cannot have the memory.
    pub fn build(self, generation: Generation, embeddings: &[Embedding]) -> Result<ProductIndex, IndexError> {
        let config = &self.settings.config;
        let vectors = Vectors::build(generation.dimension, embeddings)?;
        let approximate = match config.approximate_kind(vectors.rows()) {
            None => None,
            Some(kind) => match self.kept(&generation, kind) {
                Some(placed) => Some(placed),
                None => {
                    let index = self.read_or_built(kind, &generation, &vectors)?;
                    Some(Placed { index: Arc::new(index), places: Places::identity(vectors.rows()) })
                }
            },
        };
        Ok(ProductIndex { vectors, generation, approximate, recall_target: config.recall_target })
    }

    /// The approximate index in service, unless too much has changed since it was built.
    fn kept(&self, generation: &Generation, kind: ApproximateKind) -> Option<Placed> {
        let Unchanged { index, rows } = self.unchanged.as_ref()?;
        let Placed { index: held, places } = index.approximate.as_ref()?;
        let same_space = index.generation.embedding_space == generation.embedding_space
            && index.generation.dimension == generation.dimension;
        if !same_space || held.kind != kind {
            return None;
        }
        let labels: Vec<Option<Row>> = rows.iter().map(|row| row.and_then(|row| places.label(row))).collect();
        let places = Places::of(held.labels(), &labels);
        let most = held.labels() as f64 * self.settings.config.side_share;
        (places.changed() as f64 <= most).then(|| Placed { index: Arc::clone(held), places })
    }

    fn read_or_built(
        &self,
        kind: ApproximateKind,
        generation: &Generation,
        vectors: &Vectors,
    ) -> Result<Approximate, IndexError> {
        let shelf = self.directory.as_deref().map(|directory| Shelf {
            directory,
            generation,
            vectors,
            kind,
            depth: self.settings.depth.0.get(),
            recall_target: self.settings.config.recall_target,
        });
        if let Some(index) = shelf.as_ref().and_then(Shelf::take) {
            return Ok(index);
        }
        let index = self.measured(kind, vectors)?;
        if let Some(shelf) = shelf {
            shelf.keep(&index);
        }
        Ok(index)
    }

    fn measured(&self, kind: ApproximateKind, vectors: &Vectors) -> Result<Approximate, IndexError> {
        let depth = self.settings.depth.0.get();
        let target = self.settings.config.recall_target;
        let built = recall::settle(Approximate::build(kind, vectors)?, vectors, depth, target)?;
        let least_share = built
            .recall
            .bands
            .iter()
            .filter(|band| band.settings.iter().any(|setting| setting.recall >= target))
            .map(|band| band.share)
            .fold(f64::INFINITY, f64::min);
        info!(
            kind = kind.name(),
            rows = vectors.rows(),
            target,
            least_share,
            "approximate index built; below the least share of eligible products searches are exact"
        );
        Ok(built)
    }
}
