//! The server around the rooms: bound first, healthy once Postgres answers with its schema up to date, and
//! ended in order.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use finrank_contracts::{
    feast::{
        server::grpc_feature_server_server::GrpcFeatureServerServer,
        serving::serving_service_server::ServingServiceServer,
    },
    feature::v1::feature_store_service_server::FeatureStoreServiceServer,
    model::v1::model_registry_service_server::ModelRegistryServiceServer,
};
use finrank_serving::{Health, Pseudonyms, Server};
use finrank_store::Store;
use tokio::{
    sync::{oneshot, watch},
    time,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    FeatureStoreConfig, FeatureStoreError, Result,
    cache::HotCache,
    feast::Feast,
    features::{Horizon, Registry, reload_on_hangup},
    ingest::carry_over_for_the_killed,
    live::LiveEmbeddings,
    people::Exports,
    refresh::Refresher,
    served::Keeper,
    service::{FeatureStoreService, ModelRegistryService},
    tower_inputs::KnownTowers,
    watch::{Watcher, listen},
};

/// How often Postgres is asked whether it answers.
const HEALTH_INTERVAL: Duration = Duration::from_secs(2);
/// How long it may take. A machine that has gone without a word leaves connections on which nothing ever comes.
const HEALTH_LIMIT: Duration = Duration::from_secs(5);
/// How much longer than a request a statement of it may take in Postgres. Nobody waits for it then, and its connection
/// is free again only when it has ended.
const STATEMENT_GRACE: Duration = Duration::from_secs(1);

/// Serves until `shutdown` is cancelled: then streams end, a refresh ends after the partition it is at, and
/// calls in flight are waited for. Says on `bound` where it listens, as soon as it does.
///
/// Health is NOT_SERVING until the schema is up to date, and whenever Postgres does not answer.
///
/// # Errors
/// When the address is taken, or the schema cannot be brought up to date.
pub async fn serve(
    config: FeatureStoreConfig,
    store: Store,
    shutdown: CancellationToken,
    bound: oneshot::Sender<SocketAddr>,
) -> Result<()> {
    // Cancelled also when this function ends by an error.
    let stop = shutdown.child_token();
    let _ends_everything = stop.clone().drop_guard();

    let limits = config.server.clone();
    let background = store.in_background()?;
    let store = store.limited(limits.request_timeout + STATEMENT_GRACE)?;
    let registry = Registry::load(store.clone(), &config.features)?;
    let cache = HotCache::new(config.cache);
    let horizon = Horizon::new(store.clone(), cache.clone());
    let models_dir: Arc<Path> = config.models_dir.into();
    let refresher = Refresher::new(
        background.clone(),
        horizon.clone(),
        registry.clone(),
        models_dir.clone(),
        config.refresh,
        stop.clone(),
    );
    let (sampler, keeper) = Keeper::new(background.clone(), config.features.sample);
    // A policy that cannot be read keeps a server from starting, not a promotion from being decided.
    config.promotion.load()?;
    let registry_service = ModelRegistryService {
        store: store.clone(),
        horizon: horizon.clone(),
        models_dir: models_dir.clone(),
        promotion: config.promotion,
    };
    let live =
        LiveEmbeddings::new(background.clone(), horizon.clone(), registry.clone(), models_dir, config.live);
    let (heard, announcements) = watch::channel(());
    let service = Arc::new(FeatureStoreService {
        store: store.clone(),
        background: background.clone(),
        refresher: refresher.clone(),
        exports: Exports::default(),
        watcher: Watcher::new(background.clone(), horizon.clone(), config.watch, announcements, stop.clone()),
        registry: registry.clone(),
        horizon: horizon.clone(),
        cache,
        towers: KnownTowers::default(),
        sampler,
        pseudonyms: Pseudonyms::load(config.server.pseudonym_key.as_deref())?,
        stream_idle_limit: config.stream_idle_limit,
        stop: stop.clone(),
    });
    let feast = Arc::new(Feast::new(service.clone(), config.feast)?);
    let bytes = limits.max_message_bytes;
    let service = FeatureStoreServiceServer::from_arc(service)
        .max_decoding_message_size(bytes)
        .max_encoding_message_size(bytes);
    let feast_reads = ServingServiceServer::from_arc(feast.clone())
        .max_decoding_message_size(bytes)
        .max_encoding_message_size(bytes);
    let feast_writes = GrpcFeatureServerServer::from_arc(feast)
        .max_decoding_message_size(bytes)
        .max_encoding_message_size(bytes);
    let models = ModelRegistryServiceServer::new(registry_service)
        .max_decoding_message_size(bytes)
        .max_encoding_message_size(bytes);
    let server = Server::bind(config.server).await?;
    let server =
        server.with(service).await.with(models).await.with(feast_reads).await.with(feast_writes).await;
    let health = server.health();
    // Whoever asked may not care any more.
    let _ = bound.send(server.address());

    tokio::select! {
        served = server.serve(stop.clone()) => served?,
        failed = prepare_and_watch_health(&store, &background, &registry, &health, &stop) => return Err(failed),
        () = listen(&store, &heard) => {}
        () = horizon.follow() => {}
        () = keeper.follow() => {}
        () = reload_on_hangup(&registry) => {}
        () = live.follow() => {}
        never = carry_over_for_the_killed(&background, &horizon) => never,
    }
    if time::timeout(limits.drain_timeout, refresher.stopped()).await.is_err() {
        warn!("a refresh has not ended its partition in time");
    }
    Ok(())
}

/// Brings the schema up to date and the feature definitions into force, then says for as long as the server serves
/// whether Postgres answers those who wait. Ends only with an error that waiting does not mend.
async fn prepare_and_watch_health(
    store: &Store,
    background: &Store,
    registry: &Registry,
    health: &Health,
    stop: &CancellationToken,
) -> FeatureStoreError {
    let healthy = async {
        while let Err(error) = prepare(background, registry).await {
            if !error.is_out_of_reach() {
                return error;
            }
            warn!(%error, "waiting for Postgres");
            time::sleep(HEALTH_INTERVAL).await;
        }
        watch_health(store, health).await
    };
    match stop.run_until_cancelled(healthy).await {
        Some(error) => error,
        // Draining has said NOT_SERVING, and this must not say otherwise.
        None => std::future::pending().await,
    }
}

async fn prepare(store: &Store, registry: &Registry) -> Result<()> {
    store.migrate().await?;
    registry.in_force().await?;
    Ok(())
}

async fn watch_health(store: &Store, health: &Health) -> ! {
    let mut answered = None;
    loop {
        let question = store.ask(|pool| async move { sqlx::query("select").execute(&pool).await });
        let answers = matches!(time::timeout(HEALTH_LIMIT, question).await, Ok(Ok(_)));
        if answered != Some(answers) {
            answered = Some(answers);
            if answers {
                info!("Postgres answers");
                health.serving().await;
            } else {
                warn!("Postgres does not answer");
                health.not_serving().await;
            }
        }
        time::sleep(HEALTH_INTERVAL).await;
    }
}
