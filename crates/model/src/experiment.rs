//! An experiment: two models side by side, each for its own customers.
//!
//! Who is in which arm follows from the experiment's name and the customer's id alone, so that every server says the same, at
//! every request and after every restart, and nothing has to be kept of it.

use serde::{Serialize, Serializer};

use crate::{ExperimentName, InvalidField, ModelVersion, Sha256Digest, UserId};

/// Parts that customers are split into.
const WHOLE: u16 = 10_000;

/// A second model that answers a share of customers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Experiment {
    /// Under another name other customers are in the treatment.
    pub name: ExperimentName,
    /// The second model.
    pub treatment: ModelVersion,
    /// How many customers it answers.
    pub share: Share,
}

/// Which model answers a customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arm {
    /// The one that is served.
    Control,
    /// The second one.
    Treatment,
}

/// Of how many customers, in ten-thousandths: 1 to 5,000. More than one half would make the treatment what is served, which a
/// promotion does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u16);

impl Experiment {
    /// In which arm a customer is. Of one name, whoever is in the treatment at a share is in it at every larger one.
    ///
    /// SHA-256 of name, a zero byte and id; its first 8 bytes, big-endian, modulo 10,000, are less than the share in the
    /// treatment. Neither name nor id holds a zero byte, so that no two pairs are hashed alike.
    pub fn arm_of(&self, user_id: &UserId) -> Arm {
        let hashed = [self.name.as_str().as_bytes(), &[0], user_id.as_str().as_bytes()].concat();
        let digest = Sha256Digest::of(&hashed);
        let number =
            digest.as_bytes().iter().take(8).fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
        match number % u64::from(WHOLE) < u64::from(self.share.0) {
            true => Arm::Treatment,
            false => Arm::Control,
        }
    }
}

impl Arm {
    /// The word for it in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Treatment => "treatment",
        }
    }
}

impl Share {
    /// The largest share.
    pub const HALF: Self = Self(WHOLE / 2);

    /// So many of 10,000.
    ///
    /// # Errors
    /// When it is 0 or more than one half.
    pub fn of_ten_thousand(parts: u32) -> Result<Self, InvalidField> {
        match u16::try_from(parts) {
            Ok(parts) if (1..=Self::HALF.0).contains(&parts) => Ok(Self(parts)),
            _ => {
                let why = format!(
                    "is {parts} of {WHOLE}, not 1 to {}: more than half is a promotion",
                    Self::HALF.0
                );
                Err(InvalidField::new("share", why))
            }
        }
    }

    /// A fraction, to the nearest ten-thousandth.
    ///
    /// # Errors
    /// When it is no number above 0 and up to one half, or less than half a ten-thousandth.
    pub fn of_one(fraction: f64) -> Result<Self, InvalidField> {
        let parts = fraction * f64::from(WHOLE);
        // Compared before it is rounded: 0.50001 is too much.
        if !(0.5..=f64::from(Self::HALF.0)).contains(&parts) {
            let why = format!("is {fraction}, not above 0 and up to 0.5: more than half is a promotion");
            return Err(InvalidField::new("share", why));
        }
        Self::of_ten_thousand(parts.round() as u32)
    }

    /// How many of 10,000.
    pub fn ten_thousandths(self) -> u16 {
        self.0
    }

    /// As a fraction.
    pub fn get(self) -> f64 {
        f64::from(self.0) / f64::from(WHOLE)
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn experiment(name: &str, share: u32) -> Experiment {
        Experiment {
            name: ExperimentName::parse(name).unwrap(),
            treatment: ModelVersion::parse("m2").unwrap(),
            share: Share::of_ten_thousand(share).unwrap(),
        }
    }

    /// Of 20,000 customers, who is in the treatment.
    fn treated(name: &str, share: u32) -> Vec<bool> {
        let experiment = experiment(name, share);
        let treated = |customer: u32| {
            let user_id = UserId::parse(format!("caravan-{customer:05}")).unwrap();
            experiment.arm_of(&user_id) == Arm::Treatment
        };
        (0..20_000).map(treated).collect()
    }

    fn share(of: impl IntoIterator<Item = bool>) -> f64 {
        let (hits, all) = of.into_iter().fold((0, 0), |(hits, all), hit| (hits + u32::from(hit), all + 1));
        f64::from(hits) / f64::from(all)
    }

    #[test]
    fn who_is_in_which_arm_is_the_same_wherever_it_is_computed() {
        // By `printf 'spring\0u2' | sha256sum`: the first 16 digits as a number, modulo 10,000.
        for (user_id, at) in [("u2", 339), ("πελάτης-2", 1498)] {
            let user_id = UserId::parse(user_id).unwrap();

            assert_eq!(experiment("spring", at).arm_of(&user_id), Arm::Control, "{user_id}");
            assert_eq!(experiment("spring", at + 1).arm_of(&user_id), Arm::Treatment, "{user_id}");
        }
    }

    #[test]
    fn the_treatment_is_as_large_as_its_share_says() {
        for parts in [100, 1000, 5000] {
            let expected = f64::from(parts) / 10_000.0;

            // Four standard deviations of a fair drawing.
            let tolerance = 4.0 * (expected * (1.0 - expected) / 20_000.0).sqrt();
            assert!((share(treated("spring", parts)) - expected).abs() < tolerance, "{parts}");
        }
    }

    #[test]
    fn a_larger_share_keeps_who_was_in_the_treatment() {
        let (small, large) = (treated("spring", 1000), treated("spring", 2000));

        assert!(small.iter().zip(&large).all(|(small, large)| large | !small));
    }

    #[test]
    fn another_name_draws_anew() {
        let both = treated("spring", 5000).into_iter().zip(treated("summer", 5000));

        let in_both = share(both.map(|(spring, summer)| spring && summer));

        assert!((in_both - 0.25).abs() < 0.0125, "{in_both}");
    }

    #[test]
    fn a_share_is_above_nothing_and_at_most_one_half() {
        assert_eq!(Share::of_one(0.1), Share::of_ten_thousand(1000));
        assert_eq!(Share::of_one(0.5).unwrap(), Share::HALF);
        assert_eq!(Share::of_one(0.0001).unwrap().ten_thousandths(), 1);
        for fraction in [0.0, -0.1, 0.50001, 1.0, f64::NAN, f64::INFINITY, 0.00001] {
            assert_eq!(Share::of_one(fraction).unwrap_err().field, "share", "{fraction}");
        }
        for parts in [0, 5001, 65_537] {
            assert_eq!(Share::of_ten_thousand(parts).unwrap_err().field, "share", "{parts}");
        }
    }
}
