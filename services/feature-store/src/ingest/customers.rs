//! Customers: the write with the latest event_time counts.

use finrank_contracts::{common, feature::v1};
use finrank_model::{Attributes, Customer, InvalidField};
use finrank_serving::wire;
use finrank_store::Store;
use sqlx::types::Json;

use super::Ingested;

impl Ingested for Customer {
    type Message = v1::WriteCustomersRequest;
    type Wire = common::v1::Customer;
    const FIELD: &'static str = "customers";

    fn rows(message: Self::Message) -> Vec<Self::Wire> {
        message.customers
    }

    fn id(row: &Self::Wire) -> &str {
        &row.user_id
    }

    fn check(row: Self::Wire) -> Result<Self, InvalidField> {
        wire::customer(row)
    }

    /// Rows are written in the order of their ids, so that two streams cannot wait for each other; of one
    /// message's rows for one customer the latest is written, the first of those with equal times.
    async fn write(store: &Store, rows: &[Self]) -> Result<u64, sqlx::Error> {
        let user_ids: Vec<&str> = rows.iter().map(|row| row.user_id.as_str()).collect();
        let attributes: Vec<Json<&Attributes>> = rows.iter().map(|row| Json(&row.attributes)).collect();
        let event_times: Vec<_> = rows.iter().map(|row| row.event_time).collect();
        let written = sqlx::query!(
            "insert into customers (user_id, attributes, event_time)
             select distinct on (user_id) user_id, attributes, event_time
             from unnest($1::text[], $2::jsonb[], $3::timestamptz[])
                  with ordinality as incoming (user_id, attributes, event_time, place)
             order by user_id, event_time desc, place
             on conflict (user_id) do update set
                 attributes = excluded.attributes,
                 event_time = excluded.event_time,
                 ingested_at = now(),
                 ingest_seq = nextval('ingest_seq')
             where customers.event_time < excluded.event_time",
            &user_ids as _,
            &attributes as _,
            &event_times,
        )
        .execute(store.pool())
        .await?;
        Ok(written.rows_affected())
    }
}
