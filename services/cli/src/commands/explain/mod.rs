//! `finrank explain`: why a customer is offered a product, or is not.

mod item;

use clap::Args;
use finrank_contracts::ranking::v1::{
    ExplainItemRequest, ExplanationView, ExplanationWishes, RecommendRequest, Scenario,
};

use self::item::ItemReport;
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
/// docs/explanations.md explains it.
#[derive(Args)]
#[command(after_help = "Examples:\n  finrank explain --user user-0000001 --product product-000002\n  \
                  finrank explain --user user-0000001 --product product-000002 -k 3 --scenario wealth --json\n  \
                  finrank explain --user user-0000001 --product product-000002 --audit marketing")]
pub(crate) struct Explain {
    /// The customer.
    #[arg(long, value_name = "USER_ID")]
    user: String,
    /// The product.
    #[arg(long, value_name = "PRODUCT_ID")]
    product: String,
    /// Of how many products, 1 to 500, it would be one.
    #[arg(short, long, default_value_t = 5)]
    k: u32,
    /// Where they would be shown, which decides the product classes.
    #[arg(long, value_enum, default_value_t = ScenarioName::All)]
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
        let request = self.request();
        let explained = block_on(async {
            let explained = self.server.connect(settings).await?.explain_item(request).await;
            Ok(explained.map_err(|status| client::refusal(&status))?.into_inner())
        })?;
        self.format.print(&ItemReport::of(explained)?, ItemReport::to_text)
    }

    fn request(&self) -> ExplainItemRequest {
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
            user_id: self.user.clone(),
            product_id: self.product.clone(),
            request: Some(request),
        }
    }
}
