//! How long the scorer's training takes, beside scikit-learn's `MLPClassifier((128, 64))` on the same file in the
//! same run.
//!
//!     FINRANK_SKLEARN_PYTHON=.venv/bin/python cargo bench -p finrank-learning --bench scorer_training
//!     cargo bench -p finrank-learning --bench scorer_training -- --rows 100000 --epochs 3
//!
//! A million rows of 128 numbers, ten epochs; the labels come from a network that was drawn at random, with noise.
//! Both sides train 128-64-1 with Adam, without dropout and without early stopping, and say the AUC on 20,000 rows
//! that they did not see. The last line is JSON.

use std::{env, error::Error, fs::File, io::Write, process::Command};

use finrank_learning::{LabelledRows, ScorerLearning, learn_scorer, metrics::area_under_roc};
use ndarray::{Array2, Axis, s};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const INPUTS: usize = 128;
const HELD_OUT: usize = 20_000;
/// Names the interpreter of the other side.
const PYTHON: &str = "FINRANK_SKLEARN_PYTHON";

fn main() -> Result<(), Box<dyn Error>> {
    let rows = flag("--rows", 1_000_000)?;
    let epochs = flag("--epochs", 10)?;
    let data = planted(rows + HELD_OUT);

    let learning = ScorerLearning {
        max_epochs: epochs,
        weight_decay: 1e-4,
        input_dropout: 0.0,
        dropout: 0.0,
        ..ScorerLearning::default()
    };
    let training: Vec<usize> = (0..rows).collect();
    let learned = learn_scorer(&data, &training, &[], &learning, 1, &mut ())?;
    let held_out = data.features.slice(s![rows.., ..]);
    let scores: Vec<f32> = learned.scorer.score_rows(held_out).iter().map(|score| score.get()).collect();
    let auc = area_under_roc(&scores, &data.labels[rows..]).unwrap_or(0.5);
    println!("{rows} rows × {INPUTS} inputs × {epochs} epochs");
    println!("{:>14} {:>9.1} s   AUC {auc:.4}", "finrank", learned.seconds);

    let other = match env::var(PYTHON) {
        Ok(python) => beside(&python, &data, rows, epochs)?,
        Err(_) => {
            println!("{PYTHON} names no interpreter: nothing to compare with");
            "null".to_owned()
        }
    };
    println!(
        r#"{{"rows": {rows}, "inputs": {INPUTS}, "epochs": {epochs}, "seconds": {:.2}, "auc": {auc:.4}, "scikit_learn": {other}}}"#,
        learned.seconds
    );
    Ok(())
}

fn flag(name: &str, default: usize) -> Result<usize, Box<dyn Error>> {
    let mut arguments = env::args().skip_while(|argument| argument != name).skip(1);
    match arguments.next() {
        Some(value) => value.parse().map_err(|error| format!("{name} is {value:?}: {error}").into()),
        None => Ok(default),
    }
}

/// Even numbers, and labels that are one with the probability that a network of 16 hidden units gives.
fn planted(rows: usize) -> LabelledRows {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut even = |shape: (usize, usize), bound: f32| {
        Array2::from_shape_simple_fn(shape, || (rng.random::<f32>() * 2.0 - 1.0) * bound)
    };
    let features = even((rows, INPUTS), 1.7);
    let (hidden, output) = (even((INPUTS, 16), 0.4), even((16, 1), 1.5));
    let mut labels = Vec::with_capacity(rows);
    for block in features.axis_chunks_iter(Axis(0), 8_192) {
        let logits = block.dot(&hidden).mapv(|sum| sum.max(0.0)).dot(&output);
        labels.extend(logits.iter().map(|&logit| rng.random::<f32>() < 1.0 / (1.0 + (-logit).exp())));
    }
    LabelledRows { features, labels }
}

/// Runs `scorer_training.py` on the same rows; the line of JSON that it prints.
fn beside(python: &str, data: &LabelledRows, rows: usize, epochs: usize) -> Result<String, Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let (features, labels) = (directory.path().join("features.f32"), directory.path().join("labels.u8"));
    let mut file = File::create(&features)?;
    for block in data.features.axis_chunks_iter(Axis(0), 8_192) {
        let bytes: Vec<u8> = block.iter().flat_map(|value| value.to_le_bytes()).collect();
        file.write_all(&bytes)?;
    }
    std::fs::write(&labels, data.labels.iter().map(|&label| u8::from(label)).collect::<Vec<u8>>())?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../benches/scorer_training.py");
    let sizes = [INPUTS, rows, epochs].map(|size| size.to_string());
    let output = Command::new(python).arg(script).args([&features, &labels]).args(sizes).output()?;
    if !output.status.success() {
        return Err(format!("{script}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let line = String::from_utf8(output.stdout)?.trim().to_owned();
    println!("{:>14} {line}", "scikit-learn");
    Ok(line)
}
