//! What a model that is shown to nobody says beside a decision: what it would have offered, and its probabilities of what was.

mod compare;

use chrono::{DateTime, Utc};
use finrank_model::{ModelVersion, ProductId, UserId};
use finrank_store::Store;
use uuid::Uuid;

pub use self::compare::{Comparison, Fit, Sides, compared};
use crate::{Result, writer::NO_ERASURE};

/// What the shadow says beside one decision.
#[derive(Clone, Debug)]
pub struct ShadowDecision {
    /// Whom the decision was for.
    pub user_id: UserId,
    /// The decision.
    pub decision_id: Uuid,
    /// When it was made.
    pub decided_at: DateTime<Utc>,
    /// The shadow.
    pub model_version: ModelVersion,
    /// What it would have offered, best first, each with its probability.
    pub items: Vec<(ProductId, f32)>,
    /// What was offered, each with its probability; none of what is not in the shadow's catalogue.
    pub shown: Vec<(ProductId, Option<f32>)>,
}

/// Keeps what the shadow says. Of who was erased since the decision nothing is kept, nor of who has their id since; clocks may
/// differ a little.
///
/// # Errors
/// When Postgres does not answer.
pub async fn keep(store: &Store, said: &[ShadowDecision]) -> Result<()> {
    let mut transaction = store.pool().begin().await?;
    sqlx::query(NO_ERASURE).execute(&mut *transaction).await?;
    for decision in said {
        let (product_ids, scores) = columns(&decision.items);
        let (shown_product_ids, shown_scores) = columns(&decision.shown);
        sqlx::query!(
            "insert into shadow_decisions
                 (user_id, decision_id, decided_at, model_version, product_ids, scores, shown_product_ids, shown_scores)
             select $1, $2, $3::timestamptz, $4, $5, $6, $7, $8
             where exists (
                 select from customer_statements
                 where user_id = $1 and known_at <= $3::timestamptz + interval '5 seconds'
             )
             on conflict do nothing",
            decision.user_id.as_str(),
            decision.decision_id,
            decision.decided_at,
            decision.model_version.as_str(),
            &product_ids,
            &scores,
            &shown_product_ids,
            &shown_scores as &[Option<f32>],
        )
        .execute(&mut *transaction)
        .await?;
    }
    Ok(transaction.commit().await?)
}

fn columns<S: Copy>(items: &[(ProductId, S)]) -> (Vec<String>, Vec<S>) {
    items.iter().map(|(product_id, score)| (product_id.to_string(), *score)).unzip()
}
