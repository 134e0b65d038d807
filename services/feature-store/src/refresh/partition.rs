//! The entities of one partition, read page by page and in the order of their ids, so that one that has grown needs no
//! more memory than any other.

use chrono::{DateTime, Utc};
use finrank_model::{Product, ProductId, UserId, UserRecord};
use finrank_store::{Store, records};

use super::{Entity, RunId};
use crate::{FeatureStoreError, Result};

/// Where the entities of a run are.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) store: &'a Store,
    /// Of a run that computes only what its changes say.
    pub(super) changed_in: Option<RunId>,
}

/// A way through a partition, from its first id to its end.
pub(super) struct Pages<Id> {
    from: Option<Id>,
    below: Option<Id>,
    /// The id at `from`, if it was on the page before.
    read: Option<Id>,
    limit: usize,
    is_over: bool,
}

impl<Id: Clone + PartialEq + AsRef<str>> Pages<Id> {
    /// Pages of at most `rows` entities.
    pub(super) fn new([from, below]: [Option<Id>; 2], rows: usize) -> Self {
        // A page begins with the id that the one before ended with.
        Self { from, below, read: None, limit: rows.saturating_add(1), is_over: false }
    }

    /// Whether everything was read.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Leaves out what was on the page before, and goes on behind this one.
    fn turn<T>(&mut self, mut page: Vec<T>, id: impl Fn(&T) -> &Id) -> Vec<T> {
        self.is_over = page.len() < self.limit;
        let Some(last) = page.last().map(|entity| id(entity).clone()) else {
            return page;
        };
        self.from = Some(last.clone());
        let read = self.read.replace(last);
        if page.first().map(&id) == read.as_ref() {
            page.remove(0);
        }
        page
    }

    /// What of this page has changed, as was noted when the run was planned.
    async fn changed(&self, store: &Store, run_id: RunId, entity: Entity) -> Result<Vec<String>> {
        let ids = sqlx::query_scalar!(
            "select id from refresh_changes
             where run_id = $1 and entity = $2
               and ($3::text is null or id >= $3) and ($4::text is null or id < $4)
             order by id
             limit $5",
            run_id.get(),
            entity.as_str(),
            self.from.as_ref().map(AsRef::as_ref),
            self.below.as_ref().map(AsRef::as_ref),
            i64::try_from(self.limit).unwrap_or(i64::MAX),
        )
        .fetch_all(store.pool())
        .await?;
        Ok(ids)
    }
}

/// A page of customers.
pub(super) struct Users {
    pub(super) records: Vec<UserRecord>,
    /// Since when each one's attributes are true; absent where that was not asked for.
    pub(super) event_times: Option<Vec<DateTime<Utc>>>,
}

/// The next customers of a partition, those included that were written since it was planned.
pub(super) async fn next_users(source: Source<'_>, pages: &mut Pages<UserId>) -> Result<Users> {
    let Some(run_id) = source.changed_in else {
        let (from, below) = (pages.from.as_ref(), pages.below.as_ref());
        let page = records::dated_user_records(source.store, from, below, pages.limit).await?;
        let page = pages.turn(page, |(user, _)| &user.user_id);
        let (records, event_times) = page.into_iter().unzip();
        return Ok(Users { records, event_times: Some(event_times) });
    };
    let ids = pages.changed(source.store, run_id, Entity::User).await?.into_iter().map(UserId::parse);
    let ids = ids.collect::<Result<Vec<_>, _>>().map_err(FeatureStoreError::StoredRow)?;
    let records = records::user_records_of(source.store.pool(), &pages.turn(ids, |id| id)).await?;
    Ok(Users { records, event_times: None })
}

/// The next products of a partition, likewise.
pub(super) async fn next_products(source: Source<'_>, pages: &mut Pages<ProductId>) -> Result<Vec<Product>> {
    let Some(run_id) = source.changed_in else {
        let (from, below) = (pages.from.as_ref(), pages.below.as_ref());
        let page = records::product_records(source.store, from, below, pages.limit).await?;
        return Ok(pages.turn(page, |product| &product.product_id));
    };
    let ids = pages.changed(source.store, run_id, Entity::Product).await?.into_iter().map(ProductId::parse);
    let ids = ids.collect::<Result<Vec<_>, _>>().map_err(FeatureStoreError::StoredRow)?;
    Ok(records::product_records_of(source.store.pool(), &pages.turn(ids, |id| id)).await?)
}
