//! Products with their embeddings, from the rows to the wire.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use finrank_contracts::feature::v1;
use finrank_model::{Attributes, Embedding, ProductId};
use finrank_serving::wire;
use finrank_store::records::ProductRow;
use sqlx::{PgConnection, types::Json};

use crate::{FeatureStoreError, Result, embeddings::Generation};

/// Products as a client is to see them.
#[derive(Default)]
pub(super) struct Products {
    /// Those that have an embedding, in the order of the ids asked for.
    pub(super) embedded: Vec<v1::ProductEmbedding>,
    /// Those of which nothing is said, or everything was taken back.
    pub(super) gone: Vec<ProductId>,
}

impl Products {
    /// Reads the products with these ids: each with its live embedding where that knows more than the generation, or
    /// else with the generation's. One that has neither is still to be computed, and left out.
    ///
    /// # Errors
    /// When Postgres does not answer, or a stored row does not hold what every writer checks.
    pub(super) async fn read(
        view: &mut PgConnection,
        generation: &Generation,
        ids: Vec<ProductId>,
    ) -> Result<Self> {
        let asked: Vec<&str> = ids.iter().map(ProductId::as_str).collect();
        let rows = sqlx::query_as!(
            Row,
            r#"select p.product_id as "product_id!", p.product_class as "product_class!", p.name as "name!",
                      p.description as "description!", p.issuer as "issuer!", p.risk_grade, p.status as "status!",
                      p.attributes as "attributes!: Json<Attributes>", p.event_time as "event_time!",
                      coalesce(live.vector, e.vector) as vector, coalesce(live.computed_at, e.computed_at) as computed_at,
                      live.vector is not null as "live!"
               from unnest($1::text[]) with ordinality as asked (id, place)
               join lateral (select * from products where product_id = asked.id limit 1) p on true
               left join live_product_embeddings live
                    on live.product_id = asked.id and live.model_version = $2 and live.known_at > $3
               left join lateral (
                   select vector, computed_at from product_embeddings
                   where product_id = asked.id and run_id = any($4) and live.vector is null
                   order by run_id desc
                   limit 1
               ) e on true
               order by asked.place"#,
            &asked as _,
            generation.model_version.as_str(),
            generation.known_at,
            &generation.runs,
        )
        .fetch_all(view)
        .await?;
        let known: HashSet<&str> = rows.iter().map(|row| row.product_id.as_str()).collect();
        let (_, gone) = ids.into_iter().partition(|id| known.contains(id.as_str()));
        drop(known);
        let embedded = rows.into_iter().filter_map(|row| row.on_the_wire(generation).transpose());
        Ok(Self { embedded: embedded.collect::<Result<_>>()?, gone })
    }
}

struct Row {
    product_id: String,
    product_class: String,
    name: String,
    description: String,
    issuer: String,
    risk_grade: Option<i16>,
    status: String,
    attributes: Json<Attributes>,
    event_time: DateTime<Utc>,
    vector: Option<Vec<u8>>,
    computed_at: Option<DateTime<Utc>>,
    live: bool,
}

impl Row {
    fn on_the_wire(self, generation: &Generation) -> Result<Option<v1::ProductEmbedding>> {
        let Some((vector, computed_at)) = self.vector.zip(self.computed_at) else {
            return Ok(None);
        };
        let embedding = Embedding::from_le_bytes(&vector, generation.dimension)
            .map_err(FeatureStoreError::StoredVector)?;
        let features_as_of = if self.live { computed_at } else { generation.features_as_of };
        let product = ProductRow {
            product_id: self.product_id,
            product_class: self.product_class,
            name: self.name,
            description: self.description,
            issuer: self.issuer,
            risk_grade: self.risk_grade,
            status: self.status,
            attributes: self.attributes,
            event_time: self.event_time,
        };
        Ok(Some(v1::ProductEmbedding {
            product: Some(wire::product_to_wire(&product.parse()?)),
            embedding: Some(generation.embedding_on_the_wire(&embedding, features_as_of, computed_at)),
        }))
    }
}
