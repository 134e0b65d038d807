//! All that is held on a person, streamed from one view of the database.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use finrank_contracts::{common, feature::v1};
use finrank_model::{Attributes, Embedding, EventKind, UserId, features::FeatureRef};
use finrank_serving::wire;
use finrank_store::Store;
use futures::TryStreamExt as _;
use prost::Message as _;
use sqlx::{Postgres, Transaction, types::Json};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use v1::export_customer_response::Item;

use crate::{
    FeatureStoreError, Result,
    client::{self, Ended, Taken},
};

/// Items that wait for the client.
const BUFFERED_ITEMS: usize = 64;

/// The items.
pub(crate) type Exported = Taken<v1::ExportCustomerResponse>;

/// Where items go.
struct Client(client::Client<v1::ExportCustomerResponse>);

impl Client {
    async fn send(&self, item: Item) -> Result<(), Ended> {
        self.0.send(v1::ExportCustomerResponse { item: Some(item) }).await
    }
}

/// How many export at the same time: each holds a connection for as long as its client reads.
#[derive(Debug)]
pub(crate) struct Exports(Arc<Semaphore>);

impl Default for Exports {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(Self::AT_ONCE as usize)))
    }
}

impl Exports {
    /// Exports at the same time; further ones wait.
    pub(crate) const AT_ONCE: u32 = 4;

    /// Exports a customer to a client that may take nothing for `limit` at most: a view of the database is held for it. It
    /// waits as long for its turn: a stream has no other limit than its caller's.
    ///
    /// # Errors
    /// When its turn does not come, nothing is held on such a customer, or Postgres does not answer.
    pub(crate) async fn export(
        &self,
        store: &Store,
        user_id: UserId,
        limit: Duration,
        stop: CancellationToken,
    ) -> Result<Exported> {
        let turn = timeout(limit, self.0.clone().acquire_owned()).await;
        let turn = turn.map_err(|_| FeatureStoreError::ExportsUnderWay { at_once: Self::AT_ONCE })?;
        export(store, user_id, limit, stop, turn.expect("it is never closed")).await
    }
}

async fn export(
    store: &Store,
    user_id: UserId,
    limit: Duration,
    stop: CancellationToken,
    turn: OwnedSemaphorePermit,
) -> Result<Exported> {
    let mut view = store.pool().begin_with("begin isolation level repeatable read, read only").await?;
    let is_held = sqlx::query_scalar!(
        r#"select exists (select from customer_statements where user_id = $1)
               or exists (select from event_statements where user_id = $1)
               or exists (select from live_user_embeddings where user_id = $1)
               or exists (select from served_samples where entity = 'user' and id = $1)
               or exists (select from feature_outliers where entity = 'user' and id = $1)
               or exists (select from decision_inputs where user_id = $1)
               or exists (select from decision_outcomes where user_id = $1)
               or exists (select from shadow_decisions where user_id = $1)
               or exists (
                   select from refresh_runs join user_embeddings using (run_id) where user_id = $1
               ) as "is_held!""#,
        user_id.as_str(),
    )
    .fetch_one(&mut *view)
    .await?;
    if !is_held {
        return Err(FeatureStoreError::CustomerNotFound { user_id });
    }
    let (client, exported) = client::Client::new(BUFFERED_ITEMS, limit);
    tokio::spawn(async move {
        // Until the view is given back, too.
        let _turn = turn;
        let client = Client(client);
        match stop.run_until_cancelled(send_all(&mut view, &user_id, &client)).await {
            Some(Ok(())) => {}
            Some(Err(why)) => client.0.end(why),
            None => client.0.end(Ended::Failed(FeatureStoreError::Stopped)),
        }
    });
    Ok(exported)
}

async fn send_all(
    view: &mut Transaction<'static, Postgres>,
    user_id: &UserId,
    client: &Client,
) -> Result<(), Ended> {
    statements(view, user_id, client).await?;
    events(view, user_id, client).await?;
    embeddings(view, user_id, client).await?;
    served(view, user_id, client).await?;
    decisions(view, user_id, client).await?;
    outcomes(view, user_id, client).await?;
    outliers(view, user_id, client).await?;
    shadows(view, user_id, client).await
}

async fn statements(
    view: &mut Transaction<'static, Postgres>,
    user_id: &UserId,
    client: &Client,
) -> Result<(), Ended> {
    let mut rows = sqlx::query!(
        r#"select attributes as "attributes: Json<Attributes>", event_time, revision, retracted, known_at, stated, pushed
           from customer_statements where user_id = $1 order by ingest_seq"#,
        user_id.as_str(),
    )
    .fetch(&mut **view);
    while let Some(row) = rows.try_next().await? {
        let customer = common::v1::Customer {
            user_id: user_id.to_string(),
            attributes: wire::attributes_to_wire(&row.attributes.0),
            event_time: Some(wire::timestamp(row.event_time)),
            revision: row.revision.unsigned_abs(),
            retracted: row.retracted,
        };
        let statement = v1::CustomerStatement {
            customer: Some(customer),
            known_at: Some(wire::timestamp(row.known_at)),
            stated: row.stated.unwrap_or_default(),
            pushed: row.pushed.unsigned_abs(),
        };
        client.send(Item::Customer(statement)).await?;
    }
    Ok(())
}

async fn events(
    view: &mut Transaction<'static, Postgres>,
    user_id: &UserId,
    client: &Client,
) -> Result<(), Ended> {
    let mut rows = sqlx::query!(
        "select event_id, product_id, kind, event_time, quantity, amount_minor, currency_code, revision, retracted,
                known_at
         from event_statements where user_id = $1 order by ingest_seq",
        user_id.as_str(),
    )
    .fetch(&mut **view);
    while let Some(row) = rows.try_next().await? {
        let kind = EventKind::parse(&row.kind).map_err(FeatureStoreError::StoredRow)?;
        let amount = row.currency_code.zip(row.amount_minor);
        let event = common::v1::Event {
            event_id: row.event_id,
            user_id: user_id.to_string(),
            product_id: row.product_id,
            kind: wire::event_kind_to_wire(kind).into(),
            event_time: Some(wire::timestamp(row.event_time)),
            quantity: Some(row.quantity.unsigned_abs()),
            amount: amount
                .map(|(currency_code, minor_units)| common::v1::Money { currency_code, minor_units }),
            revision: row.revision.unsigned_abs(),
            retracted: row.retracted,
        };
        let known_at = Some(wire::timestamp(row.known_at));
        client.send(Item::Event(v1::EventStatement { event: Some(event), known_at })).await?;
    }
    Ok(())
}

async fn embeddings(
    view: &mut Transaction<'static, Postgres>,
    user_id: &UserId,
    client: &Client,
) -> Result<(), Ended> {
    let mut rows = sqlx::query!(
        r#"select run_id as "run_id!", model_version as "model_version!", embedding_space,
                  features_as_of as "features_as_of!", vector as "vector!", computed_at as "computed_at!",
                  (manifest ->> 'dimension')::integer as "dimension!"
           from (
               select run_id, model_version, features_as_of, vector, computed_at
               from user_embeddings join refresh_runs using (run_id)
               where user_id = $1
               union all
               select 0, model_version, computed_at, vector, computed_at
               from live_user_embeddings
               where user_id = $1
           ) as held
           join model_versions using (model_version)
           order by run_id, model_version"#,
        user_id.as_str(),
    )
    .fetch(&mut **view);
    while let Some(row) = rows.try_next().await? {
        let embedding = Embedding::from_le_bytes(&row.vector, row.dimension.unsigned_abs() as usize)
            .map_err(FeatureStoreError::StoredVector)?;
        let time = |time: DateTime<Utc>| Some(wire::timestamp(time));
        let embedding = common::v1::Embedding {
            values: embedding.as_slice().to_vec(),
            model_version: row.model_version,
            embedding_space: row.embedding_space,
            features_as_of: time(row.features_as_of),
            computed_at: time(row.computed_at),
        };
        let held = v1::UserEmbedding { run_id: row.run_id, embedding: Some(embedding) };
        client.send(Item::Embedding(held)).await?;
    }
    Ok(())
}

async fn served(
    view: &mut Transaction<'static, Postgres>,
    user_id: &UserId,
    client: &Client,
) -> Result<(), Ended> {
    let mut rows = sqlx::query!(
        r#"select features as "features: Json<Vec<String>>", purpose, definitions_sha256, known_at, served
           from served_samples where entity = 'user' and id = $1 order by sample_id"#,
        user_id.as_str(),
    )
    .fetch(&mut **view);
    while let Some(row) = rows.try_next().await? {
        let served = v1::ServedRow {
            features: row.features.0,
            purpose: row.purpose,
            definitions_sha256: row.definitions_sha256,
            known_at: Some(wire::timestamp(row.known_at)),
            row: v1::FeatureRow::decode(&*row.served).ok(),
        };
        client.send(Item::Served(served)).await?;
    }
    Ok(())
}

async fn decisions(
    view: &mut Transaction<'static, Postgres>,
    user_id: &UserId,
    client: &Client,
) -> Result<(), Ended> {
    let mut rows = sqlx::query!(
        r#"select decision_id, inputs, record as "record?"
           from decision_inputs left join decisions using (decision_id)
           where user_id = $1 order by decision_id"#,
        user_id.as_str(),
    )
    .fetch(&mut **view);
    while let Some(row) = rows.try_next().await? {
        let decision = v1::DecisionMade {
            decision_id: row.decision_id.to_string(),
            record: row.record.unwrap_or_default(),
            inputs: row.inputs,
        };
        client.send(Item::Decision(decision)).await?;
    }
    Ok(())
}

async fn outcomes(
    view: &mut Transaction<'static, Postgres>,
    user_id: &UserId,
    client: &Client,
) -> Result<(), Ended> {
    let mut rows = sqlx::query!(
        "select decision_id, outcome_id, product_id, kind, occurred_at, recorded_at
         from decision_outcomes where user_id = $1 order by decision_id, recorded_at",
        user_id.as_str(),
    )
    .fetch(&mut **view);
    while let Some(row) = rows.try_next().await? {
        let outcome = v1::DecisionOutcome {
            decision_id: row.decision_id.to_string(),
            outcome_id: row.outcome_id,
            product_id: row.product_id,
            kind: row.kind,
            occurred_at: Some(wire::timestamp(row.occurred_at)),
            recorded_at: Some(wire::timestamp(row.recorded_at)),
        };
        client.send(Item::Outcome(outcome)).await?;
    }
    Ok(())
}

async fn outliers(
    view: &mut Transaction<'static, Postgres>,
    user_id: &UserId,
    client: &Client,
) -> Result<(), Ended> {
    let mut rows = sqlx::query!(
        "select run_id, view, feature, value from feature_outliers
         where entity = 'user' and id = $1 order by run_id, view, feature",
        user_id.as_str(),
    )
    .fetch(&mut **view);
    while let Some(row) = rows.try_next().await? {
        let outlier = v1::FeatureOutlier {
            feature: FeatureRef::new(row.view, row.feature).to_string(),
            run_id: row.run_id,
            value: row.value,
        };
        client.send(Item::Outlier(outlier)).await?;
    }
    Ok(())
}

async fn shadows(
    view: &mut Transaction<'static, Postgres>,
    user_id: &UserId,
    client: &Client,
) -> Result<(), Ended> {
    let mut rows = sqlx::query!(
        r#"select decision_id, decided_at, model_version, product_ids, scores, shown_product_ids,
                  shown_scores as "shown_scores: Vec<Option<f32>>"
           from shadow_decisions where user_id = $1 order by decision_id"#,
        user_id.as_str(),
    )
    .fetch(&mut **view);
    let scored = |(product_id, score)| v1::ShadowScore { product_id, score };
    while let Some(row) = rows.try_next().await? {
        let items = row.product_ids.into_iter().zip(row.scores.into_iter().map(Some));
        let shadow = v1::ShadowSaid {
            decision_id: row.decision_id.to_string(),
            model_version: row.model_version,
            items: items.map(scored).collect(),
            shown: row.shown_product_ids.into_iter().zip(row.shown_scores).map(scored).collect(),
            decided_at: Some(wire::timestamp(row.decided_at)),
        };
        client.send(Item::Shadow(shadow)).await?;
    }
    Ok(())
}
