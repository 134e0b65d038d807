//! A sorted list without duplicates, in which a thing's position is its id.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ProductId;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<T>")]
#[serde(bound(deserialize = "T: Ord + Deserialize<'de>"))]
pub(super) struct Vocabulary<T>(Vec<T>);

impl<T: Ord> Vocabulary<T> {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// In the order of their ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }
}

impl Vocabulary<ProductId> {
    /// A product's sparse id.
    pub(super) fn id(&self, product: &ProductId) -> Option<u32> {
        let position = self.0.binary_search(product).ok()?;
        Some(u32::try_from(position).expect("fewer than 2^32 products fit in memory"))
    }
}

impl Vocabulary<String> {
    pub(super) fn position(&self, sought: &str) -> Option<usize> {
        self.0.binary_search_by(|entry| entry.as_str().cmp(sought)).ok()
    }
}

impl<T: Ord> FromIterator<T> for Vocabulary<T> {
    fn from_iter<I: IntoIterator<Item = T>>(entries: I) -> Self {
        // A set first: users hold the same few products millions of times.
        let distinct: BTreeSet<T> = entries.into_iter().collect();
        Self(distinct.into_iter().collect())
    }
}

impl<T: Ord> TryFrom<Vec<T>> for Vocabulary<T> {
    type Error = &'static str;

    fn try_from(entries: Vec<T>) -> Result<Self, Self::Error> {
        if entries.is_sorted_by(|a, b| a < b) {
            Ok(Self(entries))
        } else {
            Err("a vocabulary is not in strictly ascending order")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_positions_in_the_sorted_list() {
        let product = |id: &str| ProductId::parse(id).unwrap();

        let vocabulary: Vocabulary<ProductId> = ["b", "a", "b"].map(product).into_iter().collect();

        assert_eq!(vocabulary.len(), 2);
        assert_eq!(vocabulary.id(&product("b")), Some(1));
        assert_eq!(vocabulary.id(&product("c")), None);
    }

    #[test]
    fn a_list_in_another_order_or_with_duplicates_is_refused() {
        for json in [r#"["b", "a"]"#, r#"["a", "a"]"#] {
            assert!(serde_json::from_str::<Vocabulary<String>>(json).is_err(), "{json}");
        }
    }
}
