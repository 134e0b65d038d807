//! ExplainEligibility: what the policy says of a customer and products, rule by rule.

use std::{slice, sync::Arc};

use finrank_contracts::ranking::v1;
use finrank_model::ProductId;
use finrank_policy::{Finding, Holding, RuleResult, Verdict};
use finrank_serving::wire;

use super::{RankingService, compute::compute, request::Explain, response, row_of};
use crate::{RankingError, Result, catalogue::Catalogue, deadline::Deadline, index::Row, pipeline::Customer};

impl RankingService {
    pub(super) async fn explain(
        &self,
        request: Explain,
        deadline: Deadline,
    ) -> Result<v1::ExplainEligibilityResponse> {
        let policy = self.policies.in_force();
        let catalogue = self.catalogue()?;
        let (rows, next_page_token) = rows(&catalogue, &request)?;
        let known = self.known(slice::from_ref(&request.user_id), &policy, deadline).await?;
        let Some(known) = known.into_iter().find(|known| !known.is_of_nobody()) else {
            return Err(RankingError::UserNotFound(request.user_id));
        };
        let (policies, shared) = (Arc::clone(&self.policies), Arc::clone(&catalogue));
        compute(catalogue, move |catalogue| {
            let customer = known.customer(policies.compiled(&policy, &shared));
            Ok(v1::ExplainEligibilityResponse {
                user_id: request.user_id.to_string(),
                policy: Some(response::policy_version(&policy)),
                decided_at: Some(wire::timestamp(customer.moment)),
                may_profile: policy.may_profile(&customer.facts),
                facts: facts(&customer),
                products: products(catalogue, &customer, &rows),
                next_page_token,
            })
        })
        .await
    }
}

/// The products asked for, and what to ask for the next page with.
fn rows(catalogue: &Catalogue, request: &Explain) -> Result<(Vec<Row>, String)> {
    if !request.product_ids.is_empty() {
        let named = request.product_ids.iter().enumerate();
        let rows = named
            .map(|(place, product_id)| row_of(catalogue, product_id, || format!("product_ids[{place}]")));
        return Ok((rows.collect::<Result<_>>()?, String::new()));
    }
    // Rows are in the order of ids, so that a page goes on where the last ended, whatever has come or gone between.
    let begin = request.after.as_ref().map_or(0, |after: &ProductId| {
        catalogue.products().partition_point(|product| product.product_id <= *after)
    });
    let end = catalogue.len().min(begin + request.page_size);
    let next = match end.checked_sub(1) {
        Some(last) if end < catalogue.len() => catalogue.product(Row(last)).product_id.to_string(),
        _ => String::new(),
    };
    Ok(((begin..end).map(Row).collect(), next))
}

fn facts(customer: &Customer) -> Vec<v1::EligibilityFact> {
    let policy = customer.policy.policy();
    let told = policy.facts().iter().zip(customer.facts.iter()).map(|(fact, state)| v1::EligibilityFact {
        name: fact.name.clone(),
        feature: fact.feature.to_string(),
        standing: state.value.as_ref().err().map_or("KNOWN", |unknown| unknown.code()).to_owned(),
        value: state.served.as_ref().map(ToString::to_string).unwrap_or_default(),
        dated: state.dated.map(wire::timestamp),
    });
    told.collect()
}

fn products(catalogue: &Catalogue, customer: &Customer, rows: &[Row]) -> Vec<v1::ProductEligibility> {
    let holdings = customer.holdings(catalogue);
    rows.iter().map(|&row| judged(catalogue, customer, &holdings, row)).collect()
}

/// What the policy says of one product.
pub(super) fn judged(
    catalogue: &Catalogue,
    customer: &Customer,
    holdings: &[Holding<'_>],
    row: Row,
) -> v1::ProductEligibility {
    let case = customer.case(catalogue, holdings, row);
    let Verdict { outcome, findings } = case.policy.judge(&case);
    let product = catalogue.product(row);
    v1::ProductEligibility {
        product_id: product.product_id.to_string(),
        name: product.name.clone(),
        product_class: wire::product_class_to_wire(product.product_class).into(),
        verdict: response::verdict(outcome).into(),
        against: findings.iter().filter_map(|finding| against(customer, finding)).collect(),
    }
}

fn against(customer: &Customer, finding: &Finding) -> Option<v1::RuleFinding> {
    let rule = &customer.policy.policy().rules()[finding.rule];
    let (unknown, alone) = match &finding.result {
        RuleResult::NotApplicable | RuleResult::Passes => return None,
        RuleResult::Fails(_) => (false, rule.on_failure.outcome()),
        RuleResult::Unknown(_) => (true, rule.on_unknown.outcome()),
    };
    Some(v1::RuleFinding {
        rule: rule.code.to_string(),
        description: rule.description.clone(),
        regulation: rule.regulation.clone(),
        reason: finding.result.reason().to_owned(),
        unknown,
        verdict: response::verdict(alone).into(),
    })
}
