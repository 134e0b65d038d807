//! Our rows as Feast's columns: the ids as they were asked for, then a column for each feature.

use std::collections::BTreeSet;

use finrank_contracts::{
    feast::{
        serving::{
            FeatureList, FeatureViewMetadata, FieldStatus, GetOnlineFeaturesResponse,
            GetOnlineFeaturesResponseMetadata, get_online_features_response::FeatureVector,
        },
        types,
    },
    feature::v1,
};
use finrank_model::InvalidField;
use prost_types::Timestamp;

use super::values;

/// How columns are named.
pub(super) struct Names {
    /// The name of the ids' column.
    pub(super) join_key: &'static str,
    /// Whether a feature is `view__feature`, and not `feature`.
    pub(super) full: bool,
}

/// The columns of `features`, each "view:feature".
///
/// # Errors
/// When two columns would have one name.
pub(super) fn response(
    names: &Names,
    ids: Vec<types::Value>,
    features: &[String],
    rows: Vec<v1::FeatureRow>,
) -> Result<GetOnlineFeaturesResponse, InvalidField> {
    let val = names.of(features)?;
    let count = rows.len();
    let mut results = Vec::with_capacity(1 + features.len());
    results.push(FeatureVector {
        values: ids,
        statuses: vec![FieldStatus::Present.into(); count],
        event_timestamps: vec![Timestamp::default(); count],
    });
    let empty = || FeatureVector {
        values: Vec::with_capacity(count),
        statuses: Vec::with_capacity(count),
        event_timestamps: Vec::with_capacity(count),
    };
    results.extend(features.iter().map(|_| empty()));
    for row in rows {
        for (column, value) in results[1..].iter_mut().zip(row.values) {
            column.statuses.push(status(value.status()).into());
            column.event_timestamps.push(value.event_time.unwrap_or_default());
            column.values.push(value.value.map(values::to_feast).unwrap_or_default());
        }
    }
    let feature_names = Some(FeatureList { val });
    let metadata = GetOnlineFeaturesResponseMetadata { feature_names, feature_view_metadata: Vec::new() };
    Ok(GetOnlineFeaturesResponse { metadata: Some(metadata), results, status: true })
}

/// Names the views of the features, each once.
pub(super) fn name_views(response: &mut GetOnlineFeaturesResponse, features: &[String]) {
    let mut seen = BTreeSet::new();
    let views = features.iter().filter_map(|feature| feature.split_once(':')).map(|(view, _)| view);
    let named = views
        .filter(|view| seen.insert(*view))
        .map(|view| FeatureViewMetadata { name: view.to_owned(), version: 0 });
    response.metadata.get_or_insert_default().feature_view_metadata = named.collect();
}

impl Names {
    /// All columns' names, that of the ids first.
    fn of(&self, features: &[String]) -> Result<Vec<String>, InvalidField> {
        let mut taken = BTreeSet::from([self.join_key]);
        let mut names = vec![self.join_key.to_owned()];
        for feature in features {
            let (_, name) = feature.split_once(':').unwrap_or(("", feature));
            if self.full {
                names.push(feature.replacen(':', "__", 1));
            } else if taken.insert(name) {
                names.push(name.to_owned());
            } else {
                let reason = format!("is not set, and there would be two columns named {name}");
                return Err(InvalidField::new("full_feature_names", reason));
            }
        }
        Ok(names)
    }
}

fn status(status: v1::FeatureStatus) -> FieldStatus {
    match status {
        v1::FeatureStatus::Present => FieldStatus::Present,
        v1::FeatureStatus::NullValue => FieldStatus::NullValue,
        v1::FeatureStatus::NotFound => FieldStatus::NotFound,
        v1::FeatureStatus::OutsideMaxAge => FieldStatus::OutsideMaxAge,
        // A request for what is denied has been refused.
        v1::FeatureStatus::Denied | v1::FeatureStatus::Unspecified => FieldStatus::Invalid,
    }
}
