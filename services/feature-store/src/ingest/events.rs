//! Events: an id is unique within its customer, and its highest revision counts.

use finrank_contracts::{common, feature::v1};
use finrank_model::{Event, InvalidField, Money, Revision, Statement};
use finrank_serving::wire;
use finrank_store::Store;

use super::{Ingested, counted_from_0, revisions};

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

    fn check(row: Self::Wire) -> Result<Statement<Self>, InvalidField> {
        let revision = Revision::new(row.revision, row.retracted)?;
        Ok(Statement { about: wire::event(row)?, revision })
    }

    /// In the order of their keys, as customers.
    async fn write(store: &Store, rows: &[Statement<Self>]) -> Result<Vec<usize>, sqlx::Error> {
        let events = || rows.iter().map(|row| &row.about);
        let text = |field: fn(&Self) -> &str| -> Vec<&str> { events().map(field).collect() };
        let event_times: Vec<_> = events().map(|row| row.event_time).collect();
        let quantities: Vec<i64> = events().map(|row| row.quantity.into()).collect();
        let amounts: Vec<Option<i64>> =
            events().map(|row| row.amount.as_ref().map(Money::minor_units)).collect();
        let currencies: Vec<Option<&str>> =
            events().map(|row| row.amount.as_ref().map(Money::currency_code)).collect();
        let (revisions, retracted) = revisions(rows);
        let places = sqlx::query_scalar!(
            r#"with incoming as (
                 select *
                 from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[],
                             $6::bigint[], $7::bigint[], $8::text[], $9::integer[], $10::boolean[])
                      with ordinality as incoming
                      (user_id, event_id, product_id, kind, event_time, quantity, amount_minor,
                       currency_code, revision, retracted, place)
             ),
             written as (
                 insert into event_statements
                     (user_id, event_id, product_id, kind, event_time, quantity, amount_minor,
                      currency_code, revision, retracted)
                 select user_id, event_id, product_id, kind, event_time, quantity::integer, amount_minor,
                        currency_code, revision, retracted
                 from incoming
                 order by user_id collate "C", event_id collate "C", revision, place
                 on conflict (user_id, event_id, revision) do nothing
                 returning user_id, event_id, revision
             )
             select min(place) as "place!" from written join incoming using (user_id, event_id, revision)
             group by user_id, event_id, revision"#,
            &text(|row| row.user_id.as_str()) as _,
            &text(|row| row.event_id.as_str()) as _,
            &text(|row| row.product_id.as_str()) as _,
            &text(|row| row.kind.as_str()) as _,
            &event_times,
            &quantities,
            &amounts as _,
            &currencies as _,
            &revisions,
            &retracted,
        )
        .fetch_all(store.pool())
        .await?;
        Ok(counted_from_0(&places))
    }
}
