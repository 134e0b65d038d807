//! Customers: the statement with the latest event_time counts.

use finrank_contracts::{common, feature::v1};
use finrank_model::{Attributes, Customer, InvalidField, Revision, Statement};
use finrank_serving::wire;
use finrank_store::Store;
use sqlx::types::Json;

use super::{Ingested, counted_from_0, revisions};

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

    fn check(row: Self::Wire) -> Result<Statement<Self>, InvalidField> {
        let revision = Revision::new(row.revision, row.retracted)?;
        Ok(Statement { about: wire::customer(row)?, revision })
    }

    /// Rows are written in the order of their keys, so that two streams cannot wait for each other. They then shine
    /// through what was pushed under their times and later ones.
    async fn write(store: &Store, rows: &[Statement<Self>]) -> Result<Vec<usize>, sqlx::Error> {
        let user_ids: Vec<&str> = rows.iter().map(|row| row.about.user_id.as_str()).collect();
        let attributes: Vec<Json<&Attributes>> = rows.iter().map(|row| Json(&row.about.attributes)).collect();
        let event_times: Vec<_> = rows.iter().map(|row| row.about.event_time).collect();
        let (revisions, retracted) = revisions(rows);
        let places = sqlx::query_scalar!(
            r#"with incoming as (
                 select *
                 from unnest($1::text[], $2::jsonb[], $3::timestamptz[], $4::integer[],
                             $5::boolean[])
                      with ordinality as incoming
                      (user_id, attributes, event_time, revision, retracted, place)
             ),
             written as (
                 insert into customer_statements
                     (user_id, attributes, event_time, revision, retracted)
                 select user_id, attributes, event_time, revision, retracted
                 from incoming
                 order by user_id collate "C", event_time, revision, place
                 on conflict (user_id, event_time, pushed, revision) do nothing
                 returning user_id, event_time, revision
             )
             select min(place) as "place!" from written join incoming using (user_id, event_time, revision)
             group by user_id, event_time, revision"#,
            &user_ids as _,
            &attributes as _,
            &event_times,
            &revisions,
            &retracted,
        )
        .fetch_all(store.pool())
        .await?;
        let carry_over = sqlx::query!("select carry_over_customers($1, $2)", &user_ids as _, &event_times);
        carry_over.execute(store.pool()).await?;
        Ok(counted_from_0(&places))
    }
}
