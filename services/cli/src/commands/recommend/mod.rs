//! `finrank recommend`: asks the ranking service, and prints what it would offer.

mod debug;
mod why;
mod wishes;

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use finrank_contracts::{
    common::v1::ProductClass,
    ranking::v1::{
        Degradation, DegradationRung, ExperimentArm, RankingBasis, RecommendRequest, RecommendResponse,
        Scenario, ranking_service_client::RankingServiceClient,
    },
};
use prost_types::FieldMask;
use serde::{Deserialize, Serialize};
use tonic::transport::Channel;

use self::debug::Debug;
pub(crate) use self::{
    why::{Why, notice},
    wishes::Wishes,
};

use crate::{
    client::{self, RankingServer},
    output::{Format, spoken, table},
    settings::Settings,
};

/// Ask for recommendations for one or more customers. Fails if there are none for somebody, once the others' are printed.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank recommend caravan-0001 -k 3\n  finrank recommend caravan-0001 caravan-0002 --scenario insurance --json\n  \
                  finrank recommend caravan-0001 --explain\n  \
                  finrank recommend caravan-0001 --class insurance --diversity 0.3 --debug\n  \
                  finrank recommend u000042 --issuer Aster --only p0007 --only p0011"
)]
pub(crate) struct Recommend {
    /// The customers.
    #[arg(required = true, value_name = "USER_ID")]
    user_ids: Vec<String>,
    /// How many products for each, 1 to 500.
    #[arg(short, long, default_value_t = 5)]
    k: u32,
    /// Where they will be shown, which decides the product classes.
    #[arg(long, value_enum, default_value_t = ScenarioName::All)]
    scenario: ScenarioName,
    /// A product not to offer; may be repeated.
    #[arg(long, value_name = "PRODUCT_ID")]
    exclude: Vec<String>,
    #[command(flatten)]
    wishes: Wishes,
    /// Print as well what each stage did, and how candidates were searched for.
    #[arg(long)]
    debug: bool,
    /// Print as well what speaks most for each product: at most four reasons, strongest first.
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    server: RankingServer,
    #[command(flatten)]
    format: Format,
}

/// The scenarios by the names that people type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ScenarioName {
    All,
    Credit,
    Wealth,
    Insurance,
}

impl From<ScenarioName> for Scenario {
    fn from(name: ScenarioName) -> Self {
        match name {
            ScenarioName::All => Self::All,
            ScenarioName::Credit => Self::Credit,
            ScenarioName::Wealth => Self::Wealth,
            ScenarioName::Insurance => Self::Insurance,
        }
    }
}

impl Recommend {
    pub(crate) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let (answers, refusals) = super::block_on(async {
            let mut ranking = self.server.connect(settings).await?;
            let (mut answers, mut refusals) = (Vec::with_capacity(self.user_ids.len()), Vec::new());
            for user_id in &self.user_ids {
                match self.ask(&mut ranking, user_id).await {
                    Ok(answer) => answers.push(answer),
                    Err(refusal) => refusals.push(refusal.to_string()),
                }
            }
            anyhow::Ok((answers, refusals))
        })?;
        if !answers.is_empty() {
            let texts = |answers: &Vec<Answer>| answers.iter().map(Answer::to_string).collect::<Vec<_>>();
            self.format.print(&answers, |answers| texts(answers).join("\n\n"))?;
        }
        if refusals.is_empty() { Ok(()) } else { Err(anyhow!(refusals.join("\n"))) }
    }

    async fn ask(
        &self,
        ranking: &mut RankingServiceClient<Channel>,
        user_id: &str,
    ) -> anyhow::Result<Answer> {
        let request = RecommendRequest {
            user_id: user_id.to_owned(),
            k: self.k,
            scenario: Scenario::from(self.scenario).into(),
            exclude_product_ids: self.exclude.clone(),
            filters: Some(self.wishes.filters()),
            selection: Some(self.wishes.selection()),
            debug: self.debug.then(|| FieldMask { paths: vec!["*".to_owned()] }),
            explain: self.explain.then(why::wishes),
        };
        let response = ranking.recommend(request).await.map_err(|status| client::refusal(&status))?;
        Ok(response.into_inner().into())
    }
}

/// One customer's recommendations, as printed.
#[derive(Serialize)]
pub(crate) struct Answer {
    user_id: String,
    decision_id: String,
    model_version: String,
    index_generation: i64,
    policy_version: String,
    policy_sha256: String,
    /// `profile`, or what else for who objects to profiling, and where `degradation` says so.
    ranking_basis: String,
    /// By what it is ranked in place of the customer's embedding, and why: `fallback (new customer)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    degradation: Option<String>,
    /// In which arm of an experiment the customer is, and who answered if not that arm: `spring: treatment`.
    #[serde(skip_serializing_if = "Option::is_none")]
    experiment: Option<String>,
    eligible_count: u32,
    human_review_count: u32,
    /// Why fewer are eligible than were asked for.
    exclusions: Vec<Exclusion>,
    selection_version: String,
    selection_sha256: String,
    /// Which caps left fewer than were asked for, and how many products they left no room for.
    caps: Vec<Exclusion>,
    items: Vec<Item>,
    /// Why there are no reasons, if they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    unexplained: Option<Why>,
    /// Only if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    debug: Option<Debug>,
}

#[derive(Serialize)]
struct Exclusion {
    rule: String,
    products: u32,
}

#[derive(Serialize)]
struct Item {
    rank: u32,
    product_id: String,
    name: String,
    product_class: String,
    score: f64,
    /// By what boosts multiplied its odds in the order.
    boosted_by: f64,
    /// With which probability it stands in its place.
    propensity: f64,
    retrieval_score: f64,
    /// Only if asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<Why>,
}

impl From<RecommendResponse> for Answer {
    fn from(response: RecommendResponse) -> Self {
        let ranking_basis = basis_name(response.ranking_basis());
        let degradation = response.degradation.as_ref().map(degradation_name);
        let experiment = response.experiment.as_ref().map(experiment_name);
        let versions = response.versions.unwrap_or_default();
        let policy = response.policy.unwrap_or_default();
        let selection = response.selection.unwrap_or_default();
        let caps = selection.caps.into_iter().map(|cap| Exclusion { rule: cap.code, products: cap.products });
        let file = selection.selection.unwrap_or_default();
        let exclusions = response
            .exclusions
            .into_iter()
            .map(|count| Exclusion { rule: count.rule, products: count.products });
        let items = response.items.into_iter().map(|item| Item {
            rank: item.rank,
            product_class: class_name(item.product_class()),
            product_id: item.product_id,
            name: item.name,
            score: item.score,
            boosted_by: item.boosted_by,
            propensity: item.propensity,
            retrieval_score: item.retrieval_score,
            reasons: item.reasons.into_iter().map(Why::from).collect(),
        });
        Self {
            user_id: response.user_id,
            decision_id: response.decision_id,
            model_version: versions.model_version,
            index_generation: versions.index_generation,
            policy_version: policy.version,
            policy_sha256: policy.sha256,
            ranking_basis,
            degradation,
            experiment,
            eligible_count: response.eligible_count,
            human_review_count: response.human_review_count,
            exclusions: exclusions.collect(),
            selection_version: file.version,
            selection_sha256: file.sha256,
            caps: caps.collect(),
            items: items.collect(),
            unexplained: notice(response.explanation),
            debug: response.debug.map(Debug::from),
        }
    }
}

/// `ARM_TREATMENT` of "spring" as "spring: treatment".
fn experiment_name(experiment: &ExperimentArm) -> String {
    let arm = spoken(experiment.arm().as_str_name(), "ARM_");
    let in_place = if experiment.control_in_place { ", answered by control" } else { "" };
    format!("{}: {arm}{in_place}", experiment.name)
}

/// `PRODUCT_CLASS_CREDIT_CARD` as "credit card".
pub(crate) fn class_name(class: ProductClass) -> String {
    spoken(class.as_str_name(), "PRODUCT_CLASS_")
}

/// `SCENARIO_CREDIT` as "credit".
pub(crate) fn scenario_name(scenario: Scenario) -> String {
    spoken(scenario.as_str_name(), "SCENARIO_")
}

/// `RANKING_BASIS_PROFILE` as "profile".
pub(crate) fn basis_name(basis: RankingBasis) -> String {
    spoken(basis.as_str_name(), "RANKING_BASIS_")
}

/// `DEGRADATION_RUNG_FALLBACK` for `DEGRADATION_REASON_NEW_CUSTOMER` as "fallback (new customer)".
pub(crate) fn degradation_name(degradation: &Degradation) -> String {
    let reason = spoken(degradation.reason().as_str_name(), "DEGRADATION_REASON_");
    format!("{} ({reason})", rung_name(degradation.rung()))
}

/// `DEGRADATION_RUNG_FALLBACK` as "fallback".
fn rung_name(rung: DegradationRung) -> String {
    spoken(rung.as_str_name(), "DEGRADATION_RUNG_")
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let degradation = self.degradation.as_ref().map(|told| format!(" · ranked by {told}"));
        let experiment = self.experiment.as_ref().map(|told| format!(" · experiment {told}"));
        let marks = degradation.into_iter().chain(experiment).collect::<String>();
        if self.items.is_empty() {
            let against: Vec<String> =
                self.exclusions.iter().map(|count| format!("{} {}", count.rule, count.products)).collect();
            let against = against.join(", ");
            if self.eligible_count > 0 {
                write!(f, "{} · nothing is offered{marks}", self.user_id)?;
            } else {
                write!(f, "{} · nothing to offer: no product is eligible ({against}){marks}", self.user_id)?;
            }
            write!(f, "\n{}", self.made_by())?;
            return self.write_debug(f);
        }
        let rows = self.items.iter().map(|item| {
            [
                item.rank.to_string(),
                item.name.clone(),
                item.product_class.clone(),
                item.product_id.clone(),
                format!("{:.1} %", 100.0 * item.score),
                format!("{:.3}", item.retrieval_score),
            ]
        });
        let heads = ["#", "product", "class", "product_id", "score", "retrieval"];
        writeln!(f, "{} · {} of {} eligible{marks}", self.user_id, self.items.len(), self.eligible_count)?;
        write!(f, "{}\n{}", table(heads, 4, rows), self.made_by())?;
        self.write_rules(f)?;
        self.write_why(f)?;
        self.write_debug(f)
    }
}

impl Answer {
    /// What decided, and under which id that can be looked up.
    fn made_by(&self) -> String {
        format!(
            "model {} · index generation {} · policy {} · selection {} · decision {}",
            self.model_version,
            self.index_generation,
            self.policy_version,
            self.selection_version,
            self.decision_id
        )
    }

    fn write_rules(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for Exclusion { rule, products } in &self.caps {
            write!(f, "\ncap {rule} left no room for {products} more")?;
        }
        for item in self.items.iter().filter(|item| item.boosted_by != 1.0) {
            write!(f, "\n{}  stands there by {} times its odds", item.rank, item.boosted_by)?;
        }
        for item in self.items.iter().filter(|item| item.propensity < 1.0) {
            write!(f, "\n{}  stands there with probability {:.4}", item.rank, item.propensity)?;
        }
        Ok(())
    }

    fn write_why(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(notice) = &self.unexplained {
            write!(f, "\nnot explained: {}", notice.text_en)?;
        }
        for item in &self.items {
            for reason in &item.reasons {
                write!(f, "\n{}  {reason}", item.rank)?;
            }
        }
        Ok(())
    }

    fn write_debug(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.debug.as_ref().map_or(Ok(()), |debug| write!(f, "\n{debug}"))
    }
}
