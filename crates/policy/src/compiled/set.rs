//! A set of a catalogue's products, a bit each.

/// Which products of a catalogue, by their places from 0. Place `i` is bit `i % 64`, least significant first, of word
/// `i / 64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductSet {
    words: Vec<u64>,
    products: usize,
}

impl ProductSet {
    /// None of `products`.
    pub fn empty(products: usize) -> Self {
        Self { words: vec![0; products.div_ceil(64)], products }
    }

    /// All of `products`.
    pub fn full(products: usize) -> Self {
        let mut set = Self { words: vec![u64::MAX; products.div_ceil(64)], products };
        set.end_with_the_last();
        set
    }

    /// How many products could be in it.
    pub fn universe(&self) -> usize {
        self.products
    }

    /// Whether a product is in it.
    pub fn contains(&self, place: usize) -> bool {
        self.words.get(place / 64).is_some_and(|word| word >> (place % 64) & 1 == 1)
    }

    /// How many products are in it.
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether no product is in it.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    /// Its bytes, in which place `i` is bit `i % 8`, least significant first, of byte `i / 8`.
    pub fn bytes(&self) -> impl Iterator<Item = u8> {
        self.words.iter().flat_map(|word| word.to_le_bytes()).take(self.products.div_ceil(8))
    }

    pub(super) fn insert(&mut self, place: usize) {
        self.words[place / 64] |= 1 << (place % 64);
    }

    pub(super) fn remove(&mut self, place: usize) {
        if let Some(word) = self.words.get_mut(place / 64) {
            *word &= !(1 << (place % 64));
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.with(other, |mine, theirs| mine | theirs);
    }

    pub(super) fn keep(&mut self, other: &Self) {
        self.with(other, |mine, theirs| mine & theirs);
    }

    pub(super) fn take_out(&mut self, other: &Self) {
        self.with(other, |mine, theirs| mine & !theirs);
    }

    /// Whatever is not in it.
    pub(super) fn others(mut self) -> Self {
        for word in &mut self.words {
            *word = !*word;
        }
        self.end_with_the_last();
        self
    }

    fn with(&mut self, other: &Self, combine: impl Fn(u64, u64) -> u64) {
        assert_eq!(self.products, other.products, "both sets are of one catalogue");
        for (mine, &theirs) in self.words.iter_mut().zip(&other.words) {
            *mine = combine(*mine, theirs);
        }
    }

    /// Clears the bits past the last product.
    fn end_with_the_last(&mut self) {
        if let Some(last) = self.words.last_mut()
            && !self.products.is_multiple_of(64)
        {
            *last &= (1 << (self.products % 64)) - 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_no_bits_past_the_last_product() {
        for products in [0, 1, 63, 64, 65, 130] {
            assert_eq!(ProductSet::full(products).len(), products);
            assert_eq!(ProductSet::empty(products).others().len(), products);
            assert_eq!(ProductSet::full(products).bytes().count(), products.div_ceil(8));
        }
        assert_eq!(ProductSet::full(13).bytes().collect::<Vec<_>>(), [0xff, 0x1f]);
    }

    #[test]
    fn sets_are_combined_product_by_product() {
        let of = |places: &[usize]| {
            let mut set = ProductSet::empty(100);
            places.iter().for_each(|&place| set.insert(place));
            set
        };
        let (mut either, mut both, mut rest) = (of(&[1, 70]), of(&[1, 70]), of(&[1, 70]));

        either.add(&of(&[70, 99]));
        both.keep(&of(&[70, 99]));
        rest.take_out(&of(&[70, 99]));

        assert_eq!((either, both, rest), (of(&[1, 70, 99]), of(&[70]), of(&[1])));
    }
}
