//! Answers in the contract's words. Each is made from the catalogue that the request worked on.

use finrank_contracts::ranking::v1;
use finrank_model::UserId;
use finrank_serving::wire;

use crate::{
    Generation,
    catalogue::Catalogue,
    pipeline::{Decision, RetrievedCandidate, ScoredCandidate},
};

pub(super) fn recommend(
    user_id: &UserId,
    catalogue: &Catalogue,
    decision: &Decision,
) -> v1::RecommendResponse {
    let items =
        (1..).zip(&decision.items).map(|(rank, item)| recommendation(catalogue, rank, item)).collect();
    v1::RecommendResponse {
        user_id: user_id.to_string(),
        items,
        decision_id: decision.decision_id.to_string(),
        versions: Some(versions(&decision.generation, decision.user_generation)),
        eligible_count: u32::try_from(decision.eligible).unwrap_or(u32::MAX),
        decided_at: Some(wire::timestamp(decision.decided_at)),
    }
}

fn recommendation(catalogue: &Catalogue, rank: u32, item: &ScoredCandidate) -> v1::Recommendation {
    let product = catalogue.product(item.row);
    v1::Recommendation {
        rank,
        product_id: product.product_id.to_string(),
        name: product.name.clone(),
        product_class: wire::product_class_to_wire(product.product_class).into(),
        score: item.score.get().into(),
        retrieval_score: item.retrieval_score.into(),
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

fn versions(generation: &Generation, user_generation: i64) -> v1::ServedVersions {
    v1::ServedVersions {
        model_version: generation.model_version.to_string(),
        embedding_space: generation.embedding_space.to_string(),
        index_generation: generation.run_id,
        user_generation,
    }
}
