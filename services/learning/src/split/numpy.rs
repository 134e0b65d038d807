//! The draws of numpy's default generator, bit for bit: `numpy.random.default_rng(seed).choice(array)`.
//!
//! Programs in Python that hide one holding of each customer by it hide the same holdings as we do, and so can be
//! compared question by question. Numpy promises that `SeedSequence` and `PCG64` do not change.

use rand::Rng;
use rand_pcg::Pcg64;

/// `SeedSequence` mixes a seed into so many words.
const POOL_WORDS: usize = 4;

/// numpy's `Generator` over `PCG64`, as far as choices need it.
pub(super) struct NumpyGenerator {
    generator: Pcg64,
    /// The upper half of the last draw: 32 bits at a time are asked for.
    spare: Option<u32>,
}

impl NumpyGenerator {
    /// `numpy.random.default_rng(seed)`.
    pub(super) fn new(seed: u64) -> Self {
        let [state, stream] = generated_state(&mixed_pool(seed));
        Self { generator: Pcg64::new(state, stream), spare: None }
    }

    /// The position that `choice` takes of an array of `length` elements, at least one: Lemire's bounded draw (2019) of
    /// 32 bits.
    pub(super) fn choice(&mut self, length: u32) -> u32 {
        if length == 1 {
            return 0;
        }
        let length = u64::from(length);
        // Draws below it would make the first positions more likely.
        let threshold = (u64::from(u32::MAX) + 1) % length;
        loop {
            let product = u64::from(self.next_half()) * length;
            if product & u64::from(u32::MAX) >= threshold {
                return (product >> 32) as u32;
            }
        }
    }

    /// The lower half of a draw, then its upper half.
    fn next_half(&mut self) -> u32 {
        self.spare.take().unwrap_or_else(|| {
            let draw = self.generator.next_u64();
            self.spare = Some((draw >> 32) as u32);
            draw as u32
        })
    }
}

/// `SeedSequence(seed).pool` (O'Neill's `seed_seq_fe`).
fn mixed_pool(seed: u64) -> [u32; POOL_WORDS] {
    let mut hash = Hash { constant: 0x43b0_d7e5, multiplier: 0x931e_8875 };
    // A seed of one word leaves the others zero, as numpy fills them up.
    let mut pool = [seed as u32, (seed >> 32) as u32, 0, 0].map(|word| hash.mix(word));
    for source in 0..POOL_WORDS {
        for target in (0..POOL_WORDS).filter(|&target| target != source) {
            let other = hash.mix(pool[source]);
            let mixed =
                0xca01_f9dd_u32.wrapping_mul(pool[target]).wrapping_sub(0x4973_f715_u32.wrapping_mul(other));
            pool[target] = mixed ^ (mixed >> 16);
        }
    }
    pool
}

/// `generate_state(4, uint64)`: the state and the stream of `PCG64`, each the higher word first.
fn generated_state(pool: &[u32; POOL_WORDS]) -> [u128; 2] {
    let mut hash = Hash { constant: 0x8b51_f9dd, multiplier: 0x58f3_8ded };
    let mut words = pool.iter().cycle().map(|&word| u64::from(hash.mix(word)));
    let mut next = || words.next().unwrap_or_default() | words.next().unwrap_or_default() << 32;
    [(); 2].map(|()| u128::from(next()) << 64 | u128::from(next()))
}

/// A hash whose constant changes with each word.
struct Hash {
    constant: u32,
    multiplier: u32,
}

impl Hash {
    fn mix(&mut self, word: u32) -> u32 {
        let word = word ^ self.constant;
        self.constant = self.constant.wrapping_mul(self.multiplier);
        let word = word.wrapping_mul(self.constant);
        word ^ (word >> 16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths whose choices were written down from numpy 2; the large ones reject draws.
    const LENGTHS: [u32; 30] = [
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        8,
        9,
        10,
        11,
        12,
        13,
        14,
        15,
        16,
        17,
        18,
        19,
        20,
        21,
        22,
        23,
        24,
        1_000,
        2_147_483_659,
        3_000_000_000,
        3_000_000_001,
        3,
        3_221_225_473,
    ];

    #[rustfmt::skip]
    const CHOICES: [(u64, [u32; 30]); 3] = [
        (0, [0, 1, 1, 2, 1, 1, 0, 0, 0, 1, 8, 7, 11, 7, 9, 15, 12, 11, 10, 11, 19, 6, 18, 16, 2, 1_841_261_672,
             1_662_944_755, 100_756_725, 2, 2_350_384_709]),
        (7, [0, 1, 1, 2, 4, 3, 5, 6, 2, 0, 3, 3, 11, 12, 0, 7, 13, 2, 15, 2, 9, 17, 6, 8, 278, 1_545_052_031,
             764_608_762, 2_971_379_323, 1, 1_540_225_366]),
        ((1 << 40) + 5, [0, 0, 0, 1, 1, 5, 4, 7, 1, 0, 4, 10, 12, 0, 5, 2, 0, 2, 13, 11, 3, 12, 9, 3, 30, 645_707_364,
             516_864_335, 1_096_139_952, 1, 1_844_489_433]),
    ];

    #[test]
    fn chooses_what_numpy_chooses() {
        for (seed, expected) in CHOICES {
            let mut generator = NumpyGenerator::new(seed);

            let chosen = LENGTHS.map(|length| generator.choice(length));

            assert_eq!(chosen, expected, "seed {seed}");
        }
    }
}
