//! Products: the statement with the latest event_time counts.

use finrank_contracts::{common, feature::v1};
use finrank_model::{Attributes, InvalidField, Product, Revision, Statement};
use finrank_serving::wire;
use finrank_store::Store;
use sqlx::types::Json;

use super::{Ingested, counted_from_0, revisions};

impl Ingested for Product {
    type Message = v1::WriteProductsRequest;
    type Wire = common::v1::Product;
    const FIELD: &'static str = "products";

    fn rows(message: Self::Message) -> Vec<Self::Wire> {
        message.products
    }

    fn id(row: &Self::Wire) -> &str {
        &row.product_id
    }

    fn check(row: Self::Wire) -> Result<Statement<Self>, InvalidField> {
        let revision = Revision::new(row.revision, row.retracted)?;
        Ok(Statement { about: wire::product(row)?, revision })
    }

    /// In the order of their keys, as customers.
    async fn write(store: &Store, rows: &[Statement<Self>]) -> Result<Vec<usize>, sqlx::Error> {
        let products = || rows.iter().map(|row| &row.about);
        let text = |field: fn(&Self) -> &str| -> Vec<&str> { products().map(field).collect() };
        let risk_grades: Vec<Option<i16>> =
            products().map(|row| row.risk_grade.map(|grade| grade.get().into())).collect();
        let attributes: Vec<Json<&Attributes>> = products().map(|row| Json(&row.attributes)).collect();
        let event_times: Vec<_> = products().map(|row| row.event_time).collect();
        let (revisions, retracted) = revisions(rows);
        let places = sqlx::query_scalar!(
            r#"with incoming as (
                 select *
                 from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[],
                             $6::smallint[], $7::text[], $8::jsonb[], $9::timestamptz[], $10::integer[],
                             $11::boolean[])
                      with ordinality as incoming
                      (product_id, product_class, name, description, issuer, risk_grade, status, attributes,
                       event_time, revision, retracted, place)
             ),
             written as (
                 insert into product_statements
                     (product_id, product_class, name, description, issuer, risk_grade, status, attributes,
                      event_time, revision, retracted)
                 select product_id, product_class, name, description, issuer, risk_grade, status,
                        attributes, event_time, revision, retracted
                 from incoming
                 order by product_id collate "C", event_time, revision, place
                 on conflict (product_id, event_time, pushed, revision) do nothing
                 returning product_id, event_time, revision
             )
             select min(place) as "place!" from written join incoming using (product_id, event_time, revision)
             group by product_id, event_time, revision"#,
            &text(|row| row.product_id.as_str()) as _,
            &text(|row| row.product_class.as_str()) as _,
            &text(|row| &row.name) as _,
            &text(|row| &row.description) as _,
            &text(|row| &row.issuer) as _,
            &risk_grades as _,
            &text(|row| row.status.as_str()) as _,
            &attributes as _,
            &event_times,
            &revisions,
            &retracted,
        )
        .fetch_all(store.pool())
        .await?;
        let carry_over = sqlx::query!(
            "select carry_over_products($1, $2)",
            &text(|row| row.product_id.as_str()) as _,
            &event_times
        );
        carry_over.execute(store.pool()).await?;
        Ok(counted_from_0(&places))
    }
}
