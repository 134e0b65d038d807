//! Answers in the contract's words. Each is made from the catalogue that the request worked on.

use finrank_contracts::ranking::v1;
use finrank_model::{Sha256Digest, UserId};
use finrank_policy::{Outcome, Policy, Proof, ProofInput};
use finrank_serving::wire;

use super::{degradation::degradation, selection};
use crate::{
    Generation,
    catalogue::Catalogue,
    pipeline::{Decision, OfferedItem, RankedBy, RetrievedCandidate, ScoredCandidate},
};

pub(super) fn recommend(
    user_id: &UserId,
    catalogue: &Catalogue,
    decision: &Decision,
) -> v1::RecommendResponse {
    let items = (1..)
        .zip(&decision.items)
        .map(|(rank, item)| recommendation(catalogue, decision, rank, item))
        .collect();
    v1::RecommendResponse {
        user_id: user_id.to_string(),
        items,
        decision_id: decision.decision_id.to_string(),
        versions: Some(versions(&decision.generation, decision.user_generation())),
        eligible_count: count(decision.eligible.count()),
        decided_at: Some(wire::timestamp(decision.decided_at)),
        policy: Some(policy_version(&decision.policy)),
        exclusions: exclusions(decision),
        human_review_count: count(decision.eligible.human_review()),
        ranking_basis: ranking_basis(decision.ranked_by).into(),
        debug: None,
        selection: Some(selection::report(&decision.business)),
        explanation: None,
        degradation: decision.degradation.as_ref().map(degradation),
        experiment: None,
    }
}

/// By what items were ranked.
pub(super) fn ranking_basis(ranked_by: RankedBy) -> v1::RankingBasis {
    match ranked_by {
        RankedBy::Profile(_) => v1::RankingBasis::Profile,
        RankedBy::Popularity => v1::RankingBasis::Popularity,
        RankedBy::Nothing => v1::RankingBasis::Unranked,
    }
}

/// Which policy.
pub(super) fn policy_version(policy: &Policy) -> v1::PolicyVersion {
    v1::PolicyVersion { version: policy.version().to_string(), sha256: policy.digest().to_string() }
}

/// An outcome in the contract's words.
pub(super) fn verdict(outcome: Outcome) -> v1::EligibilityVerdict {
    match outcome {
        Outcome::Eligible => v1::EligibilityVerdict::Eligible,
        Outcome::HumanReview => v1::EligibilityVerdict::HumanReview,
        Outcome::Excluded => v1::EligibilityVerdict::Excluded,
    }
}

/// Why there are fewer than were asked for.
fn exclusions(decision: &Decision) -> Vec<v1::RuleCount> {
    if decision.eligible.count() >= decision.k {
        return Vec::new();
    }
    let against = decision.eligible.exclusions().iter().filter(|(_, products)| *products > 0);
    against.map(|(rule, products)| v1::RuleCount { rule: rule.clone(), products: count(*products) }).collect()
}

fn proof(policy: &Policy, proof: &Proof) -> v1::EligibilityProof {
    let input = |input: &ProofInput| v1::ProofInput {
        name: input.name.clone(),
        dated: input.dated.map(wire::timestamp),
        sha256: bytes(input.sha256),
    };
    v1::EligibilityProof {
        policy: Some(policy_version(policy)),
        verdict: verdict(Outcome::Eligible).into(),
        rules: proof.rules.clone(),
        inputs: proof.inputs.iter().map(input).collect(),
        sha256: bytes(proof.sha256),
    }
}

fn bytes(digest: Sha256Digest) -> Vec<u8> {
    digest.as_bytes().to_vec()
}

pub(super) fn count(products: usize) -> u32 {
    u32::try_from(products).unwrap_or(u32::MAX)
}

fn recommendation(
    catalogue: &Catalogue,
    decision: &Decision,
    rank: u32,
    item: &OfferedItem,
) -> v1::Recommendation {
    let candidate = item.candidate();
    let product = catalogue.product(candidate.row);
    v1::Recommendation {
        rank,
        product_id: product.product_id.to_string(),
        name: product.name.clone(),
        product_class: wire::product_class_to_wire(product.product_class).into(),
        score: candidate.score.get().into(),
        retrieval_score: candidate.retrieval_score.into(),
        proof: Some(proof(&decision.policy, item.proof())),
        boosted_by: item.placing().boosted_by,
        propensity: item.placing().propensity,
        reasons: Vec::new(),
        attributions: None,
    }
}

pub(super) fn retrieve(
    catalogue: &Catalogue,
    user_generation: i64,
    candidates: &[RetrievedCandidate],
) -> v1::RetrieveResponse {
    let candidate = |candidate: &RetrievedCandidate| {
        let product = catalogue.product(candidate.row);
        v1::Candidate {
            product_id: product.product_id.to_string(),
            name: product.name.clone(),
            product_class: wire::product_class_to_wire(product.product_class).into(),
            retrieval_score: candidate.retrieval_score.into(),
        }
    };
    v1::RetrieveResponse {
        candidates: candidates.iter().map(candidate).collect(),
        versions: Some(versions(catalogue.generation(), user_generation)),
    }
}

pub(super) fn score(
    catalogue: &Catalogue,
    user_generation: i64,
    scored: &[ScoredCandidate],
) -> v1::ScoreResponse {
    let score = |candidate: &ScoredCandidate| v1::ProductScore {
        product_id: catalogue.product(candidate.row).product_id.to_string(),
        score: candidate.score.get().into(),
        retrieval_score: candidate.retrieval_score.into(),
    };
    v1::ScoreResponse {
        scores: scored.iter().map(score).collect(),
        versions: Some(versions(catalogue.generation(), user_generation)),
    }
}

pub(super) fn similar(catalogue: &Catalogue, similar: &[RetrievedCandidate]) -> v1::SimilarProductsResponse {
    let product = |candidate: &RetrievedCandidate| {
        let product = catalogue.product(candidate.row);
        v1::SimilarProduct {
            product_id: product.product_id.to_string(),
            name: product.name.clone(),
            product_class: wire::product_class_to_wire(product.product_class).into(),
            // Rounding may carry a cosine a little past 1.
            similarity: f64::from(candidate.retrieval_score).clamp(-1.0, 1.0),
        }
    };
    v1::SimilarProductsResponse {
        products: similar.iter().map(product).collect(),
        versions: Some(versions(catalogue.generation(), 0)),
    }
}

pub(super) fn versions(generation: &Generation, user_generation: i64) -> v1::ServedVersions {
    v1::ServedVersions {
        model_version: generation.model_version.to_string(),
        embedding_space: generation.embedding_space.to_string(),
        index_generation: generation.run_id,
        user_generation,
    }
}
