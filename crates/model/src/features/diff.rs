//! What tells two sets of definitions apart, in the words of their file.

use std::{collections::BTreeSet, fmt};

use super::{Definitions, Feature, FeatureView, duration_in_words};

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it is about: `view customer_activity`, `feature customer_activity:viewed_7d`.
    pub what: String,
    /// What became of it.
    pub how: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.what, self.how)
    }
}

/// Every change from one set of definitions to another, in the order of names.
pub fn diff(before: &Definitions, after: &Definitions) -> Vec<Change> {
    let mut changes = Vec::new();
    for_each_name(before.purposes.keys(), after.purposes.keys(), |name| {
        let what = format!("purpose {name}");
        compare(&what, before.purposes.get(name), after.purposes.get(name), &mut changes, |_, _| {
            vec!["has another description".to_owned()]
        });
    });
    for_each_name(before.views.keys(), after.views.keys(), |name| {
        let (old, new) = (before.views.get(name), after.views.get(name));
        compare(&format!("view {name}"), old, new, &mut changes, changed_rules);
        if let (Some(old), Some(new)) = (old, new) {
            diff_features(old, new, &mut changes);
        }
    });
    for_each_name(before.services.keys(), after.services.keys(), |name| {
        let what = format!("service {name}");
        compare(&what, before.services.get(name), after.services.get(name), &mut changes, |old, new| {
            let had: BTreeSet<_> = old.features.iter().collect();
            let has: BTreeSet<_> = new.features.iter().collect();
            let gone = had.difference(&has).map(|feature| format!("no longer has {feature}"));
            let come = has.difference(&had).map(|feature| format!("now has {feature}"));
            let told: Vec<String> = gone.chain(come).collect();
            if told.is_empty() { vec!["has another order or description".to_owned()] } else { told }
        });
    });
    changes
}

fn diff_features(old: &FeatureView, new: &FeatureView, changes: &mut Vec<Change>) {
    let names = |view: &FeatureView| -> Vec<String> {
        view.features.iter().map(|feature| feature.name.clone()).collect()
    };
    for_each_name(names(old).iter(), names(new).iter(), |name| {
        let what = format!("feature {}:{name}", old.name);
        compare(&what, old.feature(name), new.feature(name), changes, changed_feature);
    });
}

/// What of a view is another, beside its features.
fn changed_rules(old: &FeatureView, new: &FeatureView) -> Vec<String> {
    let mut told = Vec::new();
    let mut tell = |differs: bool, how: String| {
        if differs {
            told.push(how);
        }
    };
    tell(
        old.entity != new.entity,
        format!("is of a {}, was of a {}", new.entity.as_str(), old.entity.as_str()),
    );
    tell(
        old.source != new.source,
        format!("is made of {}, was of {}", new.source.as_str(), old.source.as_str()),
    );
    tell(old.ttl != new.ttl, format!("has ttl {}, had {}", ttl(new), ttl(old)));
    tell(
        old.expired != new.expired,
        format!("treats old values by {}, did by {}", new.expired.as_str(), old.expired.as_str()),
    );
    tell(old.owner != new.owner, format!("is owned by {}, was by {}", new.owner, old.owner));
    tell(
        old.sensitivity != new.sensitivity,
        format!("is {}, was {}", new.sensitivity.as_str(), old.sensitivity.as_str()),
    );
    tell(
        old.purposes != new.purposes || old.protected_purposes != new.protected_purposes,
        format!(
            "is served for {:?} (protected: {:?}), was for {:?} (protected: {:?})",
            new.purposes, new.protected_purposes, old.purposes, old.protected_purposes
        ),
    );
    tell(old.description != new.description, "has another description".to_owned());
    told
}

fn ttl(view: &FeatureView) -> String {
    view.ttl.map_or_else(|| "none".to_owned(), duration_in_words)
}

fn changed_feature(old: &Feature, new: &Feature) -> Vec<String> {
    let mut told = Vec::new();
    if old.recipe != new.recipe || old.value_type != new.value_type {
        told.push("is made in another way: its values before and after do not compare".to_owned());
    }
    if old.protected != new.protected {
        told.push(if new.protected { "is now protected" } else { "is no longer protected" }.to_owned());
    }
    if old.expect != new.expect {
        told.push("is expected to be otherwise".to_owned());
    }
    if old.description != new.description {
        told.push("has another description".to_owned());
    }
    told
}

fn for_each_name<'a>(
    before: impl Iterator<Item = &'a String>,
    after: impl Iterator<Item = &'a String>,
    mut each: impl FnMut(&str),
) {
    let names: BTreeSet<&String> = before.chain(after).collect();
    for name in names {
        each(name);
    }
}

fn compare<T: PartialEq>(
    what: &str,
    old: Option<&T>,
    new: Option<&T>,
    changes: &mut Vec<Change>,
    changed: impl FnOnce(&T, &T) -> Vec<String>,
) {
    let how = match (old, new) {
        (Some(_), None) => vec!["is gone".to_owned()],
        (None, Some(_)) => vec!["is new".to_owned()],
        (Some(old), Some(new)) if old != new => changed(old, new),
        _ => Vec::new(),
    };
    changes.extend(how.into_iter().map(|how| Change { what: what.to_owned(), how }));
}
