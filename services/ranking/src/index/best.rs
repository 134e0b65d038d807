//! The best of many hits, as they come.

use std::cmp::Ordering;

use super::Hit;

/// Keeps the `k` best hits offered.
#[derive(Debug)]
pub(super) struct Best {
    k: usize,
    /// Up to `2k`, so that sorting out the worse half is paid once for `k` hits.
    hits: Vec<Hit>,
    /// What a hit must beat once there have been `k`.
    bar: Option<Hit>,
}

impl Best {
    pub(super) fn of(k: usize) -> Self {
        Self { k, hits: Vec::new(), bar: None }
    }

    /// Takes a hit in, if it can be among the best.
    pub(super) fn offer(&mut self, hit: Hit) {
        if !self.would_take(&hit) {
            return;
        }
        self.hits.push(hit);
        if self.hits.len() == 2 * self.k {
            self.cut();
        }
    }

    /// Whether a hit can be among the best of what has come so far.
    pub(super) fn would_take(&self, hit: &Hit) -> bool {
        self.k > 0 && self.bar.is_none_or(|bar| order(hit, &bar) == Ordering::Less)
    }

    /// The best, best first and equal ones by row.
    pub(super) fn into_sorted(mut self) -> Vec<Hit> {
        self.hits.sort_unstable_by(order);
        self.hits.truncate(self.k);
        self.hits
    }

    fn cut(&mut self) {
        let (_, bar, _) = self.hits.select_nth_unstable_by(self.k - 1, order);
        self.bar = Some(*bar);
        self.hits.truncate(self.k);
    }
}

/// Better ones first: the larger inner product, or else the lower row.
fn order(a: &Hit, b: &Hit) -> Ordering {
    b.inner_product.total_cmp(&a.inner_product).then(a.row.cmp(&b.row))
}
