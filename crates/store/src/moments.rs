//! Customers as they were known at a moment: what a training example may see. A statement counts if its `event_time` is
//! not after the moment and it was known before the end of what was known; of those, corrections and retractions decide
//! as everywhere. Read at the present moment the records are those of `records`.

use chrono::{DateTime, Utc};
use finrank_model::{Attributes, ProductId, UserId, UserRecord, features::FeatureRow};
use sqlx::types::Json;

use crate::{Result, Store, StoreError, features::Asked};

/// Someone acquired something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Acquisition {
    /// When it happened.
    pub at: DateTime<Utc>,
    /// Who.
    pub user_id: UserId,
    /// What.
    pub product_id: ProductId,
}

/// Every acquisition that is believed now, in the order of time, at most `limit` of those after `after`. One that was
/// written twice, under two ids, is one.
///
/// # Errors
/// When Postgres does not answer, or a stored id is none.
pub async fn acquisitions(
    store: &Store,
    after: Option<&Acquisition>,
    limit: usize,
) -> Result<Vec<Acquisition>> {
    let rows = sqlx::query!(
        r#"select distinct event_time as "event_time!", user_id as "user_id!", product_id as "product_id!"
           from events
           where kind = 'acquired'
             and ($1::timestamptz is null or (event_time, user_id, product_id) > ($1, $2::text collate "C", $3::text collate "C"))
           order by 1, 2, 3
           limit $4"#,
        after.map(|acquisition| acquisition.at),
        after.map(|acquisition| acquisition.user_id.as_str()),
        after.map(|acquisition| acquisition.product_id.as_str()),
        i64::try_from(limit).unwrap_or(i64::MAX),
    )
    .fetch_all(store.pool())
    .await?;
    let parse = |(at, user_id, product_id): (DateTime<Utc>, String, String)| {
        Ok(Acquisition { at, user_id: UserId::parse(user_id)?, product_id: ProductId::parse(product_id)? })
    };
    rows.into_iter()
        .map(|row| parse((row.event_time, row.user_id, row.product_id)))
        .collect::<Result<_, _>>()
        .map_err(|source| StoreError::StoredRow { table: "event_statements", source })
}

/// A record for each customer asked, in their order; none where nothing was known of them at their moment.
///
/// # Errors
/// When Postgres does not answer, or a stored row does not hold what every writer checks.
pub async fn user_records(store: &Store, asked: &[Asked]) -> Result<Vec<Option<UserRecord>>> {
    let ids: Vec<&str> = asked.iter().map(|asked| asked.id.as_str()).collect();
    let as_of: Vec<DateTime<Utc>> = asked.iter().map(|asked| asked.as_of).collect();
    let known_at: Vec<DateTime<Utc>> = asked.iter().map(|asked| asked.known_at).collect();
    let rows = sqlx::query!(
        r#"select attributes as "attributes?: Json<Attributes>", held as "held!"
           from unnest($1::text[], $2::timestamptz[], $3::timestamptz[])
                with ordinality as asked (id, as_of, known_at, place)
           left join lateral (
               select stated.attributes
               from customer_statements stated
               where stated.user_id = asked.id and stated.event_time <= asked.as_of
                 and stated.known_at < asked.known_at and not stated.retracted
                 and not exists (
                     select from customer_statements higher
                     where higher.user_id = stated.user_id and higher.event_time = stated.event_time
                       and (higher.pushed, higher.revision) > (stated.pushed, stated.revision)
                       and (higher.pushed > 0 or higher.revision > 0)
                       and higher.known_at < asked.known_at
                 )
               order by stated.event_time desc
               limit 1
           ) as customer on true
           cross join lateral (
               select array(
                   select product_id
                   from (
                       select distinct on (happened.product_id) happened.product_id, happened.kind
                       from event_statements happened
                       where happened.user_id = asked.id and happened.event_time <= asked.as_of
                         and happened.known_at < asked.known_at and not happened.retracted
                         and happened.kind in ('acquired', 'closed')
                         and not exists (
                             select from event_statements higher
                             where higher.user_id = happened.user_id and higher.event_id = happened.event_id
                               and higher.revision > happened.revision and higher.revision > 0
                               and higher.known_at < asked.known_at
                         )
                       order by happened.product_id, happened.event_time desc, happened.kind desc
                   ) as latest
                   where kind = 'acquired'
                   order by product_id
               ) as held
           ) as holding
           order by place"#,
        &ids as _,
        &as_of,
        &known_at,
    )
    .fetch_all(store.pool())
    .await?;
    let records = rows.into_iter().zip(asked).map(|(row, asked)| {
        let Some(attributes) = row.attributes else {
            return Ok(None);
        };
        let held = row.held.into_iter().map(ProductId::parse).collect::<Result<_, _>>()?;
        let user_id = UserId::parse(asked.id.as_str())?;
        Ok(Some(UserRecord { user_id, attributes: attributes.0, held, features: FeatureRow::default() }))
    });
    records
        .collect::<Result<_, _>>()
        .map_err(|source| StoreError::StoredRow { table: "customer_statements", source })
}

/// The ids of all customers who are known now, in their order, at most `limit` of those after `after`.
///
/// # Errors
/// As [`user_records`].
pub async fn user_ids(store: &Store, after: Option<&UserId>, limit: usize) -> Result<Vec<UserId>> {
    let ids = sqlx::query_scalar!(
        r#"select user_id as "user_id!" from customers
           where $1::text is null or user_id > $1
           order by user_id
           limit $2"#,
        after.map(UserId::as_str),
        i64::try_from(limit).unwrap_or(i64::MAX),
    )
    .fetch_all(store.pool())
    .await?;
    ids.into_iter()
        .map(UserId::parse)
        .collect::<Result<_, _>>()
        .map_err(|source| StoreError::StoredRow { table: "customers", source })
}

/// The attributes of every customer as they were known at a moment; as the view `customers`, of what had been stated
/// by then.
///
/// # Errors
/// When Postgres does not answer.
pub async fn attributes_of_all(store: &Store, moment: DateTime<Utc>) -> Result<Vec<Attributes>> {
    let rows = sqlx::query!(
        r#"select distinct on (user_id) attributes as "attributes!: Json<Attributes>"
           from customer_statements stated
           where not retracted and known_at <= $1
             and not exists (
                 select from customer_statements higher
                 where higher.user_id = stated.user_id and higher.event_time = stated.event_time
                   and (higher.pushed, higher.revision) > (stated.pushed, stated.revision)
                   and (higher.pushed > 0 or higher.revision > 0) and higher.known_at <= $1
             )
           order by user_id, event_time desc"#,
        moment,
    )
    .fetch_all(store.pool())
    .await?;
    Ok(rows.into_iter().map(|row| row.attributes.0).collect())
}
