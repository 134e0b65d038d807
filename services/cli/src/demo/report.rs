//! What the demo prints of recommendations, and how to go on from there.

use std::env;

use anyhow::Context;
use finrank_contracts::{
    feature::v1::{BatchGetHoldingsRequest, feature_store_service_client::FeatureStoreServiceClient},
    ranking::v1::{RecommendRequest, ranking_service_client::RankingServiceClient},
};

use super::SHOWN;
use crate::{client, commands::recommend::Answer, settings::Settings};

/// What a customer holds and what is recommended.
pub(super) async fn recommendation(
    feature_store_url: &str,
    ranking_url: &str,
    user_id: &str,
) -> anyhow::Result<String> {
    let mut store =
        FeatureStoreServiceClient::new(client::connect(feature_store_url, "feature-store").await?);
    let request = BatchGetHoldingsRequest { user_ids: vec![user_id.to_owned()] };
    let held = store.batch_get_holdings(request).await.map_err(|status| client::refusal(&status))?;
    let held = held.into_inner().results.pop().context("the feature store left a customer out")?;

    let mut ranking = RankingServiceClient::new(client::connect(ranking_url, "ranking").await?);
    let request = RecommendRequest { user_id: user_id.to_owned(), k: 5, ..Default::default() };
    let answer = ranking.recommend(request).await.map_err(|status| client::refusal(&status))?;
    let answer = Answer::from(answer.into_inner());
    Ok(format!("holds {}\n{answer}", held.product_ids.join(", ")))
}

/// The next things to try, ready to be pasted, and how to stop.
pub(super) fn how_to_go_on(settings: &Settings) -> anyhow::Result<()> {
    let address = |url: String| url.trim_start_matches("http://").to_owned();
    let store = address(settings.feature_store_url());
    let ranking = address(settings.ranking_url());
    let user_id = SHOWN[0];
    let finrank = env::current_exe()?;
    let finrank = finrank.display();
    let grpcurl = grpcurl(settings);
    println!(
        r#"Both servers are left running. Try:

  {grpcurl} -plaintext {ranking} list
  {grpcurl} -plaintext -d '{{"user_id": "{user_id}", "k": 5}}' \
      {ranking} finrank.ranking.v1.RankingService/Recommend
  {grpcurl} -plaintext -d '{{"entity": "ENTITY_KIND_USER", "ids": ["{user_id}"]}}' \
      {store} finrank.feature.v1.FeatureStoreService/BatchGetEmbeddings
  {finrank} recommend {user_id} -k 3 --json

Stop everything:

  scripts/demo --stop"#
    );
    Ok(())
}

/// The grpcurl that scripts/setup unpacks, or else whichever is on PATH.
fn grpcurl(settings: &Settings) -> String {
    let unpacked = settings.state_dir.join("tools/grpcurl");
    if unpacked.is_file() { unpacked.display().to_string() } else { "grpcurl".to_owned() }
}
