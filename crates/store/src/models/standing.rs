//! What stands against a version that is to answer customers: alone, by a promotion, or a share of them, as the treatment of
//! an experiment. Both rest on recorded checks and waivers, judged here.

use chrono::{DateTime, Utc};
use finrank_model::{ModelVersion, Sha256Digest};
use sqlx::{Postgres, Transaction};

use super::{GateCheck, Waiver, newest_check, parse_version, waivers_of};
use crate::{Result, Store, StoreError};

/// Who wants which version to answer customers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) version: &'a ModelVersion,
    /// The policy in force.
    pub(super) policy: Sha256Digest,
    pub(super) by: &'a str,
}

/// How a version stands beside what is served.
#[derive(Debug)]
pub(super) struct Standing {
    /// The check of its gates.
    pub(super) check: Option<GateCheck>,
    /// The waivers that count.
    pub(super) waiver_ids: Vec<i64>,
    /// Everything that stands against it, but for a generation that is not whole.
    pub(super) against: Vec<String>,
}

impl Standing {
    /// Judges a version. Nobody promotes meanwhile; see [`alone`].
    pub(super) async fn of(
        store: &Store,
        wanted: Wanted<'_>,
        serving: Option<&ModelVersion>,
    ) -> Result<Self> {
        let Wanted { version, policy, by } = wanted;
        let Some(model) = super::get(store, version).await? else {
            return Err(StoreError::UnknownModel { model_version: version.to_string() });
        };
        let check = newest_check(store, version).await?;
        let waivers = waivers_of(store, version).await?;
        let now = Utc::now();
        let (mut against, mut waiver_ids) = (Vec::new(), Vec::new());
        if serving == Some(version) {
            against.push("it is served already".to_owned());
        }
        match &check {
            None => {
                against.push(format!("its gates were not checked; `finrank model check {version}` does"));
            }
            Some(check) => {
                against.extend(unusable(check, &model.bundle_sha256, policy, serving, now));
                let (unmet, counting) = unmet(check, &waivers, by, now);
                against.extend(unmet);
                waiver_ids = counting;
            }
        }
        Ok(Self { check, waiver_ids, against })
    }
}

/// Whose embeddings readers find.
pub(super) struct Wholeness {
    /// Those of the version asked about.
    pub(super) of_this: bool,
    /// Those of any.
    pub(super) of_any: bool,
}

impl Wholeness {
    pub(super) async fn of(
        transaction: &mut Transaction<'_, Postgres>,
        version: &ModelVersion,
    ) -> Result<Self> {
        let whole = sqlx::query!(
            r#"select exists (select from refresh_runs where state = 'complete' and model_version = $1) as "this!",
                  exists (select from refresh_runs where state = 'complete') as "any!""#,
            version.as_str(),
        )
        .fetch_one(&mut **transaction)
        .await?;
        Ok(Self { of_this: whole.this, of_any: whole.any })
    }

    /// Why it is not whole, in words.
    pub(super) fn refusal(version: &ModelVersion) -> String {
        format!(
            "no refresh is whole, and readers would find nothing; `finrank refresh --model-version {version}`"
        )
    }
}

/// Nobody else promotes or sets traffic until the transaction ends; readers of the history are not held up.
pub(super) async fn alone(store: &Store) -> Result<Transaction<'static, Postgres>> {
    let mut transaction = store.pool().begin().await?;
    sqlx::query!("lock table promotions in share row exclusive mode").execute(&mut *transaction).await?;
    Ok(transaction)
}

/// What is served, and will be until the transaction ends if it is [`alone`].
pub(super) async fn serving(transaction: &mut Transaction<'_, Postgres>) -> Result<Option<ModelVersion>> {
    let serving = sqlx::query_scalar!("select serving_version()").fetch_one(&mut **transaction).await?;
    serving.map(parse_version).transpose()
}

/// Why a check says nothing of what is to be promoted now.
fn unusable(
    check: &GateCheck,
    bundle: &str,
    policy: Sha256Digest,
    serving: Option<&ModelVersion>,
    now: DateTime<Utc>,
) -> Vec<String> {
    let again = format!("; `finrank model check {}` checks again", check.model_version);
    let mut reasons = Vec::new();
    if check.bundle.to_string() != bundle {
        reasons.push(format!("its gates were checked with another bundle, {}{again}", check.bundle));
    }
    if check.policy != policy {
        reasons.push(format!("its gates were checked by another policy, {}{again}", check.policy));
    }
    if check.valid_until <= now {
        reasons.push(format!("the check of its gates was valid until {}{again}", check.valid_until));
    }
    if check.compared_with.as_ref() != serving {
        let name = |version: Option<&ModelVersion>| version.map_or("nothing".to_owned(), ToString::to_string);
        reasons.push(format!(
            "it was compared with {}, and {} is served now{again}",
            name(check.compared_with.as_ref()),
            name(serving),
        ));
    }
    reasons
}

/// The gates that stand against a promotion by `promoter`, and the waivers that stand in for others.
fn unmet(
    check: &GateCheck,
    waivers: &[Waiver],
    promoter: &str,
    now: DateTime<Utc>,
) -> (Vec<String>, Vec<i64>) {
    let (mut unmet, mut counting) = (Vec::new(), Vec::new());
    for result in check.against() {
        let of_this = |waiver: &&Waiver| waiver.gate == result.gate;
        let counts = |waiver: &&Waiver| result.waivable && waiver.counts(promoter, now);
        match waivers.iter().filter(of_this).find(counts) {
            Some(waiver) => counting.push(waiver.waiver_id),
            None => {
                let why_not =
                    waivers.iter().find(of_this).map(|waiver| why_not(waiver, result.waivable, now));
                let why_not = why_not.unwrap_or_default();
                unmet.push(format!("{}: {}{why_not}", result.gate, result.explanation));
            }
        }
    }
    (unmet, counting)
}

/// Why the newest waiver of a gate does not count.
fn why_not(waiver: &Waiver, waivable: bool, now: DateTime<Utc>) -> String {
    let Waiver { waiver_id, expires_at, approved_by, .. } = waiver;
    if !waivable {
        format!(" (waiver {waiver_id} does not count: this gate cannot be waived)")
    } else if *expires_at <= now {
        format!(" (waiver {waiver_id} expired at {expires_at})")
    } else {
        format!(" (waiver {waiver_id} does not count: {approved_by} approved it, and promotes)")
    }
}
