//! The catalogue: products, their embeddings in an index, and the scorer prepared for them, all of one
//! generation. It is built aside, never changed, and replaced whole; a request works on one from its first step
//! to its last, so that nothing of two models ever meets.

mod current;
mod error;
mod kept;
mod product;
mod restored;

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use finrank_model::{
    Bundle, Embedding, ProductClass, ProductId, ProductStatus, Score, Sha256Digest, SplitScorer,
};

pub use current::CurrentCatalogue;
pub use error::CatalogueError;
use kept::Manifest;
pub use product::CatalogueProduct;

use crate::{
    Explanations, Generation, Snapshot,
    index::{IndexBuilder, IndexError, IndexSettings, ProductIndex, Row, RowSet, SpacedEmbedding, Unchanged},
};

/// Where the index of the embeddings is kept, in the indexes' directory.
pub const EMBEDDINGS: &str = "embeddings";
/// Where that of their directions is.
pub const DIRECTIONS: &str = "directions";

/// How a catalogue is indexed.
#[derive(Clone, Copy, Debug)]
pub struct Indexing<'a> {
    /// The deployment's settings.
    pub settings: &'a IndexSettings,
    /// The catalogue in service, whose approximate indexes serve on while little has changed since they were built.
    pub in_service: Option<&'a Catalogue>,
}

/// Products, index and scorer of one generation. A product's [`Row`] is its place in the order of ids.
#[derive(Debug)]
pub struct Catalogue {
    products: Vec<CatalogueProduct>,
    rows: HashMap<ProductId, Row>,
    index: ProductIndex,
    /// The embeddings at length 1, whose inner products are cosines: 256 bytes a product, so that
    /// SimilarProducts is a search like any other.
    directions: ProductIndex,
    scorer: SplitScorer,
    /// Absent where the model's scores cannot be explained.
    explanations: Option<Arc<Explanations>>,
    sellable: RowSet,
    by_class: HashMap<ProductClass, RowSet>,
    /// The SHA-256 of the model's bundle.
    bundle: Sha256Digest,
    /// What names it, for whoever keeps it.
    manifest: OnceLock<Manifest>,
}

impl Catalogue {
    /// Builds index and scorer for a snapshot's products, by the default settings.
    ///
    /// # Errors
    /// As [`Catalogue::build_by`].
    pub fn build(snapshot: Snapshot, bundle: &Bundle) -> Result<Self, CatalogueError> {
        Self::build_by(snapshot, bundle, Indexing { settings: &IndexSettings::default(), in_service: None })
    }

    /// Builds index and scorer for a snapshot's products. Takes about as long as the products take to be
    /// copied twice and to pass the scorer's first layer, and seconds more where an approximate index is built: off
    /// the asynchronous threads, please.
    ///
    /// # Errors
    /// When the bundle is of another model, space or dimension than the embeddings, two products have one id,
    /// or an embedding has another dimension.
    pub fn build_by(
        snapshot: Snapshot,
        bundle: &Bundle,
        indexing: Indexing<'_>,
    ) -> Result<Self, CatalogueError> {
        check_bundle(&snapshot.generation, bundle)?;
        let (generation, products, embeddings) = snapshot.into_rows();
        let rows = rows_by_id(&products)?;
        let unchanged = indexing.in_service.map(|catalogue| {
            let rows = catalogue.unchanged(&products, &embeddings);
            (catalogue, rows)
        });
        let (index, directions) = indexes(&generation, &embeddings, indexing.settings, unchanged.as_ref())?;
        Ok(Self {
            bundle: bundle.digest(),
            manifest: OnceLock::new(),
            rows,
            index,
            directions,
            scorer: SplitScorer::new(&bundle.scorer, &embeddings)?,
            explanations: None,
            sellable: rows_where(&products, |product| product.status == ProductStatus::Active),
            by_class: ProductClass::ALL
                .into_iter()
                .map(|class| (class, rows_where(&products, |product| product.product_class == class)))
                .collect(),
            products,
        })
    }

    /// With what explains its scores, of the same bundle.
    #[must_use]
    pub fn explained_by(self, explanations: Option<Arc<Explanations>>) -> Self {
        Self { explanations, ..self }
    }

    /// For each product, this catalogue's row of it if the embedding is the same. Both are in the order of ids.
    fn unchanged(&self, products: &[CatalogueProduct], embeddings: &[Embedding]) -> Vec<Option<Row>> {
        let same = |(product, embedding): (&CatalogueProduct, &Embedding)| {
            self.row(&product.product_id).filter(|&row| self.index.holds(row, embedding))
        };
        products.iter().zip(embeddings).map(same).collect()
    }

    /// What it was built from.
    pub fn generation(&self) -> &Generation {
        self.index.generation()
    }

    /// How many products there are, withdrawn ones included.
    pub fn len(&self) -> usize {
        self.products.len()
    }

    /// Whether there is no product.
    pub fn is_empty(&self) -> bool {
        self.products.is_empty()
    }

    /// The product of a row.
    ///
    /// # Panics
    /// When the row is of another catalogue and past this one's end.
    pub fn product(&self, row: Row) -> &CatalogueProduct {
        &self.products[row.0]
    }

    /// All products, in the order of their rows.
    pub fn products(&self) -> &[CatalogueProduct] {
        &self.products
    }

    /// The row of a product, if it is in this catalogue.
    pub fn row(&self, product_id: &ProductId) -> Option<Row> {
        self.rows.get(product_id).copied()
    }

    /// The rows of products that are still sold.
    pub fn sellable(&self) -> &RowSet {
        &self.sellable
    }

    /// The rows of a class's products.
    pub fn of_class(&self, class: ProductClass) -> &RowSet {
        &self.by_class[&class]
    }

    /// The index over the embeddings as they are: ⟨h_u, h_p⟩.
    pub fn index(&self) -> &ProductIndex {
        &self.index
    }

    /// The index over the embeddings at length 1, for cosines.
    pub fn directions(&self) -> &ProductIndex {
        &self.directions
    }

    /// The SHA-256 of the model's bundle.
    pub fn bundle(&self) -> Sha256Digest {
        self.bundle
    }

    /// What explains its scores, if they can be explained.
    pub fn explanations(&self) -> Option<&Explanations> {
        self.explanations.as_deref()
    }

    /// The scorer's probability for each of some rows, in their order.
    ///
    /// # Errors
    /// When the user's embedding is of another space or dimension.
    pub fn score(&self, user: &SpacedEmbedding, rows: &[Row]) -> Result<Vec<Score>, IndexError> {
        self.index.check(user)?;
        let rows: Vec<usize> = rows.iter().map(|row| row.0).collect();
        Ok(self.scorer.score(&user.embedding, &rows))
    }
}

/// Builds a catalogue's indexes alone, of the embeddings of its rows and of their directions; what is approximate is
/// read from the settings' directory, or kept there.
///
/// # Errors
/// When an embedding has another dimension, or Faiss fails.
pub fn build_indexes(
    generation: &Generation,
    embeddings: &[Embedding],
    settings: &IndexSettings,
) -> Result<(ProductIndex, ProductIndex), IndexError> {
    indexes(generation, embeddings, settings, None)
}

/// `unchanged` has, for each row, that of the catalogue in service with the same embedding.
fn indexes(
    generation: &Generation,
    embeddings: &[Embedding],
    settings: &IndexSettings,
    unchanged: Option<&(&Catalogue, Vec<Option<Row>>)>,
) -> Result<(ProductIndex, ProductIndex), IndexError> {
    let build = |name, index: fn(&Catalogue) -> &ProductIndex, embeddings: &[Embedding]| {
        let builder = IndexBuilder {
            settings,
            unchanged: unchanged
                .map(|(catalogue, rows)| Unchanged { index: index(catalogue), rows: rows.clone() }),
            directory: settings.config.directory.as_ref().map(|directory| directory.join(name)),
        };
        builder.build(generation.clone(), embeddings)
    };
    let directions: Vec<Embedding> = embeddings.iter().map(direction).collect();
    Ok((
        build(EMBEDDINGS, Catalogue::index, embeddings)?,
        build(DIRECTIONS, Catalogue::directions, &directions)?,
    ))
}

fn check_bundle(generation: &Generation, bundle: &Bundle) -> Result<(), CatalogueError> {
    let manifest = &bundle.manifest;
    let facts = [
        ("model version", manifest.model_version.to_string(), generation.model_version.to_string()),
        ("embedding space", manifest.embedding_space.to_string(), generation.embedding_space.to_string()),
        ("dimension", manifest.dimension.to_string(), generation.dimension.to_string()),
    ];
    match facts.into_iter().find(|(_, bundle, embeddings)| bundle != embeddings) {
        None => Ok(()),
        Some((what, bundle, embeddings)) => Err(CatalogueError::OtherBundle { what, bundle, embeddings }),
    }
}

/// The embedding at length 1; one of length 0 has no direction and stays, with a cosine of 0 to everything.
fn direction(embedding: &Embedding) -> Embedding {
    let length = embedding.norm();
    if length == 0.0 {
        return embedding.clone();
    }
    let unit: Vec<f32> =
        embedding.as_slice().iter().map(|&value| (f64::from(value) / length) as f32).collect();
    Embedding::new(unit, embedding.dimension()).expect("no component is larger than the whole vector")
}

fn rows_by_id(products: &[CatalogueProduct]) -> Result<HashMap<ProductId, Row>, CatalogueError> {
    let mut rows = HashMap::with_capacity(products.len());
    for (row, product) in products.iter().enumerate() {
        if rows.insert(product.product_id.clone(), Row(row)).is_some() {
            return Err(CatalogueError::DuplicateProduct(product.product_id.clone()));
        }
    }
    Ok(rows)
}

fn rows_where(products: &[CatalogueProduct], holds: impl Fn(&CatalogueProduct) -> bool) -> RowSet {
    let rows = products.iter().enumerate().filter(|(_, product)| holds(product));
    RowSet::of(products.len(), rows.map(|(row, _)| Row(row)))
}

#[cfg(test)]
mod tests;
