//! `finrank policy explain`: asks the ranking server what a customer may be offered, and what stands against the rest.

use clap::Args;
use finrank_contracts::ranking::v1::{
    EligibilityFact, EligibilityVerdict, ExplainEligibilityRequest, ExplainEligibilityResponse,
    ProductEligibility, RuleFinding,
};
use serde::Serialize;

use crate::{
    client::{self, RankingServer},
    commands::features::moment,
    output::{Format, short, table},
    settings::Settings,
};

/// Tell what a customer may be offered by the policy in force, and which rules stand against the rest, from what
/// values of what dates.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  finrank policy explain user-0000001\n  finrank policy explain user-0000001 product-000002 product-000007 --json"
)]
pub(super) struct Explain {
    /// The customer.
    #[arg(value_name = "USER_ID")]
    user_id: String,
    /// The products; without any, all of the catalogue.
    #[arg(value_name = "PRODUCT_ID")]
    product_ids: Vec<String>,
    #[command(flatten)]
    server: RankingServer,
    #[command(flatten)]
    format: Format,
}

/// What the server says, as printed.
#[derive(Serialize)]
struct Report {
    user_id: String,
    policy_version: String,
    policy_sha256: String,
    decided_at: String,
    may_profile: bool,
    facts: Vec<Fact>,
    products: Vec<Product>,
}

#[derive(Serialize)]
struct Fact {
    name: String,
    feature: String,
    standing: String,
    value: String,
    dated: String,
}

#[derive(Serialize)]
struct Product {
    product_id: String,
    name: String,
    verdict: &'static str,
    against: Vec<Against>,
}

/// A rule that stands against a product.
#[derive(Serialize)]
pub(crate) struct Against {
    rule: String,
    regulation: String,
    reason: String,
    unknown: bool,
    verdict: &'static str,
}

impl Explain {
    pub(super) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let mut request = ExplainEligibilityRequest {
            user_id: self.user_id,
            product_ids: self.product_ids,
            ..ExplainEligibilityRequest::default()
        };
        let report = super::super::block_on(async {
            let mut ranking = self.server.connect(settings).await?;
            let mut report: Option<Report> = None;
            loop {
                let page = ranking.explain_eligibility(request.clone()).await;
                let page = page.map_err(|status| client::refusal(&status))?.into_inner();
                request.page_token.clone_from(&page.next_page_token);
                match &mut report {
                    None => report = Some(Report::from(page)),
                    Some(report) => report.products.extend(page.products.into_iter().map(Product::from)),
                }
                if let Some(report) = report.take_if(|_| request.page_token.is_empty()) {
                    return anyhow::Ok(report);
                }
            }
        })?;
        self.format.print(&report, Report::to_text)
    }
}

impl From<ExplainEligibilityResponse> for Report {
    fn from(response: ExplainEligibilityResponse) -> Self {
        let policy = response.policy.unwrap_or_default();
        Self {
            user_id: response.user_id,
            policy_version: policy.version,
            policy_sha256: policy.sha256,
            decided_at: response.decided_at.as_ref().map(moment).unwrap_or_default(),
            may_profile: response.may_profile,
            facts: response.facts.into_iter().map(Fact::from).collect(),
            products: response.products.into_iter().map(Product::from).collect(),
        }
    }
}

impl From<EligibilityFact> for Fact {
    fn from(fact: EligibilityFact) -> Self {
        Self {
            name: fact.name,
            feature: fact.feature,
            standing: fact.standing,
            value: fact.value,
            dated: fact.dated.as_ref().map(moment).unwrap_or_default(),
        }
    }
}

impl From<ProductEligibility> for Product {
    fn from(product: ProductEligibility) -> Self {
        let verdict = in_words(product.verdict());
        Self {
            product_id: product.product_id,
            name: product.name,
            verdict,
            against: product.against.into_iter().map(Against::from).collect(),
        }
    }
}

impl From<RuleFinding> for Against {
    fn from(finding: RuleFinding) -> Self {
        let verdict = in_words(finding.verdict());
        Self {
            rule: finding.rule,
            regulation: finding.regulation,
            reason: finding.reason,
            unknown: finding.unknown,
            verdict,
        }
    }
}

impl Against {
    /// Rule, verdict, from what, and by which regulation.
    pub(crate) fn row(&self) -> [String; 4] {
        [self.rule.clone(), self.verdict.to_owned(), self.reason.clone(), self.regulation.clone()]
    }
}

fn in_words(verdict: EligibilityVerdict) -> &'static str {
    match verdict {
        EligibilityVerdict::Eligible => "eligible",
        EligibilityVerdict::HumanReview => "human review",
        EligibilityVerdict::Excluded => "excluded",
        EligibilityVerdict::Unspecified => "unknown",
    }
}

impl Report {
    fn to_text(&self) -> String {
        let facts = self.facts.iter().map(|fact| {
            [&fact.name, &fact.value, &fact.standing, &fact.dated, &fact.feature].map(String::clone)
        });
        let products = self.products.iter().map(|product| {
            let against: Vec<String> = product
                .against
                .iter()
                .map(|against| format!("{}: {}", against.rule, against.reason))
                .collect();
            [product.product_id.clone(), product.verdict.to_owned(), against.join("\n")]
        });
        let sha256 = short(&self.policy_sha256);
        let profiled = if self.may_profile { "may be profiled" } else { "is not profiled" };
        format!(
            "{} · policy {} ({sha256}) at {} · {profiled}\n\n{}\n\n{}",
            self.user_id,
            self.policy_version,
            self.decided_at,
            table(["fact", "value", "standing", "dated", "feature"], 5, facts),
            table(["product", "verdict", "against it"], 3, products),
        )
    }
}
