//! Recommendations for many, against those for one.

use finrank_contracts::ranking::v1::{
    BatchRecommendRequest, CustomerRefusal, RecommendRequest, RecommendResponse,
    batch_recommend_response::Outcome,
};
use tokio_stream::StreamExt;

use crate::world::World;

fn wanted() -> RecommendRequest {
    RecommendRequest { k: 5, ..Default::default() }
}

async fn batch(world: &World, messages: Vec<Vec<String>>) -> Vec<Result<RecommendResponse, CustomerRefusal>> {
    let messages =
        messages.into_iter().map(|user_ids| BatchRecommendRequest { user_ids, request: Some(wanted()) });
    let answers = world.ranking().await.batch_recommend(tokio_stream::iter(messages)).await.unwrap();
    let outcome = |answer: Result<_, _>| match answer {
        Ok(finrank_contracts::ranking::v1::BatchRecommendResponse { outcome: Some(outcome) }) => {
            match outcome {
                Outcome::Recommendation(recommendation) => Ok(recommendation),
                Outcome::Refusal(refusal) => Err(refusal),
            }
        }
        other => panic!("{other:?}"),
    };
    answers.into_inner().map(outcome).collect().await
}

/// What does not depend on the moment.
fn lasting(answer: &RecommendResponse) -> (&str, u32, Vec<(&str, f64)>) {
    let items = answer.items.iter().map(|item| (item.product_id.as_str(), item.score));
    (&answer.user_id, answer.eligible_count, items.collect())
}

#[tokio::test]
async fn a_batch_answers_everybody_in_the_order_asked_as_recommend_does_one_by_one() {
    let world = World::shared().await;
    // More than a thread decides for at a time, and the first customer twice.
    let mut messages: Vec<Vec<String>> = world.user_ids[..120].chunks(70).map(<[String]>::to_vec).collect();
    messages.push(vec![world.user_ids[0].clone()]);

    let answers = batch(world, messages.clone()).await;

    let mut ranking = world.ranking().await;
    let asked: Vec<String> = messages.concat();
    assert_eq!(answers.len(), asked.len());
    let mut offered = 0;
    for (user_id, answer) in asked.into_iter().zip(&answers) {
        let alone = ranking.recommend(RecommendRequest { user_id, ..wanted() }).await.unwrap().into_inner();
        let answer = answer.as_ref().unwrap();
        assert_eq!(lasting(answer), lasting(&alone));
        assert!(answer.items.iter().all(|item| item.proof.is_some()));
        offered += answer.items.len();
    }
    assert!(offered > 300, "{offered}");
}

#[tokio::test]
async fn who_is_not_known_is_refused_in_place_and_the_others_are_answered() {
    let world = World::shared().await;
    let [first, last] = [0, 1].map(|place| world.user_ids[place].clone());

    let answers = batch(world, vec![vec![first.clone(), "nobody".to_owned(), last.clone()]]).await;

    assert_eq!(answers.len(), 3);
    assert_eq!(answers[0].as_ref().unwrap().user_id, first);
    let refusal = answers[1].as_ref().unwrap_err();
    assert_eq!(
        (refusal.user_id.as_str(), refusal.code, refusal.reason.as_str()),
        ("nobody", 5, "USER_NOT_FOUND")
    );
    assert_eq!(answers[2].as_ref().unwrap().user_id, last);
}
