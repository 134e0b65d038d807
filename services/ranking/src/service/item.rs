//! ExplainItem: why a customer would be offered a product just now, or would not. The pipeline decides as it does for
//! Recommend, and nothing of it is offered or kept.

use std::{slice, sync::Arc};

use finrank_contracts::ranking::v1;
use finrank_policy::CompiledPolicy;
use finrank_serving::wire;

use super::{
    RankingService,
    compute::compute_apart,
    degradation::degradation,
    ladder::Waiting,
    recommend::{Asked, AskedCustomer},
    request::{ExplainItem, Wanted},
    response::{self, count},
    row_of,
    standing::Standing,
    why::{Why, WhyItem},
};
use crate::{
    RankingError, Result,
    catalogue::Catalogue,
    deadline::Deadline,
    explanations::Unexplained,
    index::Row,
    pipeline::{Ask, RankedBy},
};

impl RankingService {
    pub(super) async fn explain_item_for(
        &self,
        request: ExplainItem,
        deadline: Deadline,
    ) -> Result<v1::ExplainItemResponse> {
        let ExplainItem { user_id, product_id, wanted } = request;
        let row = |catalogue: &Catalogue| row_of(catalogue, &product_id, || "product_id".to_owned());
        // Of a product that is not there nobody needs to be asked.
        row(&*self.catalogue()?)?;
        let Asked { policy, customers } =
            self.ask_about(slice::from_ref(&user_id), &wanted.explain, Waiting::Page, deadline).await?;
        let customer = customers.into_iter().next();
        let customer = customer.ok_or_else(|| RankingError::UserNotFound(user_id.clone()))??;
        if customer.known.is_of_nobody() {
            return Err(RankingError::UserNotFound(user_id));
        }
        // That of the customer's arm, where there is an experiment.
        let catalogue = Arc::clone(&customer.catalogue);
        let row = row(&catalogue)?;
        let (service, shared) = (self.clone(), Arc::clone(&catalogue));
        compute_apart(catalogue, move |catalogue| {
            let policy = service.policies.compiled(&policy, &shared);
            service.explained(catalogue, policy, customer, &wanted, row)
        })
        .await
    }

    fn explained(
        &self,
        catalogue: &Catalogue,
        policy: Arc<CompiledPolicy>,
        customer: AskedCustomer,
        wanted: &Wanted,
        row: Row,
    ) -> Result<v1::ExplainItemResponse> {
        let (ask, fed) = self.ask_for(customer, policy, wanted);
        // What chance would make of it says nothing.
        let ask = Ask { may_explore: false, ..ask };
        let decision = self.pipeline.consider(catalogue, &ask)?;
        let standing = Standing::of(&self.pipeline, catalogue, &ask, &decision, row)?;
        let why = wanted.explain.any().then(|| {
            if standing.is_ruled_out() {
                return Why::without(Unexplained::RuledOut);
            }
            Why::of_items(catalogue, &ask, fed, standing.scored.as_slice(), wanted.explain.view)
        });
        let (explanation, items) = why.map(|why| (why.report, why.items)).unzip();
        let WhyItem { reasons, adverse, attributions } =
            items.and_then(|mut items: Vec<WhyItem>| items.pop()).unwrap_or_default();
        let scored = match decision.ranked_by {
            RankedBy::Profile(_) => decision.candidates.len(),
            RankedBy::Popularity | RankedBy::Nothing => 0,
        };
        Ok(v1::ExplainItemResponse {
            user_id: ask.customer.user_id.to_string(),
            item: Some(standing.place),
            eligible_count: count(decision.eligible.count()),
            candidate_count: count(scored),
            ranking_basis: response::ranking_basis(decision.ranked_by).into(),
            versions: Some(response::versions(&decision.generation, decision.user_generation())),
            policy: Some(response::policy_version(&decision.policy)),
            explained_at: Some(wire::timestamp(decision.decided_at)),
            degradation: decision.degradation.as_ref().map(degradation),
            explanation,
            reasons,
            adverse_reasons: adverse,
            attributions,
        })
    }
}
