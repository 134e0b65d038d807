//! Products: the write with the latest event_time counts.

use finrank_contracts::{common, feature::v1};
use finrank_model::{Attributes, InvalidField, Product};
use finrank_serving::wire;
use finrank_store::Store;
use sqlx::types::Json;

use super::Ingested;

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

    fn check(row: Self::Wire) -> Result<Self, InvalidField> {
        wire::product(row)
    }

    /// In the order of their ids, and one row per product, as for customers.
    async fn write(store: &Store, rows: &[Self]) -> Result<u64, sqlx::Error> {
        let text = |field: fn(&Self) -> &str| -> Vec<&str> { rows.iter().map(field).collect() };
        let risk_grades: Vec<Option<i16>> =
            rows.iter().map(|row| row.risk_grade.map(|grade| grade.get().into())).collect();
        let attributes: Vec<Json<&Attributes>> = rows.iter().map(|row| Json(&row.attributes)).collect();
        let event_times: Vec<_> = rows.iter().map(|row| row.event_time).collect();
        let written = sqlx::query!(
            "insert into products
                 (product_id, product_class, name, description, issuer, risk_grade, status, attributes, event_time)
             select distinct on (product_id)
                 product_id, product_class, name, description, issuer, risk_grade, status, attributes, event_time
             from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::smallint[],
                         $7::text[], $8::jsonb[], $9::timestamptz[])
                  with ordinality as incoming
                  (product_id, product_class, name, description, issuer, risk_grade,
                   status, attributes, event_time, place)
             order by product_id, event_time desc, place
             on conflict (product_id) do update set
                 product_class = excluded.product_class,
                 name = excluded.name,
                 description = excluded.description,
                 issuer = excluded.issuer,
                 risk_grade = excluded.risk_grade,
                 status = excluded.status,
                 attributes = excluded.attributes,
                 event_time = excluded.event_time,
                 ingested_at = now(),
                 ingest_seq = nextval('ingest_seq')
             where products.event_time < excluded.event_time",
            &text(|row| row.product_id.as_str()) as _,
            &text(|row| row.product_class.as_str()) as _,
            &text(|row| &row.name) as _,
            &text(|row| &row.description) as _,
            &text(|row| &row.issuer) as _,
            &risk_grades as _,
            &text(|row| row.status.as_str()) as _,
            &attributes as _,
            &event_times,
        )
        .execute(store.pool())
        .await?;
        Ok(written.rows_affected())
    }
}
