//! What is known of a customer, asked for once and then held against a policy.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use finrank_contracts::ranking::v1::DecisionInputs;
use finrank_model::{ProductId, UserId};
use finrank_policy::{CompiledPolicy, FactState, Facts, Policy, Unknown};

use super::RankingService;
use crate::{Result, deadline::Deadline, facts::GivenFacts, pipeline::Customer};

/// A customer, as known at a moment.
#[derive(Debug)]
pub(super) struct KnownCustomer {
    pub(super) user_id: UserId,
    pub(super) facts: Facts,
    /// What the facts were read from.
    given: GivenFacts,
    held: Vec<ProductId>,
    moment: DateTime<Utc>,
}

impl RankingService {
    /// Facts and holdings of customers, in the order asked; both are asked for side by side. Without either there is no
    /// verdict, and so the request fails: whatever may degrade elsewhere, this may not.
    pub(super) async fn known(
        &self,
        user_ids: &[UserId],
        policy: &Policy,
        deadline: Deadline,
    ) -> Result<Vec<KnownCustomer>> {
        let (held, given) = tokio::try_join!(
            self.feature_store.holdings(user_ids, deadline),
            self.feature_store.facts(user_ids, policy.source(), deadline),
        )?;
        let moment = Utc::now();
        let known =
            user_ids.iter().zip(held).zip(given).map(|((user_id, held), given)| {
                KnownCustomer::at(moment, policy, user_id.clone(), given, held)
            });
        Ok(known.collect())
    }
}

impl KnownCustomer {
    /// Of what was told, as a policy reads it at a moment.
    pub(super) fn at(
        moment: DateTime<Utc>,
        policy: &Policy,
        user_id: UserId,
        given: GivenFacts,
        held: Vec<ProductId>,
    ) -> Self {
        let facts = Facts::at(policy, moment, |feature| given.get(feature));
        Self { user_id, facts, given, held, moment }
    }

    /// Whether nothing at all is known: there is no such customer.
    pub(super) fn is_of_nobody(&self) -> bool {
        let nobody = |state: &FactState| matches!(state.value, Err(Unknown::NotFound));
        self.held.is_empty() && self.facts.iter().next().is_some() && self.facts.iter().all(nobody)
    }

    /// What the log keeps of what is known, but for the embedding and the request.
    pub(super) fn inputs(&self) -> DecisionInputs {
        let (features, values) = self.given.clone().into_told();
        let held_product_ids = self.held.iter().map(ToString::to_string).collect();
        DecisionInputs { features, values, held_product_ids, ..DecisionInputs::default() }
    }

    /// The customer, to be judged by the policy that the facts were read by.
    pub(super) fn customer(self, policy: Arc<CompiledPolicy>) -> Customer {
        let Self { user_id, facts, given: _, held, moment } = self;
        Customer { user_id, facts, held, policy, moment }
    }
}
