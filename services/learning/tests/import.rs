//! Imports networks that Python wrote (`networks/make.py`) and compares them with what ONNX Runtime computes.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::{fs, path::PathBuf};

use finrank_learning::{NetworkOutput, read_scorer};
use finrank_model::Dense;
use ndarray::Array2;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    inputs: Vec<Vec<f32>>,
    outputs: std::collections::BTreeMap<String, Vec<f32>>,
}

fn network(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/networks").join(name)
}

fn refusal(name: &str, output: NetworkOutput) -> String {
    let path = network(name);
    let error = read_scorer(&path, output).unwrap_err().to_string();
    error.strip_prefix(&format!("{}: ", path.display())).unwrap().to_owned()
}

#[test]
fn gives_what_onnx_runtime_gives() {
    let golden: Golden = serde_json::from_slice(&fs::read(network("golden.json")).unwrap()).unwrap();
    let width = golden.inputs[0].len();
    let rows = Array2::from_shape_vec((golden.inputs.len(), width), golden.inputs.concat()).unwrap();

    assert_eq!(golden.outputs.len(), 4);
    for (name, expected) in golden.outputs {
        let path = network(&format!("{name}.onnx"));
        let scorer = read_scorer(&path, NetworkOutput::Probability).unwrap();

        for (score, expected) in scorer.score_rows(rows.view()).into_iter().zip(expected) {
            assert!((score.get() - expected).abs() <= 1e-5, "{name}: {score} instead of {expected}");
        }
    }
}

#[test]
fn has_as_many_layers_as_the_network() {
    let widths = |name: &str| -> Vec<usize> {
        let scorer = read_scorer(&network(name), NetworkOutput::Probability).unwrap();
        std::iter::once(scorer.inputs()).chain(scorer.layers().iter().map(Dense::outputs)).collect()
    };

    assert_eq!(widths("pytorch.onnx"), [8, 6, 4, 1]);
    assert_eq!(widths("keras.onnx"), [8, 6, 1]);
    assert_eq!(widths("viewed.onnx"), [8, 5, 1]);
    assert_eq!(widths("normalised.onnx"), [8, 1]);
}

#[test]
fn names_the_node_that_cannot_be_run_faithfully() {
    let refused = |name: &str| refusal(&format!("refused/{name}.onnx"), NetworkOutput::Probability);
    let cases = [
        ("tanh", "node \"dense/Tanh\" (Tanh) cannot be run"),
        ("hidden-sigmoid", "node \"out/MatMul\" (MatMul) computes with what a Sigmoid gave"),
        ("residual", "node \"skip/Add\" (Add) needs one constant"),
        ("logit", "tensor \"logit\" is the output, and no Sigmoid makes it a probability"),
        ("four-outputs", "tensor \"probabilities\" has 4 numbers a row, a scorer gives one"),
        ("two-heads", "the graph has 2 outputs (probability, logit)"),
        (
            "other-widths",
            "node \"dense/MatMul\" (MatMul) multiplies 8 numbers by a weight of the shape [4, 1]",
        ),
        ("double", "tensor \"w\" is of ONNX's element type 11"),
        ("double-input", "tensor \"input\" is the input, and is not of float32"),
        ("custom-domain", "node \"dense/Gelu\" (Gelu) is of \"com.microsoft\""),
        ("old-operators", "it uses version 6 of ONNX's operators"),
        ("external-data", "tensor \"w\" lies in another file"),
        ("joined-rows", "node \"flatten\" (Flatten) flattens from axis 0, which joins rows"),
    ];

    for (name, expected) in cases {
        let found = refused(name);
        assert!(found.starts_with(expected), "{name}: {found}");
    }
    assert_eq!(fs::read_dir(network("refused")).unwrap().count(), cases.len());
}

#[test]
fn a_logit_is_taken_for_one_when_that_is_said() {
    let scorer = read_scorer(&network("refused/logit.onnx"), NetworkOutput::Logit).unwrap();
    let probability = refusal("pytorch.onnx", NetworkOutput::Logit);

    assert_eq!(scorer.layers().len(), 2);
    assert!(probability.contains("a Sigmoid has made it a probability"), "{probability}");
}

#[test]
fn a_file_cut_off_anywhere_is_refused_and_never_a_panic() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cut.onnx");
    let whole = fs::read(network("pytorch.onnx")).unwrap();

    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        // A file may end where a field does: then a weight or the output is missing.
        assert!(read_scorer(&path, NetworkOutput::Probability).is_err(), "{length} bytes");
    }
}

#[test]
fn a_file_of_another_kind_or_size_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (pickle, huge) = (directory.path().join("model.pt"), directory.path().join("huge.onnx"));
    fs::write(&pickle, b"\x80\x02").unwrap();
    fs::File::create(&huge).unwrap().set_len(1 << 40).unwrap();

    let error = |path| read_scorer(path, NetworkOutput::Probability).unwrap_err().to_string();

    assert!(error(&pickle).ends_with("its name ends neither in .onnx nor in .safetensors"));
    assert!(error(&huge).ends_with("its length in bytes is more than 16777216"));
    assert!(error(&directory.path().join("none.onnx")).starts_with("cannot read "));
}
