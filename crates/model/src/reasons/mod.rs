//! Reasons: what contributions to a score are called when they are told to people.
//!
//! One versioned TOML file, read by [`ReasonTable::parse`], maps every input of a model to a code with text in English and
//! Chinese. What people may not be told apart by is counted and never told as a reason. The shipped one is
//! [`BUILT_IN_REASONS`].

mod file;
mod pattern;

use std::sync::Arc;

use thiserror::Error;

use self::pattern::Pattern;
use crate::{InputName, Sha256Digest};

/// The table that holds unless another file is named; it has a reason for every input.
pub const BUILT_IN_REASONS: &str = include_str!("built_in.toml");

/// How many reasons are told at most: more are no help to whoever reads them, says the commentary on Regulation B
/// (12 CFR 1002.9(b)(2), comment 1).
pub const PRINCIPAL_REASONS: usize = 4;

/// Everything that one file states. Made by [`ReasonTable::parse`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ReasonTable {
    /// The file's SHA-256: which table this is.
    pub digest: Sha256Digest,
    /// What its owner calls it.
    pub version: String,
    /// In the order of the file; the first that fits an input is the input's.
    pub reasons: Vec<Reason>,
}

/// What some inputs are called.
#[derive(Clone, Debug, PartialEq)]
pub struct Reason {
    /// `[A-Z][A-Z0-9_]{0,62}`; names it for good.
    pub code: String,
    /// Whether people may not be told apart by its inputs: it is told to no customer.
    pub protected: bool,
    /// Told where the inputs speak for a product.
    pub favourable: ReasonText,
    /// Told where they speak against it.
    pub adverse: ReasonText,
    inputs: Vec<Pattern>,
}

/// What people read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReasonText {
    /// English.
    pub english: String,
    /// Simplified Chinese.
    pub chinese: String,
}

/// Inputs of a model that a table has no code for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the reason table {version} has no code for {}", .inputs.join(", "))]
pub struct WithoutReason {
    /// The table's.
    pub version: String,
    /// Their names.
    pub inputs: Vec<String>,
}

/// The reasons of one model's inputs.
#[derive(Clone, Debug)]
pub struct InputReasons {
    table: Arc<ReasonTable>,
    /// Of each input, its place in the table.
    of_input: Vec<usize>,
}

/// Whether inputs speak for a product or against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// For it.
    Favourable,
    /// Against it.
    Adverse,
}

/// A reason, and what its inputs gave to the logit together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Principal<'a> {
    /// Which.
    pub reason: &'a Reason,
    /// Above zero where it speaks for the product, below where against.
    pub contribution: f64,
}

impl ReasonTable {
    /// The reason of each of a model's inputs.
    ///
    /// # Errors
    /// Names every input without one.
    pub fn of_inputs(self: &Arc<Self>, inputs: &[InputName]) -> Result<InputReasons, WithoutReason> {
        let mut without = Vec::new();
        let mut of_input = Vec::with_capacity(inputs.len());
        for input in inputs.iter().map(ToString::to_string) {
            match self.reasons.iter().position(|reason| reason.fits(&input)) {
                Some(place) => of_input.push(place),
                None => without.push(input),
            }
        }
        match without.is_empty() {
            true => Ok(InputReasons { table: self.clone(), of_input }),
            false => Err(WithoutReason { version: self.version.clone(), inputs: without }),
        }
    }
}

impl Reason {
    /// What is told where its inputs speak for a product, or against it.
    pub fn text(&self, side: Side) -> &ReasonText {
        match side {
            Side::Favourable => &self.favourable,
            Side::Adverse => &self.adverse,
        }
    }

    fn fits(&self, input: &str) -> bool {
        self.inputs.iter().any(|pattern| pattern.fits(input))
    }
}

impl InputReasons {
    /// The table that they are of.
    pub fn table(&self) -> &Arc<ReasonTable> {
        &self.table
    }

    /// The reason of an input, by its place.
    ///
    /// # Panics
    /// When there are not so many inputs.
    pub fn of(&self, input: usize) -> &Reason {
        &self.table.reasons[self.of_input[input]]
    }

    /// The reasons that speak most for a product, or against it: of each the sum over its inputs, strongest first, equals
    /// in the order of the table. Left out is what `protected` says of an input, by its place, and what the table says of
    /// the reason. At most [`PRINCIPAL_REASONS`].
    pub fn principal(
        &self,
        contributions: &[f64],
        side: Side,
        protected: impl Fn(usize) -> bool,
    ) -> Vec<Principal<'_>> {
        let mut sums = vec![0.0; self.table.reasons.len()];
        for (input, (&place, contribution)) in self.of_input.iter().zip(contributions).enumerate() {
            if !protected(input) {
                sums[place] += contribution;
            }
        }
        let told = self.table.reasons.iter().zip(sums).filter(|(reason, sum)| {
            let speaks = match side {
                Side::Favourable => *sum > 0.0,
                Side::Adverse => *sum < 0.0,
            };
            speaks && !reason.protected
        });
        let mut principal: Vec<Principal<'_>> =
            told.map(|(reason, contribution)| Principal { reason, contribution }).collect();
        // Stable, so that equals stay in the order of the table.
        principal.sort_by(|one, other| other.contribution.abs().total_cmp(&one.contribution.abs()));
        principal.truncate(PRINCIPAL_REASONS);
        principal
    }
}

impl Default for ReasonTable {
    fn default() -> Self {
        Self::parse(BUILT_IN_REASONS).expect("a test reads the shipped table")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AttributeName, ProductId, features::FeatureRef};

    fn attribute(name: &str) -> InputName {
        InputName::Attribute(AttributeName::parse(name).unwrap())
    }

    fn inputs() -> Vec<InputName> {
        vec![
            attribute("age"),
            attribute("annual_income"),
            attribute("average_income"),
            attribute("savings"),
            InputName::Feature(FeatureRef::new("customer_activity", "viewed_7d")),
            InputName::Held(ProductId::parse("income-fund").unwrap()),
            attribute("digital_share"),
            attribute("share_roman_catholic"),
        ]
    }

    fn of_inputs() -> InputReasons {
        Arc::new(ReasonTable::default()).of_inputs(&inputs()).unwrap()
    }

    fn told(contributions: &[f64], side: Side, protected: impl Fn(usize) -> bool) -> Vec<(String, f64)> {
        let reasons = of_inputs();
        let principal = reasons.principal(contributions, side, protected);
        principal.iter().map(|told| (told.reason.code.clone(), told.contribution)).collect()
    }

    #[test]
    fn the_first_pattern_that_fits_decides_the_code() {
        let reasons = of_inputs();

        let codes: Vec<&str> = (0..inputs().len()).map(|input| reasons.of(input).code.as_str()).collect();

        let expected = [
            "AGE",
            "INCOME",
            "INCOME",
            "SAVINGS",
            "INTEREST_SHOWN",
            "PRODUCTS_HELD",
            "DIGITAL_USE",
            "BELIEF",
        ];
        assert_eq!(codes, expected);
    }

    #[test]
    fn inputs_of_one_code_are_one_reason_and_the_strongest_four_are_told() {
        let contributions = [9.0, 0.5, 0.25, 0.5, 1.0, 0.125, 0.0625, 8.0];

        let favourable = told(&contributions, Side::Favourable, |_| false);
        let adverse = told(&contributions.map(|contribution| -contribution), Side::Adverse, |_| false);

        let expected =
            [("INTEREST_SHOWN", 1.0), ("INCOME", 0.75), ("SAVINGS", 0.5), ("PRODUCTS_HELD", 0.125)];
        assert_eq!(favourable, expected.map(|(code, sum)| (code.to_owned(), sum)));
        assert_eq!(adverse, expected.map(|(code, sum)| (code.to_owned(), -sum)));
    }

    #[test]
    fn what_is_protected_by_the_table_or_by_the_definitions_is_no_reason() {
        let contributions = [9.0, 1.0, 2.0, 0.5, 0.0, 0.0, 0.0, 8.0];

        let told = told(&contributions, Side::Favourable, |input| input == 2);

        assert_eq!(told, [("INCOME".to_owned(), 1.0), ("SAVINGS".to_owned(), 0.5)]);
    }

    #[test]
    fn every_input_without_a_code_is_named() {
        let text = BUILT_IN_REASONS.replace("[\"*\"]", "[\"nothing\"]").replace("\"*digital*\"", "\"held\"");
        let table = Arc::new(ReasonTable::parse(&text).unwrap());
        let inputs = [inputs(), vec![attribute("shoe_size")]].concat();

        let refused = table.of_inputs(&inputs).unwrap_err();

        assert_eq!(
            refused.to_string(),
            "the reason table built-in-1 has no code for digital_share, shoe_size"
        );
    }
}
