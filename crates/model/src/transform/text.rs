//! Free text as hashed n-grams (the hashing trick, Weinberger et al. 2009), so that a product never seen in
//! training still lies near those that are described alike.

use serde::{Deserialize, Serialize};

use super::TransformConfig;

/// Characters per character n-gram.
const CHARACTERS: usize = 3;

/// Counts of a text's words, pairs of neighbouring words and character trigrams in a fixed number of buckets,
/// of Euclidean length 1; all zero for a text without letters or digits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextTransform {
    buckets: usize,
}

impl TextTransform {
    /// Takes the number of buckets; there is nothing to fit.
    pub fn new(config: &TransformConfig) -> Self {
        Self { buckets: config.text_buckets }
    }

    /// How many features it gives.
    pub fn width(&self) -> usize {
        self.buckets
    }

    /// Fills `features`, which is as long as [`TextTransform::width`].
    pub fn write(&self, text: &str, features: &mut [f32]) {
        features.fill(0.0);
        if self.buckets == 0 {
            return;
        }
        for_each_ngram(text, |hash| {
            features[(hash % self.buckets as u64) as usize] += 1.0;
        });
        let length = features.iter().map(|value| value * value).sum::<f32>().sqrt();
        if length > 0.0 {
            features.iter_mut().for_each(|value| *value /= length);
        }
    }
}

/// Hashes every n-gram. The kind goes first, so that the word "car" and the trigram "car" are two things.
fn for_each_ngram(text: &str, mut visit: impl FnMut(u64)) {
    let text = text.to_lowercase();
    let words: Vec<&str> =
        text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    for word in &words {
        visit(fnv1a(&["w", word]));
        let padded: Vec<char> = "<".chars().chain(word.chars()).chain(">".chars()).collect();
        for trigram in padded.windows(CHARACTERS) {
            visit(fnv1a(&["c", &trigram.iter().collect::<String>()]));
        }
    }
    for pair in words.windows(2) {
        visit(fnv1a(&["p", pair[0], " ", pair[1]]));
    }
}

/// FNV-1a, 64 bit. Features must hash alike in every build and for ever, which std's hasher does not promise.
fn fnv1a(parts: &[&str]) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    parts
        .iter()
        .flat_map(|part| part.bytes())
        .fold(OFFSET_BASIS, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(text: &str) -> Vec<f32> {
        let transform = TextTransform { buckets: 256 };
        let mut features = vec![f32::NAN; transform.width()];
        transform.write(text, &mut features);
        features
    }

    fn likeness(one: &str, other: &str) -> f32 {
        features(one).iter().zip(features(other)).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn hashes_as_fnv_1a_is_published() {
        // Test vectors of draft-eastlake-fnv, section "FNV Test Vectors".
        assert_eq!(fnv1a(&[""]), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(&["a"]), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(&["foo", "bar"]), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn the_features_of_a_text_never_change() {
        // Bundles in use were trained on these positions: another answer here breaks them all.
        let filled: Vec<usize> = (0..256).filter(|&bucket| features("Gold Card")[bucket] > 0.0).collect();

        // Computed by a Python program from the definition of FNV-1a.
        assert_eq!(filled, [12, 49, 68, 79, 86, 95, 136, 148, 196, 252, 254]);
    }

    #[test]
    fn has_length_1() {
        let length: f32 = features("A credit card that pays back").iter().map(|value| value * value).sum();

        assert!((length - 1.0).abs() < 1e-5, "{length}");
    }

    #[test]
    fn a_text_without_letters_is_all_zero() {
        for text in ["", "  ", "-- !"] {
            assert_eq!(features(text), [0.0; 256]);
        }
    }

    #[test]
    fn no_buckets_give_no_features() {
        TextTransform { buckets: 0 }.write("some text", &mut []);
    }

    #[test]
    fn case_and_punctuation_do_not_matter() {
        assert_eq!(features("Gold-Card, FREE"), features("gold card free"));
    }

    #[test]
    fn texts_that_share_words_are_more_alike() {
        let shared = likeness("travel credit card", "credit card for students");
        let stranger = likeness("travel credit card", "whole life insurance");

        assert!(shared > stranger + 0.2, "{shared} {stranger}");
        assert!(likeness("信用卡白金", "信用卡金卡") > likeness("信用卡白金", "人寿保险"));
    }

    #[test]
    fn the_order_of_words_matters() {
        assert_ne!(features("loan before card"), features("card before loan"));
    }
}
