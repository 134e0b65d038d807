//! The gates: whether a model may be served, by the policy, on what is stored now and the model never saw.
//!
//! [`check`] measures, holds the measures to the policy's bounds, and records every result; a promotion rests on that
//! record (`finrank_store::models::promote`). What cannot be said for want of customers is *insufficient*, which is no pass.

mod calibration;
mod drift;
mod fairness;
mod groups;
mod measure;
mod quality;
mod questions;
mod shown;
mod verdict;

use std::path::PathBuf;

use chrono::TimeDelta;
use finrank_model::{
    Bundle, ModelError, ModelVersion, ProductClass, Sha256Digest, UserRecord, bundle_directory,
    features::Definitions, policy::Policy,
};
use finrank_store::{
    Store, StoreError,
    models::{self, GateResult, NewCheck, RegisteredModel, Verdict},
};
use serde::Serialize;
use serde_json::json;

pub use self::{
    fairness::{GroupRow, GroupTable},
    quality::QualityTable,
};
use self::{
    groups::Grouping,
    measure::measure,
    questions::Questions,
    shown::Shown,
    verdict::{at_most, insufficient, not_applicable},
};
use crate::{Knowledge, LearningError, Result, Stage, TrainObserver, dataset::Dataset, source};

/// What a check needs beside the store.
#[derive(Clone, Debug)]
pub struct CheckConfig {
    /// Bundles lie in `<models_dir>/<model_version>`.
    pub models_dir: PathBuf,
    /// Whose gates.
    pub model_version: ModelVersion,
    /// What it must show.
    pub policy: Policy,
    /// They say which attributes are protected, and how features are made.
    pub definitions: Definitions,
    /// What counts as known just before a customer acquired what is asked for, of a model whose tower reads features.
    pub known: Knowledge,
    /// Who asks.
    pub checked_by: String,
}

/// What a check found and recorded.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// The number of the record.
    pub check_id: i64,
    /// Whose gates.
    pub model_version: ModelVersion,
    /// What it was compared with; absent when nothing is served.
    pub compared_with: Option<ModelVersion>,
    /// By which policy.
    pub policy: Sha256Digest,
    /// What each gate said.
    pub results: Vec<GateResult>,
    /// What was measured.
    pub tables: Tables,
}

/// What was measured, for whoever reads the model card.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Tables {
    /// Customers who were asked.
    pub customers: usize,
    /// How good, beside what is served.
    pub quality: Option<QualityTable>,
    /// The expected calibration error.
    pub calibration_error: Option<f64>,
    /// The population stability index.
    pub psi: Option<f64>,
    /// Groups of people, by protected attribute.
    pub groups: Vec<GroupTable>,
}

/// Measures a model by the policy and records what each gate says.
///
/// # Errors
/// No such model version, a bundle that cannot be read, or nothing to measure on. A gate that fails is no error.
pub async fn check(
    store: &Store,
    config: &CheckConfig,
    mut observer: impl TrainObserver + 'static,
) -> Result<CheckReport> {
    observer.stage(Stage::Reading);
    let version = &config.model_version;
    let model = models::get(store, version).await?;
    let model = model.ok_or_else(|| StoreError::UnknownModel { model_version: version.to_string() })?;
    let serving = match models::serving(store).await? {
        Some(serving) if serving != *version => models::get(store, &serving).await?,
        _ => None,
    };
    let (results, tables) = match read(config, &model) {
        Err(LearningError::Model(error @ ModelError::Golden { .. })) => {
            (vec![golden(Err(&error))], Tables::default())
        }
        Err(error) => return Err(error),
        Ok(bundle) => {
            let rival = match &serving {
                Some(serving) => {
                    Some((read(config, serving)?, models::holdout(store, &serving.model_version).await?))
                }
                None => None,
            };
            let hidden = models::holdout(store, version).await?;
            let dataset = source::read_snapshot(store).await?;
            let asked = Asked::find(store, config, &dataset, (&bundle, hidden), rival.as_ref()).await?;
            let config = config.clone();
            observer.stage(Stage::Evaluating);
            tokio::task::spawn_blocking(move || judge(&config, &dataset, &bundle, rival.as_ref(), &asked))
                .await??
        }
    };
    observer.stage(Stage::Registering);
    let digest = Sha256Digest::parse(&model.bundle_sha256)?;
    let compared_with = serving.map(|serving| serving.model_version);
    let recorded = NewCheck {
        model_version: version,
        bundle: digest,
        compared_with: compared_with.as_ref(),
        policy: &config.policy.text,
        results: &results,
        tables: json!(tables),
        checked_by: &config.checked_by,
        valid_for: TimeDelta::from_std(config.policy.valid_for).unwrap_or(TimeDelta::MAX),
    };
    let check_id = models::record_check(store, &recorded).await?;
    let (model_version, policy) = (version.clone(), config.policy.digest);
    Ok(CheckReport { check_id, model_version, compared_with, policy, results, tables })
}

/// A bundle, and the fingerprints of what its training hid, if they are known.
type Known = (Bundle, Option<Vec<u64>>);

/// Whom the models are asked about, and what each is shown of them.
struct Asked {
    /// Or why there are not enough.
    questions: std::result::Result<Questions, String>,
    candidate: Vec<UserRecord>,
    /// None if nothing is served.
    serving: Vec<UserRecord>,
}

impl Asked {
    async fn find(
        store: &Store,
        config: &CheckConfig,
        dataset: &Dataset,
        (candidate, hidden): (&Bundle, Option<Vec<u64>>),
        serving: Option<&Known>,
    ) -> Result<Self> {
        let (mut questions, least) = match Questions::find(dataset, hidden.as_deref()) {
            Ok(questions) => (questions, config.policy.min_customers),
            Err(reason) => return Ok(Self::nobody(reason.to_owned())),
        };
        let found = questions.len();
        if found < least {
            return Ok(Self::nobody(format!(
                "{found} customers hold what the training hid, and the policy asks for {least}"
            )));
        }
        let mut shown = Vec::new();
        for bundle in [Some(candidate), serving.map(|(serving, _)| serving)].into_iter().flatten() {
            let of = (dataset, &questions);
            shown.push(Shown::to(bundle, store, of, &config.definitions, config.known).await?);
        }
        let mut shown = Shown::keep_common(&mut questions, shown).into_iter();
        let known = questions.len();
        if known < least {
            return Ok(Self::nobody(format!(
                "of {found} customers who hold what the training hid, {known} were known just before they acquired it, and the \
                 policy asks for {least}; data that was imported after the fact is checked with `--known-at now`"
            )));
        }
        let (candidate, serving) = (shown.next().unwrap_or_default(), shown.next().unwrap_or_default());
        Ok(Self { questions: Ok(questions), candidate, serving })
    }

    fn nobody(reason: String) -> Self {
        Self { questions: Err(reason), candidate: Vec::new(), serving: Vec::new() }
    }
}

fn read(config: &CheckConfig, model: &RegisteredModel) -> Result<Bundle> {
    let directory = bundle_directory(&config.models_dir, &model.model_version)?;
    let digest = Sha256Digest::parse(&model.bundle_sha256)?;
    Ok(Bundle::read_registered(&directory, digest)?)
}

/// Every gate, in the order of the policy's file.
fn judge(
    config: &CheckConfig,
    dataset: &Dataset,
    candidate: &Bundle,
    serving: Option<&Known>,
    asked: &Asked,
) -> Result<(Vec<GateResult>, Tables)> {
    let policy = &config.policy;
    let mut results = vec![golden(Ok(candidate)), forbidden(policy, dataset, candidate)];
    let questions = match &asked.questions {
        Ok(questions) => questions,
        Err(reason) => {
            let unmeasured = ["quality", "calibration", "fairness", "drift"];
            results.extend(unmeasured.map(|gate| insufficient(gate, reason.clone())));
            return Ok((results, Tables::default()));
        }
    };
    let measured = measure(candidate, dataset, questions, &asked.candidate)?;
    let mut tables = Tables { customers: questions.len(), ..Tables::default() };

    let serving = match serving {
        Some((serving, seen)) => Some((measure(serving, dataset, questions, &asked.serving)?, seen)),
        None => None,
    };
    let (quality, table) = match &serving {
        Some((before, seen)) => {
            let shared = questions.hidden_by_both(dataset, seen.as_deref());
            quality::beside_serving(policy, [&measured, before], questions, &shared)
        }
        None => quality::beside_popularity(policy, dataset, &measured, questions),
    };
    results.push(quality);
    tables.quality = table;
    let error = calibration::error(&measured.scores, &measured.labels, policy.calibration.bins);
    results.push(at_most(
        "calibration",
        "the expected calibration error",
        error,
        policy.calibration.max_error,
    ));
    tables.calibration_error = Some(error);
    for protected in groups::protected(policy, &config.definitions) {
        let gate = format!("fairness/{}", protected.attribute);
        match Grouping::of(&protected, dataset, questions) {
            Ok(grouping) => {
                let (gates, table) = fairness::judge(policy, dataset, &measured, questions, &grouping);
                results.extend(gates);
                tables.groups.push(table);
            }
            Err(reason) if !protected.is_stated && !protected.is_known(dataset) => {
                results.push(not_applicable(&gate, &format!("{reason}; the policy does not ask for it")));
            }
            Err(reason) => results.push(insufficient(&gate, reason)),
        }
    }
    let (drift, psi) = match &serving {
        Some((before, _)) => drift::judge(policy, before, &measured),
        None => (not_applicable("drift", "no model is served whose scores could have moved"), None),
    };
    results.push(drift);
    tables.psi = psi;
    Ok((results, tables))
}

fn golden(read: std::result::Result<&Bundle, &ModelError>) -> GateResult {
    let (verdict, measured, explanation) = match read {
        Err(ModelError::Golden { difference, .. }) if difference.is_finite() => {
            (Verdict::Fail, Some(f64::from(*difference)), String::new())
        }
        Err(_) => (Verdict::Fail, None, String::new()),
        Ok(bundle) => match bundle.golden() {
            Some(golden) if !golden.is_empty() => {
                (Verdict::Pass, None, format!("{} vectors and their scores are reproduced", golden.len()))
            }
            _ => {
                (Verdict::Insufficient, None, "the bundle carries no golden vectors; train again".to_owned())
            }
        },
    };
    let explanation = read.err().map_or(explanation, ToString::to_string);
    GateResult { gate: "golden".to_owned(), verdict, measured, bound: None, explanation, waivable: false }
}

/// What is against the law in one model is in the next: a waiver could not make it right.
fn forbidden(policy: &Policy, dataset: &Dataset, bundle: &Bundle) -> GateResult {
    let breaches = policy
        .breaches(bundle.manifest.architecture.user.features.iter().map(String::as_str), &classes(dataset));
    let explanation = match breaches.as_slice() {
        [] => "it reads no feature that the policy forbids for what it ranks".to_owned(),
        breaches => breaches.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
    };
    GateResult {
        gate: "forbidden-features".to_owned(),
        verdict: if breaches.is_empty() { Verdict::Pass } else { Verdict::Fail },
        measured: Some(breaches.len() as f64),
        bound: Some(0.0),
        explanation,
        waivable: false,
    }
}

/// The classes of the catalogue.
pub(crate) fn classes(dataset: &Dataset) -> Vec<ProductClass> {
    let is_sold =
        |class: &ProductClass| dataset.products.iter().any(|product| product.product_class == *class);
    ProductClass::ALL.into_iter().filter(is_sold).collect()
}
