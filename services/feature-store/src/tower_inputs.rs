//! What was fed to a model's user tower: of customers, as of the moment of the embeddings that are served, for whoever
//! explains a score. Which inputs a model has stands in the manifest that was registered; no bundle is read.

use std::{collections::HashMap, sync::Arc};

use finrank_model::{
    AttributeValue, Attributes, InputName, InvalidField, Manifest, ModelVersion, ProductId, Sha256Digest,
    UserId, UserRecord,
    features::{Definitions, Entity, Feature, FeatureRef, FeatureView, Recipe},
};
use finrank_store::{
    Store,
    features::{Asked, TowerFeatures},
    models, records,
};
use moka::sync::Cache;
use serde::Deserialize;

use crate::{
    FeatureStoreError, Result,
    embeddings::{Moment, Moments},
};

/// Models whose readings are kept.
const KEPT: u64 = 16;

/// What models' user towers read. A version's manifest never becomes another one, and features are compiled anew for other
/// definitions.
pub(crate) struct KnownTowers(Cache<(ModelVersion, Sha256Digest), Arc<TowerReading>>);

/// What one model's user tower reads.
pub(crate) struct TowerReading {
    /// In order.
    attributes: Vec<String>,
    features: Option<TowerFeatures>,
}

/// One of its inputs, and what the definitions say of it.
pub(crate) struct Input {
    pub(crate) name: String,
    /// Whether people may not be told apart by it.
    pub(crate) protected: bool,
    /// Whether it is declared, and may not be told for the purpose.
    pub(crate) denied: bool,
}

/// What was fed to the tower of one customer.
pub(crate) struct Inputs {
    /// What the tower reads of the record.
    pub(crate) attributes: Attributes,
    pub(crate) held: Vec<ProductId>,
    /// As many as the tower reads features.
    pub(crate) features: Vec<Option<AttributeValue>>,
}

impl Default for KnownTowers {
    fn default() -> Self {
        Self(Cache::new(KEPT))
    }
}

impl KnownTowers {
    /// What a model version's user tower reads, its features compiled by these definitions.
    ///
    /// # Errors
    /// When the version is not registered, or names the features that the definitions do not give any more.
    pub(crate) async fn reading(
        &self,
        store: &Store,
        version: &ModelVersion,
        definitions: &Definitions,
    ) -> Result<Arc<TowerReading>> {
        let key = (version.clone(), definitions.digest);
        if let Some(reading) = self.0.get(&key) {
            return Ok(reading);
        }
        let registered = models::get(store, version).await?;
        let registered = registered
            .ok_or_else(|| FeatureStoreError::ModelVersionNotFound { version: Some(version.clone()) })?;
        let manifest = Manifest::deserialize(registered.manifest)
            .map_err(|error| InvalidField::new("manifest", error.to_string()))
            .map_err(FeatureStoreError::StoredRow)?;
        let reading = Arc::new(TowerReading::of(manifest, definitions)?);
        self.0.insert(key, reading.clone());
        Ok(reading)
    }
}

impl TowerReading {
    fn of(manifest: Manifest, definitions: &Definitions) -> Result<Self> {
        let version = manifest.model_version;
        let unusable = |source| FeatureStoreError::FeaturesUnusable { version, source };
        let set = manifest.feature_set.map(Arc::new);
        let features =
            set.map(|set| TowerFeatures::compile(definitions, set)).transpose().map_err(unusable)?;
        let is_attribute = |name: &String| name != InputName::HELD && !name.contains(':');
        let attributes = manifest.architecture.user.features.into_iter().filter(is_attribute).collect();
        Ok(Self { attributes, features })
    }

    /// Its inputs in order: attributes, features of views, what is held.
    pub(crate) fn inputs(&self, definitions: &Definitions, purpose: &str) -> Vec<Input> {
        let attributes = self.attributes.iter().map(|name| {
            let declared: Vec<_> = declaring(definitions, name).collect();
            Input::declared(name.clone(), &declared, purpose)
        });
        let names = self.features.iter().flat_map(|features| features.set().names());
        let features = names.map(|reference: &FeatureRef| {
            let declared: Vec<_> = definitions.feature(reference).into_iter().collect();
            Input::declared(reference.to_string(), &declared, purpose)
        });
        let held = Input { name: InputName::HELD.to_owned(), protected: false, denied: false };
        attributes.chain(features).chain([held]).collect()
    }

    /// What was fed to the tower, of each customer who has an embedding.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub(crate) async fn read(
        &self,
        store: &Store,
        ids: &[UserId],
        moments: &Moments,
    ) -> Result<HashMap<UserId, Inputs>> {
        let asked = ids.iter().zip(&moments.moments).filter_map(|(id, moment)| match moment {
            Moment::Of(moment) => Some(Asked { id: id.to_string(), as_of: *moment, known_at: *moment }),
            Moment::UnknownEntity | Moment::NotMaterialised => None,
        });
        let asked: Vec<Asked> = asked.collect();
        let records = records::user_records_of(store.pool(), ids).await?;
        let mut features: HashMap<String, Vec<Option<AttributeValue>>> = HashMap::new();
        if let Some(of_views) = &self.features {
            let rows = of_views.read(store, &asked).await?;
            let width = of_views.set().features.len();
            let values = |place, row: &finrank_model::features::FeatureRow| row.value(place).cloned();
            let rows = rows.iter().map(|row| (0..width).map(|place| values(place, row)).collect());
            features.extend(asked.iter().map(|asked| asked.id.clone()).zip(rows));
        } else {
            features.extend(asked.into_iter().map(|asked| (asked.id, Vec::new())));
        }
        let fed = records.into_iter().filter_map(|record| {
            let features = features.remove(record.user_id.as_str())?;
            let UserRecord { user_id, attributes, held, .. } = record;
            Some((user_id, Inputs { attributes: self.read_of(&attributes), held, features }))
        });
        Ok(fed.collect())
    }

    /// Nobody learns more of a customer than the tower does.
    fn read_of(&self, attributes: &Attributes) -> Attributes {
        let read =
            attributes.iter().filter(|(name, _)| self.attributes.iter().any(|read| read == name.as_str()));
        Attributes::of_table_row(read.map(|(name, value)| (name.clone(), value.clone())))
    }
}

impl Input {
    /// By all that declares it.
    fn declared(name: String, declared: &[(&FeatureView, &Feature)], purpose: &str) -> Self {
        let served = declared.iter().any(|(view, feature)| view.serves(feature, purpose));
        let protected = declared.iter().any(|(_, feature)| feature.protected);
        Self { name, protected, denied: !declared.is_empty() && !served }
    }
}

/// Where an attribute of customers is declared.
fn declaring<'d>(
    definitions: &'d Definitions,
    attribute: &str,
) -> impl Iterator<Item = (&'d FeatureView, &'d Feature)> {
    let views = definitions.views.values().filter(|view| view.entity == Entity::Customer);
    let features = views.flat_map(|view| view.features.iter().map(move |feature| (view, feature)));
    features.filter(
        move |(_, feature)| matches!(&feature.recipe, Recipe::Attribute(name) if name.as_str() == attribute),
    )
}
