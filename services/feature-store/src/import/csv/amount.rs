//! Amounts as people write them, `12.50`, into minor units, exactly: no float is met on the way.

use finrank_model::{InvalidField, Money};

/// Reads a decimal amount in the currency's major unit.
///
/// # Errors
/// When it is no plain decimal (no exponent, no thousands separator), has more decimals than the currency, or
/// does not fit; or when the currency is none.
pub(super) fn parse(raw: &str, currency_code: &str) -> Result<Money, InvalidField> {
    let minor_units = minor_units(raw, decimals(currency_code)).map_err(|wrong| {
        let reason = match wrong {
            Wrong::Form => format!("is {raw:?}, not a plain decimal as 12.50"),
            Wrong::Decimals => format!("is {raw:?}, with more decimals than {currency_code} has"),
            Wrong::Range => format!("is {raw:?}, out of range"),
        };
        InvalidField::new("amount", reason)
    })?;
    Money::new(currency_code, minor_units)
}

/// How many decimals a currency's minor unit has: ISO 4217 has 2 for all but these.
fn decimals(currency_code: &str) -> usize {
    match currency_code {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI"
        | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        "CLF" | "UYW" => 4,
        _ => 2,
    }
}

#[derive(Debug, PartialEq)]
enum Wrong {
    Form,
    Decimals,
    Range,
}

fn minor_units(raw: &str, decimals: usize) -> Result<i64, Wrong> {
    let unsigned = raw.strip_prefix('-').unwrap_or(raw);
    let sign = if unsigned.len() < raw.len() { "-" } else { "" };
    let (whole, fraction) = match unsigned.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return Err(Wrong::Form),
        None => (unsigned, ""),
    };
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !are_digits(whole) || !are_digits(fraction) {
        return Err(Wrong::Form);
    }
    let significant = fraction.trim_end_matches('0');
    if significant.len() > decimals {
        return Err(Wrong::Decimals);
    }
    format!("{sign}{whole}{significant:0<decimals$}").parse().map_err(|_| Wrong::Range)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_currency_counts_in_its_own_minor_unit() {
        let minor_units = |raw, currency| parse(raw, currency).unwrap().minor_units();

        assert_eq!(minor_units("12.50", "EUR"), 1250);
        assert_eq!(minor_units("12.5", "EUR"), 1250);
        assert_eq!(minor_units("-0.07", "USD"), -7);
        assert_eq!(minor_units("1500", "JPY"), 1500);
        assert_eq!(minor_units("1500.00", "JPY"), 1500);
        assert_eq!(minor_units("1.234", "KWD"), 1234);
        // As a float this is 28.999999999999996 cents.
        assert_eq!(minor_units("0.29", "EUR"), 29);
    }

    #[test]
    fn what_is_no_amount_is_refused_with_the_reason() {
        let reason = |raw, currency| parse(raw, currency).unwrap_err().to_string();

        for raw in ["", "-", ".5", "5.", "1,50", "1e3", "+1", "1.2.3", "--1", "0x1", "١"] {
            assert_eq!(reason(raw, "EUR"), format!("amount is {raw:?}, not a plain decimal as 12.50"));
        }
        assert_eq!(reason("1.001", "EUR"), r#"amount is "1.001", with more decimals than EUR has"#);
        assert_eq!(
            reason("92233720368547758.08", "EUR"),
            r#"amount is "92233720368547758.08", out of range"#
        );
        assert!(reason("1", "euro").starts_with("amount.currency_code is"));
    }

    proptest! {
        #[test]
        fn every_amount_comes_back_from_its_decimals(minor: i64, decimals in 0..=4_usize) {
            let unit = 10_u64.pow(decimals as u32);
            let (whole, rest) = (minor.unsigned_abs() / unit, minor.unsigned_abs() % unit);
            let sign = if minor < 0 { "-" } else { "" };
            let raw = match decimals {
                0 => format!("{sign}{whole}"),
                _ => format!("{sign}{whole}.{rest:0decimals$}"),
            };

            prop_assert_eq!(minor_units(&raw, decimals), Ok(minor));
        }
    }
}
