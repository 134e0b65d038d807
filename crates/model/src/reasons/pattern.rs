//! Which inputs a reason is of: names in which `*` stands for anything, at either end.

use serde::Deserialize;

use crate::InvalidField;

/// `age`, `age_*`, `*:age`, `*income*`, `*`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Pattern {
    literal: String,
    open_before: bool,
    open_behind: bool,
}

impl Pattern {
    pub(super) fn parse(raw: &str) -> Result<Self, InvalidField> {
        let (behind, open_before) = match raw.strip_prefix('*') {
            Some(behind) => (behind, true),
            None => (raw, false),
        };
        let (literal, open_behind) = match behind.strip_suffix('*') {
            Some(literal) => (literal, true),
            None => (behind, open_before && behind.is_empty()),
        };
        if raw.is_empty() || literal.contains('*') {
            let reason = format!("has {raw:?}, which is no name with * at either end");
            return Err(InvalidField::new("inputs", reason));
        }
        Ok(Self { literal: literal.to_owned(), open_before, open_behind })
    }

    pub(super) fn fits(&self, input: &str) -> bool {
        match (self.open_before, self.open_behind) {
            (true, true) => input.contains(&self.literal),
            (true, false) => input.ends_with(&self.literal),
            (false, true) => input.starts_with(&self.literal),
            (false, false) => input == self.literal,
        }
    }
}

impl TryFrom<String> for Pattern {
    type Error = InvalidField;

    fn try_from(raw: String) -> Result<Self, InvalidField> {
        Self::parse(&raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything_at_either_end() {
        let cases = [
            ("age", vec!["age"]),
            ("age*", vec!["age", "age_band"]),
            ("*:age", vec!["view:age"]),
            ("*age*", vec!["age", "age_band", "view:age", "mortgage", "average"]),
            ("*", vec!["age", "age_band", "view:age", "mortgage", "average"]),
        ];

        for (raw, expected) in cases {
            let pattern = Pattern::parse(raw).unwrap();
            let fitting: Vec<&str> = ["age", "age_band", "view:age", "mortgage", "average"]
                .into_iter()
                .filter(|input| pattern.fits(input))
                .collect();
            assert_eq!(fitting, expected, "{raw}");
        }
    }

    #[test]
    fn a_star_elsewhere_is_refused() {
        for raw in ["", "a*b", "**a*", "***"] {
            assert!(Pattern::parse(raw).is_err(), "{raw}");
        }
    }
}
