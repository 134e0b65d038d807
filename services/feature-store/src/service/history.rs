//! GetHistoricalFeatures: a training set, joined message by message, so that any number of rows needs the memory of one
//! message, and is read no faster than its client takes it.

use std::{pin::Pin, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use finrank_contracts::feature::v1::{
    self, get_historical_features_request::Step as Asks, get_historical_features_response::Step as Tells,
};
use finrank_model::InvalidField;
use finrank_serving::{status, wire};
use finrank_store::{
    Store,
    features::{Asked, FeaturePlan},
};
use futures::{Stream, StreamExt as _, stream};
use tokio::time::timeout;
use tonic::{Status, Streaming};

use super::{
    FeatureStoreService, feature_wire,
    features::{self, check_id, check_values, not_after, now, plan, selection},
    stopping::until_stopped,
};
use crate::{Result, features::Declared};

/// The most entities of one message.
const MAX_ENTITIES: usize = 1000;

/// The header, then rows.
pub(crate) type Rows = Pin<Box<dyn Stream<Item = Result<v1::GetHistoricalFeaturesResponse, Status>> + Send>>;

/// A training set in the making.
struct History {
    requests: Streaming<v1::GetHistoricalFeaturesRequest>,
    store: Store,
    declared: Arc<Declared>,
    plan: Arc<FeaturePlan>,
    /// What every row sees; absent if each sees what was known at its own moment.
    known_at: Option<DateTime<Utc>>,
    /// The end of what can be asked for.
    horizon: DateTime<Utc>,
    idle_limit: Duration,
}

/// Reads the start, and answers what follows.
pub(super) async fn join(
    service: &FeatureStoreService,
    mut requests: Streaming<v1::GetHistoricalFeaturesRequest>,
) -> Result<Rows, Status> {
    let idle_limit = service.stream_idle_limit;
    let first = next(&mut requests, idle_limit).await?;
    let Some(Asks::Start(start)) = first else {
        return Err(status::invalid_field(&InvalidField::new("start", "is not what the stream begins with")));
    };
    let (declared, horizon) = now(service).await?;
    let known_at = start.known_at.map(|moment| wire::moment("start.known_at", Some(moment))).transpose();
    let known_at = known_at.map_err(|invalid| status::invalid_field(&invalid))?;
    if let Some(moment) = known_at {
        let horizon = features::horizon(service, moment).await?;
        not_after("start.known_at", moment, horizon).map_err(|invalid| status::invalid_field(&invalid))?;
    }
    let plan = selection(start.selection.as_ref()).and_then(|selection| plan(&declared, selection));
    let plan = plan.map_err(|invalid| {
        status::invalid_field(&InvalidField::new(format!("start.{}", invalid.field), invalid.reason))
    })?;
    let history = History {
        requests,
        store: service.background.clone(),
        declared,
        plan,
        known_at,
        horizon,
        idle_limit,
    };
    let header = Ok(history.header());
    let rows = stream::try_unfold(history, |mut history| async {
        let rows = history.next_rows().await?;
        Ok(rows.map(|rows| (rows, history)))
    });
    let stop = service.stop.clone();
    Ok(Box::pin(until_stopped(stream::iter([header]).chain(rows), stop)))
}

impl History {
    fn header(&self) -> v1::GetHistoricalFeaturesResponse {
        let known_at = self.known_at.unwrap_or(self.horizon);
        let header = feature_wire::header(&self.plan, &self.declared.definitions, known_at);
        let header = v1::FeatureHeader { types: feature_wire::types(&self.plan), ..header };
        v1::GetHistoricalFeaturesResponse { step: Some(Tells::Header(header)) }
    }

    /// The rows of the next message; nothing when the client has said all.
    async fn next_rows(&mut self) -> Result<Option<v1::GetHistoricalFeaturesResponse>, Status> {
        let entities = match next(&mut self.requests, self.idle_limit).await? {
            Some(Asks::Entities(entities)) => entities.entities,
            Some(Asks::Start(_)) => {
                return Err(status::invalid_field(&InvalidField::new("start", "came a second time")));
            }
            None => return Ok(None),
        };
        let asked = self.parse(entities).map_err(|invalid| status::invalid_field(&invalid))?;
        let values = self.plan.read(&self.store, &asked).await.map_err(crate::FeatureStoreError::from)?;
        let rows = v1::FeatureRows { rows: feature_wire::rows(asked, &values) };
        Ok(Some(v1::GetHistoricalFeaturesResponse { step: Some(Tells::Rows(rows)) }))
    }

    fn parse(&self, entities: Vec<v1::EntityMoment>) -> Result<Vec<Asked>, InvalidField> {
        if !(1..=MAX_ENTITIES).contains(&entities.len()) {
            let reason = format!("has {} entries, 1 to {MAX_ENTITIES} are allowed", entities.len());
            return Err(InvalidField::new("entities.entities", reason));
        }
        check_values("entities.entities", entities.len(), &self.plan)?;
        let parse = |(place, entity): (usize, v1::EntityMoment)| {
            let field = |name: &str| format!("entities.entities[{place}].{name}");
            let as_of = wire::moment(&field("as_of"), entity.as_of)?;
            not_after(&field("as_of"), as_of, self.horizon)?;
            let id = check_id(self.plan.entity(), &entity.entity_id)
                .map_err(|invalid| InvalidField::new(field("entity_id"), invalid.reason))?;
            Ok(Asked { id, as_of, known_at: self.known_at.unwrap_or(as_of) })
        };
        entities.into_iter().enumerate().map(parse).collect()
    }
}

/// The next step; nothing at the end of the stream.
async fn next(
    requests: &mut Streaming<v1::GetHistoricalFeaturesRequest>,
    idle_limit: Duration,
) -> Result<Option<Asks>, Status> {
    let message = timeout(idle_limit, requests.message()).await.map_err(|_| status::idle(idle_limit))??;
    match message {
        None => Ok(None),
        Some(message) => {
            let missing = || status::invalid_field(&InvalidField::new("step", "is missing"));
            message.step.map(Some).ok_or_else(missing)
        }
    }
}
