//! Amounts as whole numbers of a currency's minor unit. Amounts of two currencies are never compared.

use std::fmt;

use finrank_model::Money;

/// Above this a floating-point number no longer holds every whole number.
const LARGEST_WHOLE: f64 = 9_007_199_254_740_992.0;
/// What may be lost where major units, such as 12.34, are turned into minor ones.
const ROUNDING: f64 = 1e-6;

/// An ISO 4217 code.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency(String);

impl Currency {
    /// Takes three upper-case letters; `None` for anything else.
    pub fn parse(raw: &str) -> Option<Self> {
        Money::new(raw, 0).is_ok().then(|| Self(raw.to_owned()))
    }

    /// The code.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a plain number that stands for an amount counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoneyUnit {
    /// The minor unit: cents for EUR, yen for JPY.
    Minor,
    /// The major unit, which has `10^digits` minor ones.
    Major {
        /// 0 to 4.
        digits: u8,
    },
}

impl MoneyUnit {
    /// The amount in the minor unit.
    ///
    /// # Errors
    /// When the number is not a whole number of minor units, or too large to be exact.
    pub(crate) fn minor_units(self, number: f64) -> Result<i64, String> {
        let scale = match self {
            Self::Minor => 1.0,
            Self::Major { digits } => 10_f64.powi(digits.into()),
        };
        let minor = (number * scale).round();
        // What is no number is not above the limit, and would become 0.
        if minor.is_nan() || minor.abs() > LARGEST_WHOLE {
            return Err(format!("is {number}, too large to be exact"));
        }
        if (number * scale - minor).abs() > ROUNDING {
            return Err(format!("is {number}, not a whole number of the minor unit"));
        }
        Ok(minor as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_exact_or_none() {
        let cents = MoneyUnit::Major { digits: 2 };

        assert_eq!(cents.minor_units(12.34), Ok(1234));
        assert_eq!(MoneyUnit::Major { digits: 0 }.minor_units(700.0), Ok(700));
        assert_eq!(MoneyUnit::Minor.minor_units(-5.0), Ok(-5));
        assert!(MoneyUnit::Minor.minor_units(12.5).unwrap_err().contains("whole number"));
        assert!(cents.minor_units(12.345).is_err());
        assert!(cents.minor_units(f64::NAN).is_err() && cents.minor_units(f64::INFINITY).is_err());
        assert!(cents.minor_units(1e15).unwrap_err().contains("too large"));
    }

    #[test]
    fn a_currency_is_three_upper_case_letters() {
        assert_eq!(Currency::parse("CNY").map(|currency| currency.to_string()).as_deref(), Some("CNY"));
        for raw in ["", "cny", "EURO"] {
            assert_eq!(Currency::parse(raw), None);
        }
    }
}
