//! Reads the data set from the store: the same records that a refresh reads, and when each holding began; or, for a split
//! by time, each customer as known just before what they acquired.

mod in_time;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use finrank_model::{
    Product, ProductId, UserId, UserRecord,
    features::{Definitions, FeatureSet},
};
use finrank_store::{Store, features::TowerFeatures, records};

use crate::{
    Knowledge, LearningConfig, LearningError, Result, SplitMethod,
    dataset::{Acquisitions, Dataset},
};

/// Customers or products read at once.
const PAGE_ROWS: usize = 5_000;

/// Reads and cleans everything that is stored, as the split wants it.
///
/// # Errors
/// When the store does not answer, there is nothing to learn from, or the features that the settings name may not be read.
pub async fn read(
    store: &Store,
    split: SplitMethod,
    learning: &LearningConfig,
    definitions: Option<&Definitions>,
) -> Result<Dataset> {
    let features = tower_features(learning, definitions)?;
    match (split, features) {
        (SplitMethod::Time(split), features) => in_time::read(store, split, features.as_ref()).await,
        (_, None) => read_snapshot(store).await,
        (_, Some(_)) => Err(LearningError::Setting {
            name: "feature_service",
            value: learning.feature_service.clone().unwrap_or_default(),
            reason: "it needs a split by time: as of now, features of events tell what is hidden",
        }),
    }
}

/// What the settings let the user tower read of views.
fn tower_features(
    learning: &LearningConfig,
    definitions: Option<&Definitions>,
) -> Result<Option<TowerFeatures>> {
    let Some(service) = &learning.feature_service else {
        return Ok(None);
    };
    let Some(definitions) = definitions else {
        let reason = "there are no definitions that declare it";
        return Err(LearningError::Setting { name: "feature_service", value: service.clone(), reason });
    };
    let set =
        FeatureSet::of_service(definitions, service, &learning.feature_purpose, learning.protected_features)?;
    Ok(Some(TowerFeatures::compile(definitions, Arc::new(set))?))
}

/// Reads and cleans everything that is stored as it is now: what customers are and what they hold.
///
/// # Errors
/// When the store does not answer, or there is nothing to learn from.
pub(crate) async fn read_snapshot(store: &Store) -> Result<Dataset> {
    let users = all_users(store).await?;
    let products = all_products(store).await?;
    let acquisitions = acquisitions(store).await?;
    Dataset::clean(users, products, &acquisitions)
}

/// Customers, each as known just before a moment of their own, with what a tower reads of views; none of whom nothing was.
///
/// # Errors
/// When the store does not answer.
pub(crate) async fn just_before(
    store: &Store,
    knowledge: Knowledge,
    features: &TowerFeatures,
    moments: &[(UserId, DateTime<Utc>)],
) -> Result<Vec<Option<UserRecord>>> {
    in_time::Then { store, knowledge, features: Some(features) }.just_before(moments).await
}

async fn all_users(store: &Store) -> Result<Vec<UserRecord>> {
    let mut users: Vec<UserRecord> = Vec::new();
    loop {
        let last = users.last().map(|user| user.user_id.clone());
        let page = records::user_records(store, last.as_ref(), None, PAGE_ROWS).await?;
        let is_last = page.len() < PAGE_ROWS;
        // A page begins with the record that the one before ended with.
        users.extend(page.into_iter().skip(usize::from(last.is_some())));
        if is_last {
            return Ok(users);
        }
    }
}

async fn all_products(store: &Store) -> Result<Vec<Product>> {
    let mut products: Vec<Product> = Vec::new();
    loop {
        let last = products.last().map(|product| product.product_id.clone());
        let page = records::product_records(store, last.as_ref(), None, PAGE_ROWS).await?;
        let is_last = page.len() < PAGE_ROWS;
        products.extend(page.into_iter().skip(usize::from(last.is_some())));
        if is_last {
            return Ok(products);
        }
    }
}

/// When each product was last acquired by each customer, whether or not it is still held.
async fn acquisitions(store: &Store) -> Result<Acquisitions> {
    let rows = sqlx::query!(
        r#"select user_id as "user_id!", product_id as "product_id!", max(event_time) as "acquired_at!: DateTime<Utc>"
           from events
           where kind = 'acquired'
           group by user_id, product_id"#,
    )
    .fetch_all(store.pool())
    .await?;
    let acquisitions = rows.into_iter().map(|row| {
        let key = (UserId::parse(row.user_id)?, ProductId::parse(row.product_id)?);
        Ok((key, row.acquired_at))
    });
    acquisitions.collect()
}
