//! From entities to embeddings: a fitted transform and the tower that was trained on its output.

use ndarray::Axis;

use crate::{
    Embedding, ModelError, Product, UserRecord,
    tower::{FeatureRows, Tower},
    transform::{ProductTransform, UserTransform},
};

/// How many entities are turned into features at once: at 500 features, 8 MB.
const BATCH_ROWS: usize = 4096;

/// Encodes customers. Made by [`UserEncoder::new`], so that transform and tower fit together.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct UserEncoder {
    /// From records to features.
    pub transform: UserTransform,
    /// From features to embeddings.
    pub tower: Tower,
}

impl UserEncoder {
    /// Joins a transform and a tower.
    ///
    /// # Errors
    /// When the tower was made for another width or vocabulary.
    pub fn new(transform: UserTransform, tower: Tower) -> Result<Self, ModelError> {
        check_fit("the user tower", [transform.width(), transform.vocabulary_len()], &tower)?;
        Ok(Self { transform, tower })
    }

    /// The embedding of each user, in the order given; a user's embedding is the same alone as in a batch
    /// (see [`Tower::encode`]).
    ///
    /// # Errors
    /// When a record comes without the values of views that the tower reads, or an embedding is not finite, which finite
    /// weights can still bring about by overflow.
    pub fn encode(&self, users: &[UserRecord]) -> Result<Vec<Embedding>, ModelError> {
        self.check_features(users)?;
        encode(&self.tower, users, |batch| self.transform.rows(batch))
    }

    /// What the tower reads of each user.
    pub(crate) fn rows(&self, users: &[UserRecord]) -> Result<FeatureRows, ModelError> {
        self.check_features(users)?;
        Ok(self.transform.rows(users))
    }

    fn check_features(&self, users: &[UserRecord]) -> Result<(), ModelError> {
        if let Some(set) = self.transform.feature_set()
            && let Some(row) = users.iter().position(|user| !user.features.is_of(set))
        {
            return Err(ModelError::FeaturesMissing { row, service: set.service.clone() });
        }
        Ok(())
    }
}

/// Encodes products. Made by [`ProductEncoder::new`], so that transform and tower fit together.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ProductEncoder {
    /// From products to features.
    pub transform: ProductTransform,
    /// From features to embeddings.
    pub tower: Tower,
}

impl ProductEncoder {
    /// Joins a transform and a tower.
    ///
    /// # Errors
    /// When the tower was made for another width or vocabulary.
    pub fn new(transform: ProductTransform, tower: Tower) -> Result<Self, ModelError> {
        check_fit("the product tower", [transform.width(), transform.vocabulary_len()], &tower)?;
        Ok(Self { transform, tower })
    }

    /// The embedding of each product, in the order given.
    ///
    /// # Errors
    /// When an embedding is not finite.
    pub fn encode(&self, products: &[Product]) -> Result<Vec<Embedding>, ModelError> {
        encode(&self.tower, products, |batch| self.transform.rows(batch))
    }
}

/// Compares `[width, vocabulary]` of a transform with the tower's.
fn check_fit(what: &str, transform: [usize; 2], tower: &Tower) -> Result<(), ModelError> {
    let found = [tower.width(), tower.vocabulary_len()];
    if found == transform {
        Ok(())
    } else {
        Err(ModelError::shape(format!("{what} [width, vocabulary]"), &transform, &found))
    }
}

fn encode<E>(
    tower: &Tower,
    entities: &[E],
    features: impl Fn(&[E]) -> FeatureRows,
) -> Result<Vec<Embedding>, ModelError> {
    let mut embeddings = Vec::with_capacity(entities.len());
    for batch in entities.chunks(BATCH_ROWS) {
        for row in tower.encode(&features(batch)).axis_iter(Axis(0)) {
            let embedding = Embedding::new(row.to_vec(), tower.dimension())
                .map_err(|source| ModelError::Encoding { row: embeddings.len(), source })?;
            embeddings.push(embedding);
        }
    }
    Ok(embeddings)
}
