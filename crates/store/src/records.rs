//! The records that towers are trained on and run on: customers with what they hold, and products.
//!
//! Learning and refresh read them here, by the same queries, so that they cannot see different things. What a
//! customer *holds* is defined by the view `holdings`.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use finrank_model::{
    Attributes, InvalidField, Product, ProductClass, ProductDraft, ProductId, ProductStatus, RiskGrade,
    UserId, UserRecord, features::FeatureRow,
};
use sqlx::{PgExecutor, types::Json};

use crate::{Result, Store, StoreError};

/// Customers with ids from `from` on and below `below`, in the order of their ids in Postgres, at most `limit`.
/// Either end may be open. To read on, pass the last id and leave the first record of the next page out.
///
/// # Errors
/// When Postgres does not answer, or a stored row does not hold what every writer checks.
pub async fn user_records(
    store: &Store,
    from: Option<&UserId>,
    below: Option<&UserId>,
    limit: usize,
) -> Result<Vec<UserRecord>> {
    let dated = dated_user_records(store, from, below, limit).await?;
    Ok(dated.into_iter().map(|(record, _)| record).collect())
}

/// Customers as [`user_records`] reads them, each with the time since when its attributes are true.
///
/// # Errors
/// As [`user_records`].
pub async fn dated_user_records(
    store: &Store,
    from: Option<&UserId>,
    below: Option<&UserId>,
    limit: usize,
) -> Result<Vec<(UserRecord, DateTime<Utc>)>> {
    let rows = sqlx::query_as!(
        UserRow,
        // Holdings in one pass over the page's range: asked for one customer after the other they take twice as long.
        r#"with page as materialized (
               select user_id, attributes, event_time
               from customers
               where ($1::text is null or user_id >= $1) and ($2::text is null or user_id < $2)
               order by user_id
               limit $3
           ),
           holding as (
               select user_id, array_agg(product_id order by product_id) as held
               from holdings
               where user_id between (select min(user_id) from page) and (select max(user_id) from page)
               group by user_id
           )
           select user_id as "user_id!", attributes as "attributes!: Json<Attributes>",
                  coalesce(held, '{}') as "held!", event_time as "event_time!"
           from page left join holding using (user_id)
           order by user_id"#,
        from.map(UserId::as_str),
        below.map(UserId::as_str),
        i64::try_from(limit).unwrap_or(i64::MAX),
    )
    .fetch_all(store.pool())
    .await?;
    let dated = |row: UserRow| {
        let event_time = row.event_time;
        Ok((row.parse()?, event_time))
    };
    rows.into_iter().map(dated).collect()
}

/// The customers between two ids of whom something was learned at a moment or later.
///
/// # Errors
/// When Postgres does not answer.
pub(crate) async fn learned_of_since(
    store: &Store,
    moment: DateTime<Utc>,
    [first, last]: [&str; 2],
) -> Result<HashSet<String>> {
    let ids = sqlx::query_scalar!(
        "select distinct user_id from customer_statements where user_id between $1 and $2 and known_at >= $3",
        first,
        last,
        moment,
    )
    .fetch_all(store.pool())
    .await?;
    Ok(ids.into_iter().collect())
}

/// The customers with these ids, as far as they are known, in the order of their ids; read by the pool, or within a
/// transaction.
///
/// # Errors
/// As [`user_records`].
pub async fn user_records_of(view: impl PgExecutor<'_>, ids: &[UserId]) -> Result<Vec<UserRecord>> {
    let ids: Vec<&str> = ids.iter().map(UserId::as_str).collect();
    let rows = sqlx::query_as!(
        UserRow,
        r#"select user_id as "user_id!", attributes as "attributes!: Json<Attributes>",
                  array(
                      select product_id
                      from holdings
                      where holdings.user_id = customers.user_id
                      order by product_id
                  ) as "held!",
                  event_time as "event_time!"
           from customers
           where user_id = any($1)
           order by user_id"#,
        &ids as _,
    )
    .fetch_all(view)
    .await?;
    rows.into_iter().map(UserRow::parse).collect()
}

struct UserRow {
    user_id: String,
    attributes: Json<Attributes>,
    held: Vec<String>,
    event_time: DateTime<Utc>,
}

impl UserRow {
    fn parse(self) -> Result<UserRecord> {
        let parse = || {
            Ok(UserRecord {
                user_id: UserId::parse(self.user_id)?,
                attributes: self.attributes.0,
                held: self.held.into_iter().map(ProductId::parse).collect::<Result<_, _>>()?,
                features: FeatureRow::default(),
            })
        };
        parse().map_err(|source| StoreError::StoredRow { table: "customers", source })
    }
}

/// Products with ids from `from` on and below `below`, as [`user_records`].
///
/// # Errors
/// As [`user_records`].
pub async fn product_records(
    store: &Store,
    from: Option<&ProductId>,
    below: Option<&ProductId>,
    limit: usize,
) -> Result<Vec<Product>> {
    let rows = sqlx::query_as!(
        ProductRow,
        r#"select product_id as "product_id!", product_class as "product_class!", name as "name!",
                  description as "description!", issuer as "issuer!", risk_grade, status as "status!",
                  attributes as "attributes!: Json<Attributes>", event_time as "event_time!"
           from products
           where ($1::text is null or product_id >= $1) and ($2::text is null or product_id < $2)
           order by product_id
           limit $3"#,
        from.map(ProductId::as_str),
        below.map(ProductId::as_str),
        i64::try_from(limit).unwrap_or(i64::MAX),
    )
    .fetch_all(store.pool())
    .await?;
    rows.into_iter().map(ProductRow::parse).collect()
}

/// The products with these ids, as [`user_records_of`].
///
/// # Errors
/// As [`user_records`].
pub async fn product_records_of(view: impl PgExecutor<'_>, ids: &[ProductId]) -> Result<Vec<Product>> {
    let ids: Vec<&str> = ids.iter().map(ProductId::as_str).collect();
    let rows = sqlx::query_as!(
        ProductRow,
        r#"select product_id as "product_id!", product_class as "product_class!", name as "name!",
                  description as "description!", issuer as "issuer!", risk_grade, status as "status!",
                  attributes as "attributes!: Json<Attributes>", event_time as "event_time!"
           from products
           where product_id = any($1)
           order by product_id"#,
        &ids as _,
    )
    .fetch_all(view)
    .await?;
    rows.into_iter().map(ProductRow::parse).collect()
}

/// A product as it is stored.
#[derive(Debug)]
pub struct ProductRow {
    /// The id.
    pub product_id: String,
    /// The stored name of the class.
    pub product_class: String,
    /// The name.
    pub name: String,
    /// The description, empty if there is none.
    pub description: String,
    /// The issuer, empty if it is not known.
    pub issuer: String,
    /// From 1 to 5.
    pub risk_grade: Option<i16>,
    /// The stored name of the status.
    pub status: String,
    /// Everything else that is known.
    pub attributes: Json<Attributes>,
    /// When this was true.
    pub event_time: DateTime<Utc>,
}

impl ProductRow {
    /// The product, checked as every writer checks it.
    ///
    /// # Errors
    /// When the row does not hold a product.
    pub fn parse(self) -> Result<Product> {
        self.check().map_err(|source| StoreError::StoredRow { table: "products", source })
    }

    fn check(self) -> Result<Product, InvalidField> {
        // The column's check keeps the grade within 1 to 5; a negative one would fail as u32::MAX does.
        let grade = |grade: i16| RiskGrade::new(u32::try_from(grade).unwrap_or(u32::MAX));
        ProductDraft {
            product_id: ProductId::parse(self.product_id)?,
            product_class: ProductClass::parse(&self.product_class)?,
            name: self.name,
            description: self.description,
            issuer: self.issuer,
            risk_grade: self.risk_grade.map(grade).transpose()?,
            status: ProductStatus::parse(&self.status)?,
            attributes: self.attributes.0,
            event_time: self.event_time,
        }
        .check()
    }
}
