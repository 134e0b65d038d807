//! Who else answers beside the version that is served: a history, of which the last row counts until the next promotion.
//!
//! Whoever sets it, command line or server, comes through [`set_traffic`]: a treatment stands in front of customers, and so
//! must pass what a promotion must.

use chrono::{DateTime, Utc};
use finrank_model::{Experiment, ExperimentName, InvalidField, ModelVersion, Sha256Digest, Share};
use serde::Serialize;
use sqlx::{Postgres, Transaction};

use super::{
    checks::named,
    parse_version,
    standing::{Standing, Wanted, Wholeness, alone, serving},
};
use crate::{Result, Store, StoreError};

/// Who wants what beside the version that is served. It states the whole: what is not named ends.
#[derive(Clone, Copy, Debug)]
pub struct TrafficRequest<'a> {
    /// A version that answers a share of customers.
    pub experiment: Option<&'a Experiment>,
    /// A version that is scored beside what was answered, and shown to nobody.
    pub shadow: Option<&'a ModelVersion>,
    /// The policy in force.
    pub policy: Sha256Digest,
    /// By whom.
    pub set_by: &'a str,
    /// Why.
    pub reason: &'a str,
}

/// A row of the history.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Traffic {
    /// Its number.
    pub traffic_id: i64,
    /// What was served when it was set, and answers everybody else.
    pub control: ModelVersion,
    /// Who answers a share of customers.
    pub experiment: Option<Experiment>,
    /// Who is scored in the shadow.
    pub shadow: Option<ModelVersion>,
    /// The check that the treatment rests on.
    pub check_id: Option<i64>,
    /// The waivers that counted.
    pub waiver_ids: Vec<i64>,
    /// By whom.
    pub set_by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub set_at: DateTime<Utc>,
    /// The promotion or rollback that ended it; absent while it is in force.
    pub ended_by_promotion: Option<i64>,
}

impl Traffic {
    /// Who answers a share of customers now.
    pub fn experiment_in_force(&self) -> Option<&Experiment> {
        self.experiment.as_ref().filter(|_| self.ended_by_promotion.is_none())
    }

    /// Who is scored in the shadow now.
    pub fn shadow_in_force(&self) -> Option<&ModelVersion> {
        self.shadow.as_ref().filter(|_| self.ended_by_promotion.is_none())
    }
}

/// Sets who else answers, if nothing stands against it. Without any version it ends what is in force.
///
/// # Errors
/// [`StoreError::TrafficRefused`] with everything that stands against it.
pub async fn set_traffic(store: &Store, request: &TrafficRequest<'_>) -> Result<Traffic> {
    named("set_by", request.set_by)?;
    named("reason", request.reason)?;
    let mut transaction = alone(store).await?;
    let Some(control) = serving(&mut transaction).await? else {
        let reasons = vec!["no version was promoted, and beside nothing nothing is tried".to_owned()];
        return Err(StoreError::TrafficRefused { reasons });
    };

    let mut reasons = Vec::new();
    let mut rests_on = None;
    if let Some(Experiment { treatment, .. }) = request.experiment {
        let wanted = Wanted { version: treatment, policy: request.policy, by: request.set_by };
        let Standing { check, waiver_ids, mut against } = Standing::of(store, wanted, Some(&control)).await?;
        against.extend(not_whole(&mut transaction, treatment).await?);
        reasons.extend(against.into_iter().map(|against| format!("treatment {treatment}: {against}")));
        rests_on = check.map(|check| (check.check_id, waiver_ids));
    }
    if let Some(shadow) = request.shadow {
        if super::get(store, shadow).await?.is_none() {
            return Err(StoreError::UnknownModel { model_version: shadow.to_string() });
        }
        let mut against = Vec::new();
        if *shadow == control {
            against.push("it is served, and would be held to itself".to_owned());
        }
        if request.experiment.is_some_and(|experiment| experiment.treatment == *shadow) {
            against.push("it is the treatment, and is measured by what customers do".to_owned());
        }
        against.extend(not_whole(&mut transaction, shadow).await?);
        reasons.extend(against.into_iter().map(|against| format!("shadow {shadow}: {against}")));
    }
    if request.experiment.is_none() && request.shadow.is_none() && !is_any_in_force(&mut transaction).await? {
        reasons.push("nothing is in force that could be ended".to_owned());
    }
    if !reasons.is_empty() {
        return Err(StoreError::TrafficRefused { reasons });
    }
    insert(&mut transaction, request, rests_on).await?;
    transaction.commit().await?;
    traffic(store).await?.ok_or_else(|| StoreError::Query(sqlx::Error::RowNotFound))
}

/// What was set last, whether it is in force or a promotion has ended it; `None` if nothing ever was.
///
/// # Errors
/// When Postgres does not answer.
pub async fn traffic(store: &Store) -> Result<Option<Traffic>> {
    let row = sqlx::query_as!(
        TrafficRow,
        r#"select traffic_id, model_version as "control!", name, treatment_version, share_of_ten_thousand, shadow_version,
                  traffic.check_id, traffic.waiver_ids, set_by, traffic.reason, set_at,
                  (select min(promotion_id) from promotions later where later.promotion_id > traffic.promotion_id)
                      as ended_by_promotion
           from traffic join promotions using (promotion_id)
           order by traffic_id desc
           limit 1"#,
    )
    .fetch_optional(store.pool())
    .await?;
    row.map(TrafficRow::parse).transpose()
}

async fn not_whole(
    transaction: &mut Transaction<'_, Postgres>,
    version: &ModelVersion,
) -> Result<Option<String>> {
    let whole = Wholeness::of(transaction, version).await?;
    Ok((!whole.of_this).then(|| Wholeness::refusal(version)))
}

async fn is_any_in_force(transaction: &mut Transaction<'_, Postgres>) -> Result<bool> {
    let any = sqlx::query_scalar!(
        r#"select exists (
               select from traffic_in_force() where coalesce(treatment_version, shadow_version) is not null
           ) as "any!""#,
    );
    Ok(any.fetch_one(&mut **transaction).await?)
}

async fn insert(
    transaction: &mut Transaction<'_, Postgres>,
    request: &TrafficRequest<'_>,
    rests_on: Option<(i64, Vec<i64>)>,
) -> Result<()> {
    let experiment = request.experiment;
    let (check_id, waiver_ids) = rests_on.unzip();
    sqlx::query!(
        "insert into traffic (promotion_id, name, treatment_version, share_of_ten_thousand, shadow_version, check_id,
                              waiver_ids, set_by, reason)
         select max(promotion_id), $1, $2, $3, $4, $5, $6, $7, $8 from promotions",
        experiment.map(|experiment| experiment.name.as_str()),
        experiment.map(|experiment| experiment.treatment.as_str()),
        experiment.map(|experiment| i32::from(experiment.share.ten_thousandths())),
        request.shadow.map(ModelVersion::as_str),
        check_id,
        &waiver_ids.unwrap_or_default(),
        request.set_by.trim(),
        request.reason.trim(),
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

struct TrafficRow {
    traffic_id: i64,
    control: String,
    name: Option<String>,
    treatment_version: Option<String>,
    share_of_ten_thousand: Option<i32>,
    shadow_version: Option<String>,
    check_id: Option<i64>,
    waiver_ids: Vec<i64>,
    set_by: String,
    reason: String,
    set_at: DateTime<Utc>,
    ended_by_promotion: Option<i64>,
}

impl TrafficRow {
    fn parse(self) -> Result<Traffic> {
        let invalid = |source: InvalidField| StoreError::StoredRow { table: "traffic", source };
        let experiment = match (self.name, self.treatment_version, self.share_of_ten_thousand) {
            (Some(name), Some(treatment), Some(share)) => Some(Experiment {
                name: ExperimentName::parse(name).map_err(invalid)?,
                treatment: parse_version(treatment)?,
                share: Share::of_ten_thousand(u32::try_from(share).unwrap_or_default()).map_err(invalid)?,
            }),
            // The schema allows all of them or none.
            _ => None,
        };
        Ok(Traffic {
            traffic_id: self.traffic_id,
            control: parse_version(self.control)?,
            experiment,
            shadow: self.shadow_version.map(parse_version).transpose()?,
            check_id: self.check_id,
            waiver_ids: self.waiver_ids,
            set_by: self.set_by,
            reason: self.reason,
            set_at: self.set_at,
            ended_by_promotion: self.ended_by_promotion,
        })
    }
}
