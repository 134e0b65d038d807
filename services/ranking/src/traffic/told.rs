//! What the model registry says is tried, in our types.

use finrank_contracts::model::v1;
use finrank_model::{Experiment, ExperimentName, InvalidField, ModelVersion, Share};

/// What is in force beside a version that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InForce {
    pub(super) control: ModelVersion,
    pub(super) experiment: Option<Experiment>,
    pub(super) shadow: Option<ModelVersion>,
}

/// What is in force; `None` if nothing is.
///
/// # Errors
/// When the answer breaks the contract.
pub(super) fn in_force(told: v1::GetTrafficResponse) -> Result<Option<InForce>, InvalidField> {
    let Some(traffic) = told.traffic.filter(|traffic| traffic.ended_by_promotion_id.is_none()) else {
        return Ok(None);
    };
    let experiment = |told: v1::Experiment| {
        Ok::<_, InvalidField>(Experiment {
            name: ExperimentName::parse(told.name)?,
            treatment: ModelVersion::parse(told.treatment_version)?,
            share: Share::of_ten_thousand(told.share_of_ten_thousand)?,
        })
    };
    let shadow = match traffic.shadow_version.as_str() {
        "" => None,
        version => Some(ModelVersion::parse(version)?),
    };
    Ok(Some(InForce {
        shadow,
        control: ModelVersion::parse(traffic.control_version)?,
        experiment: traffic.experiment.map(experiment).transpose()?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(ended_by_promotion_id: Option<i64>, share_of_ten_thousand: u32) -> v1::GetTrafficResponse {
        let experiment =
            v1::Experiment { name: "spring".into(), treatment_version: "m2".into(), share_of_ten_thousand };
        let traffic = v1::Traffic {
            control_version: "m1".into(),
            experiment: Some(experiment),
            ended_by_promotion_id,
            ..Default::default()
        };
        v1::GetTrafficResponse { traffic: Some(traffic), serving_version: "m1".into() }
    }

    #[test]
    fn what_a_promotion_has_ended_is_not_in_force() {
        let experiment = in_force(told(None, 1000)).unwrap().unwrap().experiment.unwrap();

        assert_eq!(experiment.share, Share::of_ten_thousand(1000).unwrap());
        assert_eq!(in_force(told(Some(2), 1000)), Ok(None));
        assert_eq!(in_force(v1::GetTrafficResponse::default()), Ok(None));
    }

    #[test]
    fn a_share_that_is_none_is_no_experiment() {
        assert_eq!(in_force(told(None, 0)).unwrap_err().field, "share");
    }
}
