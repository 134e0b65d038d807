//! What a customer did with something that a decision offered, kept once however often it is told.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use finrank_model::{InvalidField, OutcomeId, ProductId};
use finrank_store::Store;
use sqlx::{Postgres, Transaction};
use uuid::Uuid;

use crate::{DecisionLogError, Result, read, writer::NO_ERASURE};

/// By how much a client's clock may differ from ours.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::minutes(5);

/// Something that a customer did with an item.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The client's name for it, unique within the decision.
    pub outcome_id: OutcomeId,
    /// The decision that offered the item.
    pub decision_id: Uuid,
    /// The item.
    pub product_id: ProductId,
    /// What was done.
    pub kind: OutcomeKind,
    /// When; kept to the microsecond.
    pub occurred_at: DateTime<Utc>,
}

/// What can be done with an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutcomeKind {
    /// Seen.
    Impression,
    /// Followed.
    Click,
    /// Applied for.
    Application,
    /// Taken.
    Purchase,
    /// Waved away.
    Dismissal,
}

impl OutcomeKind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::Impression, Self::Click, Self::Application, Self::Purchase, Self::Dismissal];

    /// The stored form, for example `click`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Impression => "impression",
            Self::Click => "click",
            Self::Application => "application",
            Self::Purchase => "purchase",
            Self::Dismissal => "dismissal",
        }
    }

    /// Reads the stored form.
    pub(crate) fn parse(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == raw)
    }
}

/// Whether an outcome is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// For the first time.
    First,
    /// As it is kept already.
    Again,
}

/// Keeps an outcome.
///
/// # Errors
/// [`DecisionLogError::NotFound`], [`DecisionLogError::NotOffered`], [`DecisionLogError::InputsErased`], or
/// [`DecisionLogError::InvalidOutcome`] when its time cannot be or its id names another outcome of the decision.
pub async fn keep(store: &Store, outcome: &Outcome) -> Result<Told> {
    let mut transaction = store.pool().begin().await?;
    // Nobody is erased between the look at whose decision it is and the write.
    sqlx::query(NO_ERASURE).execute(&mut *transaction).await?;
    let user_id = customer(&mut transaction, outcome).await?;
    let told = insert(&mut transaction, &user_id, outcome).await?;
    transaction.commit().await?;
    Ok(told)
}

/// Whose decision it is, if it offered the product before the outcome occurred.
async fn customer(transaction: &mut Transaction<'_, Postgres>, outcome: &Outcome) -> Result<String> {
    let decision_id = outcome.decision_id;
    let row = sqlx::query!(
        r#"select sequence, decided_at, record, user_id as "user_id?"
           from decisions left join decision_inputs using (decision_id)
           where decision_id = $1"#,
        decision_id,
    )
    .fetch_optional(&mut **transaction)
    .await?
    .ok_or(DecisionLogError::NotFound(decision_id))?;
    let record = read::record(row.sequence, &row.record)?;
    let mut offered = record.items.iter().filter_map(|item| item.candidate.as_ref());
    if !offered.any(|candidate| candidate.product_id == outcome.product_id.as_str()) {
        return Err(DecisionLogError::NotOffered { decision_id, product_id: outcome.product_id.clone() });
    }
    let latest = Utc::now() + CLOCKS_DIFFER;
    let reason = match outcome.occurred_at {
        early if early < row.decided_at - CLOCKS_DIFFER => "lies before the decision",
        late if late > latest => "lies in the future",
        _ => return row.user_id.ok_or(DecisionLogError::InputsErased(decision_id)),
    };
    Err(DecisionLogError::InvalidOutcome(InvalidField::new("occurred_at", reason)))
}

async fn insert(
    transaction: &mut Transaction<'_, Postgres>,
    user_id: &str,
    outcome: &Outcome,
) -> Result<Told> {
    let occurred_at = outcome.occurred_at.trunc_subsecs(6);
    let inserted = sqlx::query!(
        "insert into decision_outcomes (user_id, decision_id, outcome_id, product_id, kind, occurred_at)
         values ($1, $2, $3, $4, $5, $6)
         on conflict do nothing",
        user_id,
        outcome.decision_id,
        outcome.outcome_id.as_str(),
        outcome.product_id.as_str(),
        outcome.kind.as_str(),
        occurred_at,
    )
    .execute(&mut **transaction)
    .await?;
    if inserted.rows_affected() > 0 {
        return Ok(Told::First);
    }
    let kept = sqlx::query!(
        "select product_id, kind, occurred_at
         from decision_outcomes where user_id = $1 and decision_id = $2 and outcome_id = $3",
        user_id,
        outcome.decision_id,
        outcome.outcome_id.as_str(),
    )
    .fetch_one(&mut **transaction)
    .await?;
    let same = kept.product_id == outcome.product_id.as_str()
        && kept.kind == outcome.kind.as_str()
        && kept.occurred_at == occurred_at;
    if !same {
        let reason = format!("names another outcome of the decision: {} of {}", kept.kind, kept.product_id);
        return Err(DecisionLogError::InvalidOutcome(InvalidField::new("outcome_id", reason)));
    }
    Ok(Told::Again)
}
