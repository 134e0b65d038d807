//! `finrank explain`: why a customer is offered a product, or is not; just now, or in a decision that was made.

mod decision;
mod item;
mod place;

use clap::Args;
use finrank_contracts::ranking::v1::{
    ExplainDecisionRequest, ExplainItemRequest, ExplanationView, ExplanationWishes, RecommendRequest,
    Scenario,
};

use self::{decision::DecisionReport, item::ItemReport};
use crate::{
    client::{self, RankingServer},
    commands::{
        block_on,
        recommend::{ScenarioName, Wishes},
    },
    output::Format,
    settings::Settings,
};

/// Tell why a customer is offered a product just now, or is not: the rules that stand against it, or else its place, its
/// score, and what speaks for it and against it. Nothing is offered by this, and no decision is kept.
///
/// With --decision: tell why a decision came out as it did, from the log. Of a product that its record does not mention the
/// decision is made again from what was kept. docs/explanations.md explains it.
#[derive(Args)]
#[command(after_help = "Examples:\n  finrank explain --user user-0000001 --product product-000002\n  \
                  finrank explain --user user-0000001 --product product-000002 -k 3 --scenario wealth --json\n  \
                  finrank explain --user user-0000001 --product product-000002 --audit marketing\n  \
                  finrank explain --decision 0198f3c2-7d1e-7c11-9a53-0242ac120002\n  \
                  finrank explain --decision 0198f3c2-7d1e-7c11-9a53-0242ac120002 --product product-000002")]
pub(crate) struct Explain {
    /// The customer.
    #[arg(long, value_name = "USER_ID", required_unless_present = "decision", requires = "product")]
    user: Option<String>,
    /// A decision that was made, by its id as the answer told it.
    #[arg(long, value_name = "DECISION_ID", conflicts_with_all = ["user", "audit"])]
    decision: Option<String>,
    /// The product; of a decision, without one, all that was offered.
    #[arg(long, value_name = "PRODUCT_ID")]
    product: Option<String>,
    /// Of how many products, 1 to 500, it would be one.
    #[arg(short, long, default_value_t = 5, conflicts_with = "decision")]
    k: u32,
    /// Where they would be shown, which decides the product classes.
    #[arg(long, value_enum, default_value_t = ScenarioName::All, conflicts_with = "decision")]
    scenario: ScenarioName,
    #[command(flatten)]
    wishes: Wishes,
    /// Print as well what every input gave, protected ones included: for auditors, for this purpose.
    #[arg(long, value_name = "PURPOSE")]
    audit: Option<String>,
    #[command(flatten)]
    server: RankingServer,
    #[command(flatten)]
    format: Format,
}

impl Explain {
    pub(crate) fn run(self, settings: &Settings) -> anyhow::Result<()> {
        match &self.decision {
            Some(decision_id) => self.explain_decision(decision_id.clone(), settings),
            None => self.explain_item(settings),
        }
    }

    fn explain_decision(&self, decision_id: String, settings: &Settings) -> anyhow::Result<()> {
        let product_id = self.product.clone().unwrap_or_default();
        let request = ExplainDecisionRequest { decision_id, product_id };
        let explained = block_on(async {
            let explained = self.server.connect(settings).await?.explain_decision(request).await;
            Ok(explained.map_err(|status| client::refusal(&status))?.into_inner())
        })?;
        self.format.print(&DecisionReport::of(explained), DecisionReport::to_text)
    }

    fn explain_item(&self, settings: &Settings) -> anyhow::Result<()> {
        let request = self.item_request();
        let explained = block_on(async {
            let explained = self.server.connect(settings).await?.explain_item(request).await;
            Ok(explained.map_err(|status| client::refusal(&status))?.into_inner())
        })?;
        self.format.print(&ItemReport::of(explained)?, ItemReport::to_text)
    }

    fn item_request(&self) -> ExplainItemRequest {
        let view = if self.audit.is_some() { ExplanationView::Audit } else { ExplanationView::Reasons };
        let purpose = self.audit.clone().unwrap_or_default();
        let request = RecommendRequest {
            k: self.k,
            scenario: Scenario::from(self.scenario).into(),
            filters: Some(self.wishes.filters()),
            selection: Some(self.wishes.selection()),
            explain: Some(ExplanationWishes { view: view.into(), purpose }),
            ..RecommendRequest::default()
        };
        ExplainItemRequest {
            user_id: self.user.clone().unwrap_or_default(),
            product_id: self.product.clone().unwrap_or_default(),
            request: Some(request),
        }
    }
}
