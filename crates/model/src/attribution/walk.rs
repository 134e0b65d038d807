//! The walk along the straight path, from one crossing to the next.
//!
//! Between crossings every sum is linear in α, so the next one is known: `−sum / slope` ahead, the least of all units.
//! At it, sums are continuous and slopes change, in the layers after it alone. At 128 → 128 → 64 units a path crosses
//! some hundred times, and a crossing costs at most the layers after the second (8,192 multiplications) and, in front,
//! those of the units that are on. A deep network can be made to cross exponentially often in its depth (Montúfar et al.
//! 2014), and so a path is given up after [`CROSSINGS_PER_UNIT`] for each unit.

use ndarray::{Array1, Array2};

use super::network::{Layer, logit};
use crate::ModelError;

/// How often a path may cross, for each unit of the network: at 320 units 5,120 times, some 25 ms. Trained networks cross
/// less than once a unit.
const CROSSINGS_PER_UNIT: usize = 16;

/// The logit's gradient along a path.
pub(super) struct PathGradient {
    /// The logit at the path's start.
    pub(super) start: f64,
    /// The logit at its end.
    pub(super) end: f64,
    /// With respect to the first layer's sums, in the mean over the path, `[h]`.
    pub(super) gradient: Array1<f64>,
}

/// Walks from α = 0, where the layers' sums are `sums`, to α = 1, where the logit is `end`; `slopes` are the first
/// layer's.
///
/// # Errors
/// [`ModelError::TooManyCrossings`].
pub(super) fn path_gradient(
    layers: &[Layer],
    sums: Vec<Array1<f64>>,
    slopes: Array1<f64>,
    end: f64,
) -> Result<PathGradient, ModelError> {
    let start = logit(&sums);
    // All layers but the logit.
    let units: usize = sums.iter().rev().skip(1).map(Array1::len).sum();
    let most = CROSSINGS_PER_UNIT * units;
    let mut crossings = 0;
    let mut here = Here::new(layers, sums, slopes);
    let mut collected = Collected::new(&layers[0]);
    let mut ahead = 1.0;
    while let Some(crossing) = here.next_crossing()
        && crossing.ahead < ahead
    {
        crossings += 1;
        if crossings > most {
            return Err(ModelError::TooManyCrossings { most });
        }
        collected.pass(&here, crossing.ahead);
        ahead -= crossing.ahead;
        let was_on = here.on[0].clone();
        here.cross(&crossing);
        collected.note_switches(&layers[0], &was_on, &here.on[0]);
    }
    collected.pass(&here, ahead);
    let off = vec![false; here.on[0].len()];
    collected.note_switches(&layers[0], &here.on[0], &off);
    Ok(PathGradient { start, end, gradient: collected.gradient })
}

/// A unit whose sum comes to 0.
struct Crossing {
    layer: usize,
    unit: usize,
    /// How far on the path from here.
    ahead: f64,
}

/// A point of the path and the linear stretch that begins there.
struct Here<'n> {
    layers: &'n [Layer],
    /// Of each layer, the logit last.
    sums: Vec<Array1<f64>>,
    /// `∂sums/∂α`, of each layer.
    slopes: Vec<Array1<f64>>,
    /// Which units let their sums through; the logit always does.
    on: Vec<Vec<bool>>,
    /// The logit's gradient with respect to what each layer's units let through. That of the first layer is never
    /// asked for: see [`Collected`].
    gradients: Vec<Array1<f64>>,
}

impl<'n> Here<'n> {
    fn new(layers: &'n [Layer], sums: Vec<Array1<f64>>, first_slopes: Array1<f64>) -> Self {
        let mut slopes: Vec<_> = sums.iter().map(|sums| Array1::zeros(sums.len())).collect();
        slopes[0] = first_slopes;
        let on = sums.iter().map(|sums| vec![true; sums.len()]).collect();
        let gradients = sums.iter().map(|sums| Array1::ones(sums.len())).collect();
        let mut here = Self { layers, sums, slopes, on, gradients };
        here.settle(0);
        here.differentiate(layers.len());
        here
    }

    fn next_crossing(&self) -> Option<Crossing> {
        let mut next: Option<Crossing> = None;
        for layer in 0..self.layers.len() {
            for (unit, (&sum, &slope)) in self.sums[layer].iter().zip(&self.slopes[layer]).enumerate() {
                let comes_to_0 = if self.on[layer][unit] { slope < 0.0 } else { slope > 0.0 };
                if comes_to_0 {
                    // Rounding may have brought it a hair past 0.
                    let ahead = (-sum / slope).max(0.0);
                    if next.as_ref().is_none_or(|next| ahead < next.ahead) {
                        next = Some(Crossing { layer, unit, ahead });
                    }
                }
            }
        }
        next
    }

    /// Moves to a crossing and over it.
    fn cross(&mut self, crossing: &Crossing) {
        for (sums, slopes) in self.sums.iter_mut().zip(&self.slopes) {
            sums.scaled_add(crossing.ahead, slopes);
        }
        self.sums[crossing.layer][crossing.unit] = 0.0;
        if let Some(highest) = self.settle(crossing.layer) {
            self.differentiate(highest);
        }
    }

    /// Decides which units are on just after this point and the slopes that follow, from a layer on. The order settles
    /// also what many units do that cross at one point: each layer knows what those before it do. Returns the last
    /// layer in which a unit switched.
    fn settle(&mut self, from: usize) -> Option<usize> {
        let mut highest = None;
        for layer in from..self.layers.len() {
            if layer > from {
                self.slopes[layer] =
                    sum_of_rows(&self.layers[layer - 1].weight, &self.slopes[layer - 1], &self.on[layer - 1]);
            }
            for (unit, on) in self.on[layer].iter_mut().enumerate() {
                let (sum, slope) = (self.sums[layer][unit], self.slopes[layer][unit]);
                let is_on = sum > 0.0 || (sum == 0.0 && slope > 0.0);
                if is_on != *on {
                    *on = is_on;
                    highest = Some(layer);
                }
            }
        }
        highest
    }

    /// The gradients of the layers before `changed`, but for the first.
    fn differentiate(&mut self, changed: usize) {
        for layer in (1..changed).rev() {
            let transposed = &self.layers[layer].transposed;
            self.gradients[layer] = sum_of_rows(transposed, &self.gradients[layer + 1], &self.on[layer + 1]);
        }
    }
}

/// The integral, as far as it is known. On a straight path a unit of the first layer is on during one stretch at most,
/// and so the gradient of its sum is its weights times the second layer's gradient *summed over that stretch*: one
/// multiplication by the weights for the whole path instead of one for each piece.
struct Collected {
    /// The second layer's gradient, summed from α = 0 to here.
    passed: Array1<f64>,
    /// Of the first layer's sums.
    gradient: Array1<f64>,
}

impl Collected {
    fn new(first: &Layer) -> Self {
        let (units, next) = first.weight.dim();
        Self { passed: Array1::zeros(next), gradient: Array1::zeros(units) }
    }

    fn pass(&mut self, here: &Here<'_>, distance: f64) {
        for ((passed, &gradient), &on) in self.passed.iter_mut().zip(&here.gradients[1]).zip(&here.on[1]) {
            if on {
                *passed += distance * gradient;
            }
        }
    }

    /// A unit that goes off has all that was passed until now, one that comes on what will be passed from now on.
    fn note_switches(&mut self, first: &Layer, was_on: &[bool], is_on: &[bool]) {
        for (unit, (&was, &is)) in was_on.iter().zip(is_on).enumerate() {
            if was != is {
                let until_here = first.weight.row(unit).dot(&self.passed);
                self.gradient[unit] += if was { until_here } else { -until_here };
            }
        }
    }
}

/// `Σ factor · row` over the rows that are on.
fn sum_of_rows(rows: &Array2<f64>, factors: &Array1<f64>, on: &[bool]) -> Array1<f64> {
    let mut sum = Array1::zeros(rows.ncols());
    for ((row, &factor), &on) in rows.rows().into_iter().zip(factors).zip(on) {
        if on {
            sum.scaled_add(factor, &row);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    /// As many tent maps `t(x) = 2·relu(x) − 4·relu(x − ½)`, one after the other: a path from 0 to 1 crosses twice as often
    /// with each.
    fn tents(count: usize) -> Vec<Layer> {
        let inner = || Layer::new(array![[2.0, 2.0], [-4.0, -4.0]], array![0.0, -0.5]);
        let last = Layer::new(Array2::from_shape_vec((2, 1), vec![2.0, -4.0]).unwrap(), array![0.0]);
        (1..count).map(|_| inner()).chain([last]).collect()
    }

    fn from_0_to(end: f64, layers: &[Layer]) -> Result<PathGradient, ModelError> {
        let sums = |x: f64| {
            let mut all = vec![array![x, x - 0.5]];
            for layer in layers {
                let on = all[all.len() - 1].mapv(|sum| sum.max(0.0));
                all.push(layer.sums_of(&on));
            }
            all
        };
        path_gradient(layers, sums(0.0), array![end, end], logit(&sums(end)))
    }

    #[test]
    fn a_path_that_crosses_beyond_all_bounds_is_given_up() {
        let walked = from_0_to(0.3, &tents(6)).unwrap();
        let refused = from_0_to(1.0, &tents(14));

        // 0.3 → 0.6 → 0.8 → 0.4 → 0.8 → 0.4 → 0.8
        assert!((walked.end - 0.8).abs() < 1e-9, "{}", walked.end);
        assert!((0.3 * walked.gradient.sum() - 0.8).abs() < 1e-9, "{}", walked.gradient);
        assert!(matches!(refused, Err(ModelError::TooManyCrossings { most: 448 })));
    }
}
