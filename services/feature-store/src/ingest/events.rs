//! Events: an id is unique within its customer, and the first write counts.

use finrank_contracts::{common, feature::v1};
use finrank_model::{Event, InvalidField, Money};
use finrank_serving::wire;
use finrank_store::Store;

use super::Ingested;

impl Ingested for Event {
    type Message = v1::WriteEventsRequest;
    type Wire = common::v1::Event;
    const FIELD: &'static str = "events";

    fn rows(message: Self::Message) -> Vec<Self::Wire> {
        message.events
    }

    fn id(row: &Self::Wire) -> &str {
        &row.event_id
    }

    fn check(row: Self::Wire) -> Result<Self, InvalidField> {
        let event = wire::event(row)?;
        match i32::try_from(event.quantity) {
            Ok(_) => Ok(event),
            Err(_) => Err(InvalidField::new("quantity", format!("is {}, over {}", event.quantity, i32::MAX))),
        }
    }

    /// In the order of their ids, so that two streams cannot wait for each other.
    async fn write(store: &Store, rows: &[Self]) -> Result<u64, sqlx::Error> {
        let text = |field: fn(&Self) -> &str| -> Vec<&str> { rows.iter().map(field).collect() };
        let event_times: Vec<_> = rows.iter().map(|row| row.event_time).collect();
        let quantities: Vec<i64> = rows.iter().map(|row| row.quantity.into()).collect();
        let amounts: Vec<Option<i64>> =
            rows.iter().map(|row| row.amount.as_ref().map(Money::minor_units)).collect();
        let currencies: Vec<Option<&str>> =
            rows.iter().map(|row| row.amount.as_ref().map(Money::currency_code)).collect();
        let written = sqlx::query!(
            "insert into events
                 (user_id, event_id, product_id, kind, event_time, quantity, amount_minor, currency_code)
             select distinct on (user_id, event_id)
                 user_id, event_id, product_id, kind, event_time, quantity::integer, amount_minor, currency_code
             from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::bigint[],
                         $7::bigint[], $8::text[])
                  with ordinality as incoming
                  (user_id, event_id, product_id, kind, event_time, quantity, amount_minor, currency_code, place)
             order by user_id, event_id, place
             on conflict (user_id, event_id) do nothing",
            &text(|row| row.user_id.as_str()) as _,
            &text(|row| row.event_id.as_str()) as _,
            &text(|row| row.product_id.as_str()) as _,
            &text(|row| row.kind.as_str()) as _,
            &event_times,
            &quantities,
            &amounts as _,
            &currencies as _,
        )
        .execute(store.pool())
        .await?;
        Ok(written.rows_affected())
    }
}
