//! The server: the service and the subscription that feeds it, started and stopped together.

use std::{net::SocketAddr, sync::Arc};

use finrank_contracts::ranking::v1::ranking_service_server::RankingServiceServer;
use finrank_decisions::{
    Mode,
    checkpoint::CheckpointKey,
    contents::Contents,
    writer::{DecisionLog, Writing},
};
use finrank_serving::{Pseudonyms, Server, secret};
use finrank_store::Store;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    RankingConfig, RankingError, Result,
    catalogue::CurrentCatalogue,
    feature_store::FeatureStore,
    in_force::reload_on_hangup,
    pipeline::Pipeline,
    policies::Policies,
    selections::Selections,
    service::{Ladder, Log, RankingService},
    shadow::ShadowQueue,
    subscription::Subscription,
    traffic::{Traffic, TrafficFollower},
};

/// Serves until `shutdown` is cancelled and calls in flight have ended, and then until every decision is written. Decisions
/// are kept in `store`, if there is one and the settings do not say otherwise. The address listened on goes to `bound`
/// as soon as there is one; health says SERVING as soon as there is a catalogue.
///
/// # Errors
/// When the policy, the selection or the reason table does not hold together, the address is taken, the feature store's URL is malformed,
/// or the transport fails. A feature store that is not there is no error: it is waited for.
pub async fn serve(
    config: RankingConfig,
    store: Option<Store>,
    shutdown: CancellationToken,
    bound: oneshot::Sender<SocketAddr>,
) -> Result<()> {
    let (log, writing) = match store.filter(|_| config.decision_log.mode != Mode::Off) {
        Some(store) => {
            let (log, writing) = keep_decisions(&config, store)?;
            (Some(log), Some(writing))
        }
        None => (None, None),
    };
    let current = Arc::new(CurrentCatalogue::default());
    let traffic = Arc::new(Traffic::default());
    let feature_store = FeatureStore::at(&config.feature_store)?;
    let contents = log.as_ref().map(|log| log.contents.clone());
    let policies = Arc::new(Policies::load(&config.policy)?.kept_in(contents.clone()));
    let selections = Arc::new(Selections::load(&config.selection)?.kept_in(contents.clone()));
    let reasons = Arc::new(config.explanations.load().map_err(RankingError::Reasons)?);
    let shadow = log.as_ref().map(|log| {
        let candidates = config.retrieval.candidates.get();
        let (store, policies) = (log.store.clone(), Arc::clone(&policies));
        ShadowQueue::new(&config.traffic, feature_store.clone(), policies, candidates, store)
    });
    let (shadow, shadow_ranking) = shadow.unzip();
    let max_message_bytes = config.server.max_message_bytes;
    let service = RankingServiceServer::new(RankingService {
        current: Arc::clone(&current),
        traffic: Arc::clone(&traffic),
        shadow,
        policies: Arc::clone(&policies),
        selections: Arc::clone(&selections),
        popularity: Arc::default(),
        ladder: Arc::new(Ladder::new(config.degradation)),
        feature_store: feature_store.clone(),
        pseudonyms: Pseudonyms::load(config.server.pseudonym_key.as_deref())?,
        pipeline: Arc::new(Pipeline::new(config.retrieval.candidates.get())),
        batches: Arc::new(Semaphore::new(1)),
        log,
        explanation_purpose: config.explanations.purpose.into(),
        reasons: Arc::clone(&reasons),
    })
    .max_decoding_message_size(max_message_bytes)
    .max_encoding_message_size(max_message_bytes);
    let server = Server::bind(config.server).await?.with(service).await;
    // Whoever asked may no longer want to know.
    let _ = bound.send(server.address());

    let subscription = Subscription {
        version: None,
        feature_store,
        models_dir: config.models_dir,
        config: config.subscription,
        index: config.retrieval.index_settings(),
        current,
        contents,
        policies: Arc::clone(&policies),
        selections: Arc::clone(&selections),
        reasons,
        health: Some(server.health()),
    };
    let traffic = TrafficFollower { traffic, subscription: subscription.clone(), config: config.traffic };
    let stop = shutdown.child_token();
    let hangups = stop.clone().run_until_cancelled_owned(async move {
        tokio::join!(reload_on_hangup(|| policies.reload()), reload_on_hangup(|| selections.reload(|_| {})),);
    });
    let listening = tokio::spawn(hangups);
    if let Some(ranking) = shadow_ranking {
        // What still waits when the server ends is lost.
        tokio::spawn(stop.clone().run_until_cancelled_owned(ranking.run()));
    }
    let following = tokio::spawn(follow(subscription, traffic, stop.clone()));
    let stop_following = stop.clone().drop_guard();
    let served = server.serve(stop).await;
    drop(stop_following);
    let (following, listening) = (following.await, listening.await);
    // Whatever else failed: what was decided is written.
    if let Some(writing) = writing {
        writing.finish().await;
    }
    following?;
    listening?;
    Ok(served?)
}

fn keep_decisions(ranking: &RankingConfig, store: Store) -> Result<(Log, Writing)> {
    let config = &ranking.decision_log;
    let secret = secret::load("ranking.decision_log.signing_key", config.signing_key.as_deref())?;
    let key = CheckpointKey::new(&secret);
    let mut trusted = config.trusted_keys.clone();
    trusted.push(key.public());
    let (writer, writing) = DecisionLog::start(store.clone(), config, key);
    let log = Log {
        writer,
        contents: Contents::new(store.clone()),
        store,
        trusted,
        models_dir: ranking.models_dir.clone(),
        replaying: Arc::new(Semaphore::new(1)),
        verifying: Arc::new(Semaphore::new(1)),
        candidates: config.candidates,
    };
    Ok((log, writing))
}

/// Follows until `stop` is cancelled, and cancels it if following ends in any other way: a server whose
/// catalogue nobody keeps up to date had better end. What is tried is known before there is a catalogue, so that no
/// customer is answered outside their arm after a restart.
async fn follow(subscription: Subscription, traffic: TrafficFollower, stop: CancellationToken) {
    let _ends_with_this = stop.clone().drop_guard();
    let following = async move {
        traffic.until_known().await;
        tokio::join!(subscription.follow(), traffic.follow())
    };
    stop.run_until_cancelled(following).await;
}

#[cfg(test)]
mod tests {
    use finrank_contracts::ranking::v1::{RecommendRequest, ranking_service_client::RankingServiceClient};
    use finrank_serving::{ServerConfig, ServingError};
    use tokio::{net::TcpListener, task::JoinHandle};
    use tonic::Code;

    use super::*;
    use crate::RankingError;

    fn on(listen: &str) -> RankingConfig {
        RankingConfig {
            feature_store: "http://127.0.0.1:1".to_owned(),
            server: ServerConfig { listen: listen.parse().unwrap(), ..ServerConfig::default() },
            ..RankingConfig::default()
        }
    }

    async fn started(
        config: RankingConfig,
        shutdown: &CancellationToken,
    ) -> (SocketAddr, JoinHandle<Result<()>>) {
        let (bound, address) = oneshot::channel();
        let server = tokio::spawn(serve(config, None, shutdown.clone(), bound));
        (address.await.unwrap(), server)
    }

    #[tokio::test]
    async fn answers_that_there_is_no_catalogue_while_it_waits_for_a_feature_store_and_ends_when_told() {
        let shutdown = CancellationToken::new();
        let (address, server) = started(on("127.0.0.1:0"), &shutdown).await;
        let mut ranking = RankingServiceClient::connect(format!("http://{address}")).await.unwrap();

        let request = RecommendRequest { user_id: "u".to_owned(), k: 1, ..Default::default() };
        let refusal = ranking.recommend(request).await.unwrap_err();
        drop(ranking);
        shutdown.cancel();

        assert_eq!(refusal.code(), Code::Unavailable, "{refusal:?}");
        server.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_taken_port_and_a_malformed_url_are_said_before_it_serves() {
        let holder = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let taken = holder.local_addr().unwrap();
        let malformed = RankingConfig { feature_store: "not a url".to_owned(), ..on("127.0.0.1:0") };

        let on_taken =
            serve(on(&taken.to_string()), None, CancellationToken::new(), oneshot::channel().0).await;
        let on_malformed = serve(malformed, None, CancellationToken::new(), oneshot::channel().0).await;

        assert!(
            matches!(on_taken, Err(RankingError::Serving(ServingError::AddressInUse(address))) if address == taken)
        );
        assert!(matches!(on_malformed, Err(RankingError::FeatureStoreUrl(url)) if url == "not a url"));
    }
}
