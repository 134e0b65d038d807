//! Recommend: what to offer to customers, once it is known who they are.

use std::{slice, sync::Arc};

use finrank_contracts::ranking::v1::{self, RecommendResponse};
use finrank_model::{Arm, UserId};
use finrank_policy::{CompiledPolicy, Policy};
use uuid::Uuid;

use super::{
    RankingService, Users,
    arms::{self, Arms, Side},
    compute::{compute, compute_apart},
    eligibility::KnownCustomer,
    ladder::{Footing, Ladder, NoEmbedding, Waiting},
    record::{self, Apart, Decided, Place},
    request::{Recommend, Wanted},
    response,
    why::{Why, WhyWishes},
};
use crate::{
    RankingError, Result,
    catalogue::Catalogue,
    deadline::Deadline,
    explanations::FedInputs,
    feature_store::UserEmbedding,
    pipeline::{Ask, Basis, Degradation, OfferedItem, ScoredCandidate},
    traffic::Assignment,
};

/// Customers to decide for, by one policy.
pub(super) struct Asked {
    pub(super) policy: Arc<Policy>,
    /// In the order asked: what is known of each and by what to rank, or why nothing can be decided.
    pub(super) customers: Vec<Result<AskedCustomer>>,
}

impl Asked {
    /// The catalogues that answer: one, or one for each arm of an experiment.
    pub(super) fn catalogues(&self) -> Vec<Arc<Catalogue>> {
        let mut catalogues: Vec<Arc<Catalogue>> = Vec::new();
        for AskedCustomer { catalogue, .. } in self.customers.iter().flatten() {
            if !catalogues.iter().any(|known| Arc::ptr_eq(known, catalogue)) {
                catalogues.push(Arc::clone(catalogue));
            }
        }
        catalogues
    }
}

/// One of them.
pub(super) struct AskedCustomer {
    /// What answers.
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) known: KnownCustomer,
    pub(super) basis: Basis,
    pub(super) degradation: Option<Degradation>,
    /// What was fed to the tower, if it was asked for and told.
    pub(super) fed: Option<FedInputs>,
    /// In which arm of an experiment they are, if there is one.
    pub(super) assigned: Option<Assignment>,
}

/// By what, for what and until when customers are asked about.
struct Asking<'a> {
    policy: &'a Policy,
    explain: &'a WhyWishes,
    waiting: Waiting,
    deadline: Deadline,
}

impl RankingService {
    pub(super) async fn decide(
        &self,
        request: Recommend,
        deadline: Deadline,
    ) -> Result<v1::RecommendResponse> {
        let Recommend { user_id, wanted } = request;
        let Asked { policy, customers } =
            self.ask_about(slice::from_ref(&user_id), &wanted.explain, Waiting::Page, deadline).await?;
        let customer = customers.into_iter().next();
        let customer = customer.ok_or_else(|| RankingError::UserNotFound(user_id))??;
        let place = self.place().await?;
        let catalogue = Arc::clone(&customer.catalogue);
        let (service, shared) = (self.clone(), Arc::clone(&catalogue));
        let explains = wanted.explain.any();
        let decide = move |_: &Catalogue| {
            let policy = service.policies.compiled(&policy, &shared);
            service.decide_for(policy, customer, &wanted, place)
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
        waiting: Waiting,
        deadline: Deadline,
    ) -> Result<Asked> {
        // Without a catalogue nothing can be offered, whoever it is: nobody needs to be asked.
        let served = self.catalogue()?;
        let mut arms = Arms::of(self.traffic.trial(served.generation()), user_ids);
        let policy = self.policies.in_force();
        let (users, known) = tokio::join!(
            self.users_by_arm(&mut arms, user_ids, self.ladder.for_embeddings(waiting, deadline)),
            self.known(user_ids, &policy, Ladder::for_knowing(waiting, deadline)),
        );
        let (mut control, mut treatment) = (Vec::new(), Vec::new());
        for (arm, known) in arms.answering().zip(known?) {
            match arm {
                Arm::Control => control.push(known),
                Arm::Treatment => treatment.push(known),
            }
        }
        let asking = Asking { policy: &policy, explain, waiting, deadline };
        let [of_control, of_treatment] = users;
        let (control, treatment) = tokio::try_join!(
            self.stand(arms.side(self, Arm::Control), control, of_control, &asking),
            self.stand(arms.side(self, Arm::Treatment), treatment, of_treatment, &asking),
        )?;
        let customers = arms
            .merged(control, treatment)
            .map(|(assigned, customer)| customer.map(|customer| AskedCustomer { assigned, ..customer }));
        Ok(Asked { customers: customers.collect(), policy })
    }

    /// On what each of the customers stands whom one catalogue answers.
    ///
    /// # Errors
    /// When something stands in everybody's way.
    async fn stand(
        &self,
        side: Side<'_>,
        known: Vec<KnownCustomer>,
        users: Option<Result<Users>>,
        asking: &Asking<'_>,
    ) -> Result<Vec<Result<AskedCustomer>>> {
        let &Asking { policy, explain, waiting, deadline } = asking;
        let (catalogue, embeddings) = match users {
            None => return Ok(Vec::new()),
            Some(Ok((catalogue, users))) => (catalogue, users.into_iter().map(|user| Ok(user?)).collect()),
            Some(Err(error)) => {
                let nobody = of_nobody(error, waiting, &known, policy)?;
                (side.current.get().ok_or(RankingError::NoCatalogue)?, nobody)
            }
        };
        let footings = known
            .iter()
            .zip(embeddings)
            .map(|(known, embedding)| self.ladder.footing(known, policy, &catalogue, embedding))
            .collect::<Vec<Result<Footing>>>();
        let asks_for_popularity = |footing: &Footing| self.ladder.asks_for_popularity(footing);
        let popularity = match footings.iter().flatten().any(asks_for_popularity) {
            true => self.popularity(side.popularity, &catalogue, policy, deadline).await,
            false => None,
        };
        let scored = known
            .iter()
            .zip(&footings)
            .filter(|(_, footing)| footing.as_ref().is_ok_and(Footing::is_by_the_model));
        let scored: Vec<UserId> = scored.map(|(known, _)| known.user_id.clone()).collect();
        let fed = self.fed(&scored, &catalogue, explain, Ladder::for_why(waiting, deadline)).await?;
        let customers = known.into_iter().zip(footings).map(|(known, footing)| {
            let (basis, degradation) = self.ladder.basis(footing?, popularity.as_ref())?;
            // A customer who is named twice is asked about once.
            let fed = fed.get(&known.user_id).cloned();
            let catalogue = Arc::clone(&catalogue);
            Ok(AskedCustomer { catalogue, known, basis, degradation, fed, assigned: None })
        });
        Ok(customers.collect())
    }

    /// Lets the pipeline decide, and leaves the decision to be written.
    ///
    /// # Errors
    /// As [`crate::pipeline::Pipeline::recommend`].
    pub(super) fn decide_for(
        &self,
        policy: Arc<CompiledPolicy>,
        customer: AskedCustomer,
        wanted: &Wanted,
        place: Option<Place>,
    ) -> Result<Decided> {
        if let Some(Degradation { rung, reason, .. }) = &customer.degradation {
            let (rung, reason) = (rung.name(), reason.name());
            metrics::counter!("finrank_ranking_degraded_total", "rung" => rung, "reason" => reason)
                .increment(1);
        }
        customer.assigned.iter().for_each(arms::count);
        let experiment = customer.assigned.as_ref().map(arms::experiment_arm);
        let control = customer.assigned.as_ref().map(|assigned| assigned.control.clone());
        let catalogue = Arc::clone(&customer.catalogue);
        let user_id = customer.known.user_id.clone();
        let mut inputs = place.is_some().then(|| customer.known.inputs());
        let (ask, fed) = self.ask_for(customer, policy, wanted);
        let decision = self.pipeline.recommend(&catalogue, &ask)?;
        let debug = wanted.debug.of(&decision);
        let answer = response::recommend(&user_id, &catalogue, &decision);
        let mut response = RecommendResponse { debug, experiment: experiment.clone(), ..answer };
        if wanted.explain.any() {
            let items: Vec<ScoredCandidate> = decision.items.iter().map(OfferedItem::candidate).collect();
            let why = Why::of_items(&catalogue, &ask, fed, &items, wanted.explain.view);
            why.tell(&mut response);
            if let Some(inputs) = &mut inputs {
                record::keep_reasons(inputs, &response);
            }
        }
        let receipt = place
            .zip(inputs)
            .map(|(place, inputs)| place.take(&ask, &catalogue, &decision, Apart { inputs, experiment }));
        if let Some(queue) = &self.shadow
            && let Some(beside) =
                self.traffic.shadow(control.as_ref().unwrap_or(&decision.generation.model_version))
        {
            queue.leave(beside, &catalogue, &ask, &decision);
        }
        Ok(Decided { response, receipt })
    }

    /// What to ask the pipeline for one customer, and what was fed to their tower.
    pub(super) fn ask_for(
        &self,
        customer: AskedCustomer,
        policy: Arc<CompiledPolicy>,
        wanted: &Wanted,
    ) -> (Ask, Option<FedInputs>) {
        let AskedCustomer { known, basis, degradation, fed, .. } = customer;
        let ask = Ask {
            decision_id: Uuid::now_v7(),
            pseudonym: self.pseudonyms.of(&known.user_id),
            customer: known.customer(policy),
            basis,
            may_explore: degradation.is_none(),
            degradation,
            terms: wanted.terms.clone(),
            selection: self.selections.in_force(),
            k: wanted.k,
        };
        (ask, fed)
    }
}

/// In the place of the embeddings that nobody has, since the feature store gave none at all.
///
/// # Errors
/// When it is for the feature store to answer first. Who objects to profiling needs no embedding.
fn of_nobody(
    error: RankingError,
    waiting: Waiting,
    known: &[KnownCustomer],
    policy: &Policy,
) -> Result<Vec<Result<UserEmbedding, NoEmbedding>>> {
    let profiled = known.iter().any(|customer| policy.may_profile(&customer.facts));
    match NoEmbedding::from(error) {
        NoEmbedding::Missing(missing) if waiting == Waiting::Page || !profiled => {
            Ok(known.iter().map(|_| Err(NoEmbedding::Missing(missing.clone()))).collect())
        }
        NoEmbedding::Missing(missing) => Err(missing.into()),
        NoEmbedding::Refused(error) => Err(*error),
    }
}
