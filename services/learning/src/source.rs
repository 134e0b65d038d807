//! Reads the data set from the store: the same records that a refresh reads, and when each holding began.

use chrono::{DateTime, Utc};
use finrank_model::{Product, ProductId, UserId, UserRecord};
use finrank_store::{Store, records};

use crate::{
    Result,
    dataset::{Acquisitions, Dataset},
};

/// Customers or products read at once.
const PAGE_ROWS: usize = 5_000;

/// Reads and cleans everything that is stored.
pub(crate) async fn read(store: &Store) -> Result<Dataset> {
    let users = all_users(store).await?;
    let products = all_products(store).await?;
    let acquisitions = acquisitions(store).await?;
    Dataset::clean(users, products, &acquisitions)
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
