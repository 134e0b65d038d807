//! Recommend: what to offer to customers, once it is known who they are.

use std::{slice, sync::Arc};

use finrank_contracts::ranking::v1::{self, RecommendResponse};
use finrank_model::UserId;
use finrank_policy::{CompiledPolicy, Policy};
use uuid::Uuid;

use super::{
    RankingService,
    compute::{compute, compute_apart},
    eligibility::KnownCustomer,
    record::{self, Decided, Place},
    request::{Recommend, Wanted},
    response,
    why::{Why, WhyWishes},
};
use crate::{
    RankingError, Result,
    catalogue::Catalogue,
    deadline::Deadline,
    explanations::FedInputs,
    pipeline::{Ask, Basis},
    popularity::Popularity,
};

/// Customers to decide for, by one catalogue and one policy.
pub(super) struct Asked {
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) policy: Arc<Policy>,
    /// In the order asked: what is known of each and by what to rank, or why nothing can be decided.
    pub(super) customers: Vec<Result<AskedCustomer>>,
}

/// One of them.
pub(super) struct AskedCustomer {
    pub(super) known: KnownCustomer,
    pub(super) basis: Basis,
    /// What was fed to the tower, if it was asked for and told.
    pub(super) fed: Option<FedInputs>,
}

impl RankingService {
    pub(super) async fn decide(
        &self,
        request: Recommend,
        deadline: Deadline,
    ) -> Result<v1::RecommendResponse> {
        let Recommend { user_id, wanted } = request;
        let Asked { catalogue, policy, customers } =
            self.ask_about(slice::from_ref(&user_id), &wanted.explain, deadline).await?;
        let customer = customers.into_iter().next();
        let customer = customer.ok_or_else(|| RankingError::UserNotFound(user_id))??;
        let place = self.place().await?;
        let (service, shared) = (self.clone(), Arc::clone(&catalogue));
        let explains = wanted.explain.any();
        let decide = move |catalogue: &Catalogue| {
            let policy = service.policies.compiled(&policy, &shared);
            service.decide_for(catalogue, policy, customer, &wanted, place)
        };
        let decided = match explains {
            true => compute_apart(catalogue, decide).await?,
            false => compute(catalogue, decide).await?,
        };
        decided.kept().await
    }

    /// What has to be known of customers before anything can be decided.
    ///
    /// # Errors
    /// When something stands in everybody's way.
    pub(super) async fn ask_about(
        &self,
        user_ids: &[UserId],
        explain: &WhyWishes,
        deadline: Deadline,
    ) -> Result<Asked> {
        // Without a catalogue nothing can be offered, whoever it is: nobody needs to be asked.
        self.catalogue()?;
        let policy = self.policies.in_force();
        let (users, known) =
            tokio::join!(self.users(user_ids, deadline), self.known(user_ids, &policy, deadline));
        let known = known?;
        let profiled = known.iter().filter(|customer| policy.may_profile(&customer.facts));
        let profiled: Vec<UserId> = profiled.map(|customer| customer.user_id.clone()).collect();
        let (catalogue, embeddings) = match users {
            Ok((catalogue, users)) => (catalogue, users.into_iter().map(Some).collect()),
            Err(error) if !profiled.is_empty() => return Err(error),
            // Who objects to profiling needs none.
            Err(_) => (self.catalogue()?, known.iter().map(|_| None).collect::<Vec<_>>()),
        };
        let popularity =
            if profiled.len() == known.len() { None } else { self.popularity(&catalogue, &policy).await };
        let fed = self.fed(&profiled, &catalogue, explain, deadline).await?;
        let customers = known.into_iter().zip(embeddings).map(|(known, embedding)| {
            let basis = match embedding {
                // The embedding tells at least that there is such a customer.
                Some(Err(error @ RankingError::UserNotFound(_))) => return Err(error),
                Some(embedding) if policy.may_profile(&known.facts) => {
                    let user = embedding?;
                    Basis::Profile { user: user.embedding, generation: user.run_id }
                }
                _ => Basis::Popularity(popularity.clone()),
            };
            // A customer who is named twice is asked about once.
            let fed = fed.get(&known.user_id).cloned();
            Ok(AskedCustomer { known, basis, fed })
        });
        Ok(Asked { catalogue, customers: customers.collect(), policy })
    }

    /// How popular products are, for who objects to profiling.
    async fn popularity(&self, catalogue: &Arc<Catalogue>, policy: &Policy) -> Option<Arc<Popularity>> {
        let contents = self.log.as_ref().map(|log| &log.contents);
        self.popularity.of(catalogue, policy.profiling()?, &self.feature_store, contents).await
    }

    /// Lets the pipeline decide, and leaves the decision to be written.
    ///
    /// # Errors
    /// As [`crate::pipeline::Pipeline::recommend`].
    pub(super) fn decide_for(
        &self,
        catalogue: &Catalogue,
        policy: Arc<CompiledPolicy>,
        customer: AskedCustomer,
        wanted: &Wanted,
        place: Option<Place>,
    ) -> Result<Decided> {
        let AskedCustomer { known, basis, fed } = customer;
        let user_id = known.user_id.clone();
        let mut inputs = place.is_some().then(|| known.inputs());
        let ask = Ask {
            decision_id: Uuid::now_v7(),
            pseudonym: self.pseudonyms.of(&user_id),
            customer: known.customer(policy),
            basis,
            terms: wanted.terms.clone(),
            k: wanted.k,
        };
        let decision = self.pipeline.recommend(catalogue, &ask)?;
        let debug = wanted.debug.of(&decision);
        let mut response = RecommendResponse { debug, ..response::recommend(&user_id, catalogue, &decision) };
        if wanted.explain.any() {
            let why = Why::of_decision(catalogue, &ask, fed, &decision, wanted.explain.view);
            why.tell(&mut response);
            if let Some(inputs) = &mut inputs {
                record::keep_reasons(inputs, &response);
            }
        }
        let receipt = place.zip(inputs).map(|(place, inputs)| place.take(&ask, catalogue, &decision, inputs));
        Ok(Decided { response, receipt })
    }
}
