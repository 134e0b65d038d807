//! Traffic, in the registry's contract: which version answers a share of customers, and which one is scored in the shadow.

use finrank_contracts::model::v1;
use finrank_model::{Experiment, ExperimentName, InvalidField, ModelVersion, Share};
use finrank_serving::wire;
use finrank_store::models::{self, Traffic, TrafficRequest};

use super::models::ModelRegistryService;
use crate::Result;

impl ModelRegistryService {
    pub(super) async fn divide(&self, request: v1::SetTrafficRequest) -> Result<v1::Traffic> {
        let experiment = request.experiment.map(experiment).transpose()?;
        let shadow = match request.shadow_version.as_str() {
            "" => None,
            version => Some(ModelVersion::parse(version).map_err(|invalid| of("shadow_version", invalid))?),
        };
        let treatment = experiment.as_ref().map(|experiment| &experiment.treatment);
        for version in [treatment, shadow.as_ref()].into_iter().flatten() {
            self.prove(&self.registered(version.as_str()).await?).await?;
        }
        let wanted = TrafficRequest {
            experiment: experiment.as_ref(),
            shadow: shadow.as_ref(),
            policy: self.promotion.load()?.digest,
            set_by: &request.set_by,
            reason: &request.reason,
        };
        Ok(told(models::set_traffic(&self.store, &wanted).await?))
    }

    pub(super) async fn traffic(&self) -> Result<v1::GetTrafficResponse> {
        Ok(v1::GetTrafficResponse {
            traffic: models::traffic(&self.store).await?.map(told),
            serving_version: models::serving(&self.store).await?.map(String::from).unwrap_or_default(),
        })
    }
}

fn experiment(asked: v1::Experiment) -> Result<Experiment, InvalidField> {
    let v1::Experiment { name, treatment_version, share_of_ten_thousand } = asked;
    let share = Share::of_ten_thousand(share_of_ten_thousand);
    Ok(Experiment {
        name: ExperimentName::parse(name).map_err(|invalid| of("experiment.name", invalid))?,
        treatment: ModelVersion::parse(treatment_version)
            .map_err(|invalid| of("experiment.treatment_version", invalid))?,
        share: share.map_err(|invalid| of("experiment.share_of_ten_thousand", invalid))?,
    })
}

/// The fault of a field by its path in the request.
fn of(path: &str, invalid: InvalidField) -> InvalidField {
    InvalidField::new(path, invalid.reason)
}

fn told(traffic: Traffic) -> v1::Traffic {
    let experiment = traffic.experiment.map(|experiment| v1::Experiment {
        name: experiment.name.into(),
        treatment_version: experiment.treatment.into(),
        share_of_ten_thousand: experiment.share.ten_thousandths().into(),
    });
    v1::Traffic {
        traffic_id: traffic.traffic_id,
        control_version: traffic.control.into(),
        experiment,
        shadow_version: traffic.shadow.map(String::from).unwrap_or_default(),
        check_id: traffic.check_id,
        waiver_ids: traffic.waiver_ids,
        set_by: traffic.set_by,
        reason: traffic.reason,
        set_at: Some(wire::timestamp(traffic.set_at)),
        ended_by_promotion_id: traffic.ended_by_promotion,
    }
}
