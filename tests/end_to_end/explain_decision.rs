//! Why a decision came out as it did, from the log: what was told then, and what stood against what was not offered.

use finrank_contracts::{
    feature::v1::EraseCustomerRequest,
    ranking::v1::{
        ExplainDecisionRequest, ExplainDecisionResponse, ExplanationView, ExplanationWishes, ItemStanding,
        PlaceSource, RecommendRequest, RecommendResponse, ReplayOutcome,
    },
};
use serde_json::Value;
use tonic::{Code, Status};

use crate::{decisions::kept, eligibility, world::World};

/// An answer that is kept, of all products but one.
async fn decided(world: &World, user_id: &str, k: u32, without: &str) -> RecommendResponse {
    let explain = ExplanationWishes { view: ExplanationView::Reasons.into(), purpose: String::new() };
    let request = RecommendRequest {
        user_id: user_id.to_owned(),
        k,
        exclude_product_ids: vec![without.to_owned()],
        explain: Some(explain),
        ..Default::default()
    };
    let answer = world.ranking().await.recommend(request).await.unwrap().into_inner();
    kept(world, &answer.decision_id).await;
    answer
}

async fn explained(
    world: &World,
    decision_id: &str,
    product_id: &str,
) -> Result<ExplainDecisionResponse, Status> {
    let request =
        ExplainDecisionRequest { decision_id: decision_id.to_owned(), product_id: product_id.to_owned() };
    Ok(world.ranking().await.explain_decision(request).await?.into_inner())
}

#[tokio::test]
async fn a_decision_is_explained_in_the_words_in_which_it_was() {
    let world = World::shared().await;
    let answer = decided(world, &world.user_ids[230], 4, "none").await;

    let explained = explained(world, &answer.decision_id, "").await.unwrap();

    assert_eq!((explained.policy, explained.versions), (answer.policy, answer.versions));
    assert_eq!(explained.explanation, answer.explanation);
    assert_eq!(explained.items.len(), answer.items.len());
    for (recorded, told) in explained.items.iter().zip(&answer.items) {
        let score = recorded.score.unwrap();
        assert_eq!((recorded.rank, &recorded.product_id), (told.rank, &told.product_id));
        assert_eq!((score.score, score.retrieval_score), (told.score, told.retrieval_score));
        assert_eq!(recorded.reasons, told.reasons);
    }
    assert!(!explained.inputs_erased && explained.product.is_none());
}

#[tokio::test]
async fn of_a_product_the_record_tells_what_it_holds_and_the_rest_comes_out_again() {
    let world = eligibility::world().await;
    let answer = decided(world, "careful", 1, "none").await;
    let offered = &answer.items[0].product_id;

    let explained = async |product_id: &str| {
        let explained = explained(world, &answer.decision_id, product_id).await.unwrap();
        explained.product.unwrap()
    };
    let first = explained(offered).await;
    let excluded = explained("fund-r5").await;

    let place = first.place.unwrap();
    assert_eq!((PlaceSource::try_from(first.source), place.rank), (Ok(PlaceSource::Record), 1));
    assert_eq!(place.standing(), ItemStanding::Offered);
    assert_eq!(excluded.source(), PlaceSource::MadeAgain);
    let place = excluded.place.unwrap();
    assert_eq!((place.standing(), place.score), (ItemStanding::Excluded, None));
    let against = place.eligibility.unwrap().against;
    assert!(against.iter().any(|finding| finding.rule == "INVESTMENT_RISK"), "{against:?}");
}

#[tokio::test]
async fn what_an_erasure_took_nobody_knows_any_more_and_the_answer_says_so() {
    let world = eligibility::world().await;
    let user_id = &world.user_ids[390];
    let answer = decided(world, user_id, 2, "fund-r1").await;

    let erased = EraseCustomerRequest { user_id: user_id.clone() };
    world.feature_store().await.erase_customer(erased).await.unwrap();
    let erased = explained(world, &answer.decision_id, "fund-r1").await.unwrap();

    assert!(erased.inputs_erased && erased.explanation.is_none() && erased.texts.is_none());
    assert_eq!(erased.items.len(), answer.items.len());
    assert!(erased.items.iter().all(|item| item.reasons.is_empty() && item.score.is_some()));
    let product = erased.product.unwrap();
    assert_eq!((product.source(), product.replay()), (PlaceSource::Unknown, ReplayOutcome::InputErased));
    assert!(product.place.is_none() && product.unknown.contains("erased"), "{}", product.unknown);
}

#[tokio::test]
async fn a_decision_or_a_product_that_never_was_is_not_found() {
    let world = World::shared().await;
    let answer = decided(world, &world.user_ids[231], 1, "none").await;

    let nothing = explained(world, &answer.decision_id, "nothing").await.unwrap_err();
    let never = explained(world, "0198f3c2-7d1e-7c11-9a53-0242ac120002", "").await.unwrap_err();
    let no_id = explained(world, "yesterday's", "").await.unwrap_err();

    assert_eq!((nothing.code(), never.code()), (Code::NotFound, Code::NotFound));
    assert!(nothing.message().contains("nothing"), "{}", nothing.message());
    assert_eq!(no_id.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn the_command_line_explains_a_decision_and_a_product_of_it() {
    let world = eligibility::world().await;
    let answer = decided(world, "careful", 1, "none").await;
    let ask = ["explain", "--decision", &answer.decision_id, "--ranking", &world.ranking_url];

    let all = world.finrank().succeed(&ask);
    let excluded = world.finrank().succeed(&[&ask[..], &["--product", "fund-r5"]].concat());
    let json = world.finrank().succeed(&[&ask[..], &["--product", "fund-r5", "--json"]].concat());
    let neither = world.finrank().fail(&["explain", "--product", "fund-r5"]);

    assert!(all.contains(&answer.items[0].product_id), "{all}");
    assert!(excluded.contains("INVESTMENT_RISK") && excluded.contains("made again"), "{excluded}");
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["product"]["source"], "made again");
    assert_eq!(report["product"]["place"]["standing"], "excluded");
    assert!(neither.contains("--decision") || neither.contains("--user"), "{neither}");
}
