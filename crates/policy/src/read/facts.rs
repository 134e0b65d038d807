//! Keys that name facts.

use finrank_model::toml_file::Table;

use super::Named;
use crate::FactId;

/// Reads keys that name facts. What is optional is `Some(None)` where the key is left out.
pub(super) trait NamedFacts {
    /// A fact by its name, of one of some types.
    fn fact(&mut self, key: &str, named: &Named, types: &[&str]) -> Option<FactId>;

    /// The same, where the key may be left out.
    fn optional_fact(&mut self, key: &str, named: &Named, types: &[&str]) -> Option<Option<FactId>>;

    /// A fact by a name that stands under the key already.
    fn fact_named(&mut self, key: &str, name: &str, named: &Named, types: &[&str]) -> Option<FactId>;
}

impl NamedFacts for Table<'_> {
    fn fact(&mut self, key: &str, named: &Named, types: &[&str]) -> Option<FactId> {
        let name = self.text(key)?;
        self.fact_named(key, &name, named, types)
    }

    fn optional_fact(&mut self, key: &str, named: &Named, types: &[&str]) -> Option<Option<FactId>> {
        match self.optional_parsed(key, |name| Ok(name.to_owned()))? {
            None => Some(None),
            Some(name) => self.fact_named(key, &name, named, types).map(Some),
        }
    }

    fn fact_named(&mut self, key: &str, name: &str, named: &Named, types: &[&str]) -> Option<FactId> {
        let Some((id, fact_type)) = named.get(name) else {
            self.note(key, format!("names {name:?}, which is no fact"));
            return None;
        };
        match fact_type {
            Some(fact_type) if !types.contains(&fact_type.as_str()) => {
                let (found, expected) = (fact_type.as_str(), types.join(" or "));
                self.note(key, format!("names {name:?}, whose type is {found}, not {expected}"));
                None
            }
            _ => Some(*id),
        }
    }
}
