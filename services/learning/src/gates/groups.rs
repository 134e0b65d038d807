//! Groups of people by a protected attribute: bands of a number, or the values of anything else.

use std::collections::{BTreeMap, BTreeSet};

use finrank_model::{
    AttributeValue,
    features::{Definitions, Entity, Recipe},
    policy::Policy,
};

use super::questions::Questions;
use crate::dataset::Dataset;

/// How customers whose attribute is not known are called: they are a group, too.
const UNKNOWN: &str = "unknown";

/// A protected attribute, and where its bands end.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Protected {
    pub(super) attribute: String,
    pub(super) bands: Vec<f64>,
    /// Whether the policy names it, so that it must be measured even where nothing is known of it.
    pub(super) is_stated: bool,
}

/// Which group each question's customer is of.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Grouping {
    pub(super) attribute: String,
    pub(super) names: Vec<String>,
    /// A position in `names` per question.
    pub(super) of: Vec<usize>,
}

/// Every protected attribute: those of the policy, and those that feature definitions mark.
pub(super) fn protected(policy: &Policy, definitions: &Definitions) -> Vec<Protected> {
    let marked = definitions.views.values().filter(|view| view.entity == Entity::Customer);
    let marked = marked.flat_map(|view| &view.features).filter(|feature| feature.protected);
    let mut attributes: BTreeSet<String> = marked
        .filter_map(|feature| match &feature.recipe {
            Recipe::Attribute(name) => Some(name.as_str().to_owned()),
            Recipe::Events { .. } => None,
        })
        .collect();
    attributes.extend(policy.protected.iter().map(|protected| protected.attribute.as_str().to_owned()));
    let protected = |attribute: String| {
        let stated = policy.protected.iter().find(|protected| protected.attribute.as_str() == attribute);
        let bands = stated.map(|protected| protected.bands.clone()).unwrap_or_default();
        Protected { attribute, bands, is_stated: stated.is_some() }
    };
    attributes.into_iter().map(protected).collect()
}

impl Protected {
    /// Whether the data hold it of anybody. Definitions declare attributes for more than one source of data.
    pub(super) fn is_known(&self, dataset: &Dataset) -> bool {
        dataset.users.iter().any(|user| user.attributes.get(&self.attribute).is_some())
    }
}

impl Grouping {
    /// Puts every customer who is asked about into a group.
    ///
    /// # Errors
    /// Says why there are no groups.
    pub(super) fn of(
        Protected { attribute, bands, .. }: &Protected,
        dataset: &Dataset,
        questions: &Questions,
    ) -> Result<Self, String> {
        let values: Vec<Option<&AttributeValue>> =
            questions.iter().map(|question| dataset.users[question.user].attributes.get(attribute)).collect();
        if values.iter().all(Option::is_none) {
            return Err(format!("of no customer {attribute} is known, which is protected"));
        }
        if bands.is_empty() && values.iter().flatten().any(|value| matches!(value, AttributeValue::Number(_)))
        {
            return Err(format!(
                "{attribute} is protected and a number, and the policy states no bands for it"
            ));
        }
        let names: Vec<String> = values.iter().map(|value| name(*value, bands)).collect();
        let mut places: BTreeMap<&str, usize> = names.iter().map(|name| (name.as_str(), 0)).collect();
        for (place, (_, position)) in places.iter_mut().enumerate() {
            *position = place;
        }
        Ok(Self {
            attribute: attribute.clone(),
            of: names.iter().map(|name| places[name.as_str()]).collect(),
            names: places.into_keys().map(str::to_owned).collect(),
        })
    }
}

fn name(value: Option<&AttributeValue>, bands: &[f64]) -> String {
    match value {
        None => UNKNOWN.to_owned(),
        Some(AttributeValue::Flag(flag)) => flag.to_string(),
        Some(AttributeValue::Text(text)) => text.trim().to_owned(),
        Some(AttributeValue::Number(number)) => {
            let place = bands.partition_point(|band| band <= number);
            match (place.checked_sub(1).map(|below| bands[below]), bands.get(place)) {
                (None, Some(above)) => format!("under {above}"),
                (Some(from), Some(above)) => format!("{from} to under {above}"),
                (Some(from), None) => format!("{from} and over"),
                (None, None) => UNKNOWN.to_owned(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_bands_each_from_its_lower_end_on() {
        let named = |number| name(Some(&AttributeValue::Number(number)), &[30.0, 45.0]);

        assert_eq!(
            [29.9, 30.0, 44.0, 45.0].map(named),
            ["under 30", "30 to under 45", "30 to under 45", "45 and over"]
        );
        assert_eq!(name(None, &[30.0]), "unknown");
        assert_eq!(name(Some(&AttributeValue::Text(" north ".to_owned())), &[]), "north");
    }

    #[test]
    fn protected_is_what_policy_or_definitions_say_is() {
        let definitions = Definitions::parse(
            r#"
            version = 1
            [[view]]
            name = "profile"
            entity = "customer"
            source = "attributes"
            description = "d"
            owner = "o"
            sensitivity = "personal"
            purposes = []
            [[view.feature]]
            name = "origin"
            attribute = "region"
            type = "text"
            protected = true
            description = "d"
            [[view.feature]]
            name = "income"
            type = "number"
            description = "d"
            "#,
        )
        .unwrap();

        let protected = protected(&Policy::default(), &definitions);

        let of = |attribute: &str, bands: &[f64], is_stated| Protected {
            attribute: attribute.to_owned(),
            bands: bands.to_vec(),
            is_stated,
        };
        assert_eq!(protected, [of("age", &[30.0, 45.0, 60.0], true), of("region", &[], false)]);
    }
}
