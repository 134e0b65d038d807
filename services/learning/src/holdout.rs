//! Which holdings a training hid, kept so that a model can be measured later on just what it never saw.
//!
//! A fingerprint is 8 bytes of the SHA-256 of customer and product, and the sample those with the smallest: two models'
//! samples then overlap as far as what they hid does. It names nobody, and says nothing of whom was erased since.

use finrank_model::{ProductId, UserId};
use sha2::{Digest, Sha256};

use crate::{dataset::Dataset, split::Split};

/// Fingerprints that are kept at most, 1.6 MB: far more questions than a bootstrap needs.
const SAMPLE: usize = 200_000;

/// The fingerprints of what was hidden, ascending.
pub(crate) fn sample(dataset: &Dataset, split: &Split) -> Vec<u64> {
    let hidden = split.questions().map(|(user, product)| {
        fingerprint(&dataset.users[user].user_id, &dataset.products[product as usize].product_id)
    });
    let mut sample: Vec<u64> = hidden.collect();
    sample.sort_unstable();
    sample.dedup();
    sample.truncate(SAMPLE);
    sample
}

/// Recognises a pair. Ids hold no control characters, so that a zero byte divides them.
pub(crate) fn fingerprint(user: &UserId, product: &ProductId) -> u64 {
    let digest =
        Sha256::new().chain_update(user.as_str()).chain_update([0]).chain_update(product.as_str()).finalize();
    let (first, _) = digest.as_chunks::<8>();
    u64::from_le_bytes(first[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SplitMethod, samples::dataset};

    #[test]
    fn what_was_hidden_is_recognised_and_nothing_else_is() {
        let dataset = dataset(&["a", "b", "c"], &[&["a", "b"], &["c"], &["a", "b", "c"]]);
        let split = Split::new(&dataset, SplitMethod::LeaveOneOut, 4).unwrap();

        let sample = sample(&dataset, &split);

        let known = |user: usize, product: usize| {
            let fingerprint =
                fingerprint(&dataset.users[user].user_id, &dataset.products[product].product_id);
            sample.binary_search(&fingerprint).is_ok()
        };
        let hidden: Vec<_> = split.questions().map(|(user, product)| (user, product as usize)).collect();
        assert_eq!(hidden.len(), 2);
        for user in 0..3 {
            for product in 0..3 {
                assert_eq!(known(user, product), hidden.contains(&(user, product)), "{user} {product}");
            }
        }
    }
}
