//! Features as a model knows them: which ones, made how, and by whose definitions. A model reads what it was trained on,
//! so serving holds what is declared now to what was declared then.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    Definitions, Entity, Feature, FeatureRef, FeatureRow, FeatureView, Sensitivity, ValueType,
    duration_in_words,
};
use crate::{AttributeValue, InvalidField, Sha256Digest};

/// The features of one service, in its order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureSet {
    /// The service's name.
    pub service: String,
    /// What they are read for.
    pub purpose: String,
    /// The file that declared them.
    pub definitions_sha256: Sha256Digest,
    /// In the order of a row's values.
    pub features: Vec<FeatureDefinition>,
}

/// What decides a feature's values, in words that people read and programs compare.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureDefinition {
    /// Its name.
    pub feature: FeatureRef,
    /// How a value comes about: `attribute annual_income`, `count of viewed, clicked within 7days`.
    pub made_of: String,
    /// What its values are: `number`, `money EUR`.
    pub value_type: String,
    /// How old the newest statement may be; of older ones nothing is known. Absent where age does not matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<String>,
    /// How carefully the values must be kept.
    pub sensitivity: Sensitivity,
    /// Whether people may not be told apart by it.
    pub protected: bool,
}

/// What becomes of features that people may not be told apart by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProtectedFeatures {
    /// A set with one of them is refused.
    #[default]
    Refuse,
    /// They are taken, if their view serves them for the purpose.
    Allow,
}

/// Why features cannot be what a model reads: each of them, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}", listed(.0))]
pub struct UnusableFeatures(pub Vec<InvalidField>);

fn listed(problems: &[InvalidField]) -> String {
    problems.iter().map(InvalidField::to_string).collect::<Vec<_>>().join("; ")
}

impl FeatureSet {
    /// The features of a service of customers, for a purpose that all of their views serve.
    ///
    /// # Errors
    /// When there is no such service or purpose, the service is of products, or some of its features may not be used:
    /// all of them are named.
    pub fn of_service(
        definitions: &Definitions,
        service: &str,
        purpose: &str,
        protected: ProtectedFeatures,
    ) -> Result<Self, UnusableFeatures> {
        let unusable = |field: &str, reason| UnusableFeatures(vec![InvalidField::new(field, reason)]);
        let Some(found) = definitions.services.get(service) else {
            let declared = names(definitions.services.keys());
            return Err(unusable("feature_service", format!("is {service:?}; declared are {declared}")));
        };
        if !definitions.purposes.contains_key(purpose) {
            let declared = names(definitions.purposes.keys());
            return Err(unusable("feature_purpose", format!("is {purpose:?}; declared are {declared}")));
        }
        let declared = found.features.iter().filter_map(|feature| definitions.feature(feature));
        let declared: Vec<(&FeatureView, &Feature)> = declared.collect();
        let problems = declared.iter().filter_map(|(view, feature)| {
            let reason = unusable_for(view, feature, purpose, protected)?;
            Some(InvalidField::new(format!("{}:{}", view.name, feature.name), reason))
        });
        let problems: Vec<InvalidField> = problems.collect();
        if !problems.is_empty() {
            return Err(UnusableFeatures(problems));
        }
        Ok(Self {
            service: service.to_owned(),
            purpose: purpose.to_owned(),
            definitions_sha256: definitions.digest,
            features: declared
                .into_iter()
                .map(|(view, feature)| FeatureDefinition::of(view, feature))
                .collect(),
        })
    }

    /// Holds the set to what is declared now.
    ///
    /// # Errors
    /// Names every feature that is gone, is made in another way, or is not served for the purpose any more.
    pub fn check_against(&self, definitions: &Definitions) -> Result<(), UnusableFeatures> {
        let problems = self.features.iter().filter_map(|known| {
            let reason = match definitions.feature(&known.feature) {
                None => Some("is declared no more".to_owned()),
                Some((view, feature)) => known
                    .differs_from(&FeatureDefinition::of(view, feature))
                    .or_else(|| unusable_for(view, feature, &self.purpose, ProtectedFeatures::Allow)),
            };
            Some(InvalidField::new(known.feature.to_string(), reason?))
        });
        let problems: Vec<InvalidField> = problems.collect();
        if problems.is_empty() { Ok(()) } else { Err(UnusableFeatures(problems)) }
    }

    /// The features' names, in order.
    pub fn names(&self) -> impl Iterator<Item = &FeatureRef> {
        self.features.iter().map(|known| &known.feature)
    }

    /// A row of the set's values, in its order; what is left out at the end is not known.
    pub fn row(self: &Arc<Self>, values: impl IntoIterator<Item = Option<AttributeValue>>) -> FeatureRow {
        let mut values: Vec<_> = values.into_iter().take(self.features.len()).collect();
        values.resize(self.features.len(), None);
        FeatureRow::new(self.clone(), values)
    }
}

impl FeatureDefinition {
    fn of(view: &FeatureView, feature: &Feature) -> Self {
        Self {
            feature: FeatureRef::new(&*view.name, &*feature.name),
            made_of: feature.recipe.to_string(),
            value_type: match &feature.value_type {
                ValueType::Money(currency) => format!("money {currency}"),
                other => other.as_str().to_owned(),
            },
            ttl: view.ttl.map(duration_in_words),
            sensitivity: view.sensitivity,
            protected: feature.protected,
        }
    }

    /// What of another definition gives other values.
    fn differs_from(&self, now: &Self) -> Option<String> {
        let of = |ttl: &Option<String>| ttl.clone().unwrap_or_else(|| "none".to_owned());
        if self.made_of != now.made_of {
            Some(format!("is now {}, was {}", now.made_of, self.made_of))
        } else if self.value_type != now.value_type {
            Some(format!("is now a {}, was a {}", now.value_type, self.value_type))
        } else if self.ttl != now.ttl {
            Some(format!("has now ttl {}, had {}", of(&now.ttl), of(&self.ttl)))
        } else {
            None
        }
    }
}

/// Why a feature may not be read, if it may not.
fn unusable_for(
    view: &FeatureView,
    feature: &Feature,
    purpose: &str,
    protected: ProtectedFeatures,
) -> Option<String> {
    if view.entity != Entity::Customer {
        Some(format!("is of a {}, and only what is known of customers can be read", view.entity.as_str()))
    } else if !view.purposes.iter().any(|allowed| allowed == purpose) {
        Some(format!("is not served for {purpose:?}, only for {}", names(&view.purposes)))
    } else if feature.protected && protected == ProtectedFeatures::Refuse {
        Some("is protected: people may not be told apart by it".to_owned())
    } else if !view.serves(feature, purpose) {
        let allowed = names(&view.protected_purposes);
        Some(format!("is protected and not served for {purpose:?}, only for {allowed}"))
    } else {
        None
    }
}

fn names<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFINITIONS: &str = r#"
        version = 1
        purpose = [{ name = "marketing", description = "" }, { name = "fairness", description = "" }]

        [[view]]
        name = "profile"
        entity = "customer"
        source = "attributes"
        ttl = "30days"
        description = ""
        owner = "test"
        sensitivity = "personal"
        purposes = ["marketing", "fairness"]
        protected_purposes = ["fairness"]
        feature = [
            { name = "income", type = "number", description = "" },
            { name = "gender", type = "text", protected = true, description = "" },
        ]

        [[view]]
        name = "activity"
        entity = "customer"
        source = "events"
        description = ""
        owner = "test"
        sensitivity = "personal"
        purposes = ["marketing"]
        feature = [
            { name = "viewed_7d", aggregate = "count", kinds = ["viewed"], window = "7days", description = "" },
            { name = "spent", aggregate = "amount", currency = "EUR", description = "" },
        ]

        [[view]]
        name = "demand"
        entity = "product"
        source = "events"
        description = ""
        owner = "test"
        sensitivity = "internal"
        purposes = ["marketing"]
        feature = [{ name = "customers", aggregate = "distinct", description = "" }]

        [[service]]
        name = "towers"
        description = ""
        features = ["profile:income", "activity:*"]

        [[service]]
        name = "everything"
        description = ""
        features = ["profile:*", "activity:*"]

        [[service]]
        name = "products"
        description = ""
        features = ["demand:*"]
    "#;

    fn definitions(text: &str) -> Definitions {
        Definitions::parse(text).unwrap()
    }

    fn set(service: &str, purpose: &str, protected: ProtectedFeatures) -> Result<FeatureSet, String> {
        let set = FeatureSet::of_service(&definitions(DEFINITIONS), service, purpose, protected);
        set.map_err(|unusable| unusable.to_string())
    }

    #[test]
    fn says_what_each_feature_is_made_of() {
        let set = set("towers", "marketing", ProtectedFeatures::Refuse).unwrap();

        let told: Vec<String> = set
            .features
            .iter()
            .map(|known| format!("{}: {}, {}", known.feature, known.made_of, known.value_type))
            .collect();
        assert_eq!(
            told,
            [
                "profile:income: attribute income, number",
                "activity:viewed_7d: count of viewed within 7days, count",
                "activity:spent: amount of all events, money EUR",
            ]
        );
        assert_eq!(set.features[0].ttl.as_deref(), Some("30days"));
    }

    #[test]
    fn refuses_what_may_not_be_read_and_names_it() {
        use ProtectedFeatures::{Allow, Refuse};

        let protected = set("everything", "marketing", Refuse).unwrap_err();
        let not_served = set("everything", "fairness", Allow).unwrap_err();

        assert_eq!(protected, "profile:gender is protected: people may not be told apart by it");
        assert_eq!(
            not_served,
            "activity:viewed_7d is not served for \"fairness\", only for marketing; \
             activity:spent is not served for \"fairness\", only for marketing"
        );
        let allowed = set("everything", "marketing", Allow).unwrap_err();
        assert_eq!(
            allowed,
            "profile:gender is protected and not served for \"marketing\", only for fairness"
        );
        assert!(
            set("products", "marketing", Refuse).unwrap_err().contains("demand:customers is of a product")
        );
        assert!(
            set("tower", "marketing", Refuse)
                .unwrap_err()
                .contains("declared are everything, products, towers")
        );
        assert!(set("towers", "selling", Refuse).unwrap_err().contains("declared are fairness, marketing"));
    }

    #[test]
    fn definitions_that_give_other_values_are_refused_and_others_are_not() {
        let set = set("towers", "marketing", ProtectedFeatures::Refuse).unwrap();
        let check = |from: &str, to: &str| {
            let text = DEFINITIONS.replace(from, to);
            assert_ne!(text, DEFINITIONS);
            set.check_against(&definitions(&text)).map_err(|unusable| unusable.to_string())
        };

        assert_eq!(check("owner = \"test\"", "owner = \"somebody\""), Ok(()));
        let said = [
            check("\"7days\"", "\"14days\""),
            check("ttl = \"30days\"", "ttl = \"60days\""),
            check("\"spent\"", "\"paid\""),
            check("purposes = [\"marketing\"]", "purposes = [\"fairness\"]"),
        ];
        assert_eq!(
            said.map(Result::unwrap_err),
            [
                "activity:viewed_7d is now count of viewed within 14days, was count of viewed within 7days",
                "profile:income has now ttl 60days, had 30days",
                "activity:spent is declared no more",
                "activity:viewed_7d is not served for \"marketing\", only for fairness; \
                 activity:spent is not served for \"marketing\", only for fairness",
            ]
        );
    }

    #[test]
    fn a_row_has_as_many_values_as_its_set_and_comes_back_from_json_with_it() {
        let set = Arc::new(set("towers", "marketing", ProtectedFeatures::Refuse).unwrap());

        let row = set.row([Some(AttributeValue::Number(1.0))]);

        assert_eq!(row.value(0), Some(&AttributeValue::Number(1.0)));
        assert_eq!((row.value(2), row.value(9)), (None, None));
        let back: FeatureSet = serde_json::from_str(&serde_json::to_string(&*set).unwrap()).unwrap();
        assert!(row.is_of(&Arc::new(back)));
        assert!(!FeatureRow::default().is_of(&set));
    }
}
