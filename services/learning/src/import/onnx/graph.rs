//! Runs a graph over what is known of its values.

use std::collections::{HashMap, HashSet};

use super::{
    super::ImportError,
    chain::{Chain, Computed},
    is_own_domain,
    operators::{self, Operands},
    proto::{Graph, Node, ValueInfo},
    tensor::{Constant, FLOAT},
};

/// What is known of a value.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Constant(Constant),
    /// Computed of the input.
    Rows(Chain),
}

/// The output's name and how it is computed.
pub(super) fn run(graph: &Graph) -> Result<(String, Computed), ImportError> {
    let output = only_output(graph)?;
    let mut values: HashMap<&str, Value> = HashMap::new();
    for tensor in &graph.initializers {
        values.insert(&tensor.name, Value::Constant(Constant::read(tensor)?));
    }
    let (input, rows) = only_input(graph, &values)?;
    values.insert(input, Value::Rows(rows));
    let needed = needed(graph, output);
    for (position, node) in graph.nodes.iter().enumerate() {
        // Exporters leave parts behind that nothing reads.
        if !needed.contains(&position) {
            continue;
        }
        let value = apply(node, &values)
            .map_err(|reason| ImportError::Node { node: called(node, position), reason })?;
        let result = node.outputs.first().map(String::as_str).unwrap_or_default();
        if values.insert(result, value).is_some() {
            let reason = format!("gives {result:?}, which is there already");
            return Err(ImportError::Node { node: called(node, position), reason });
        }
    }
    let refuse = |reason: String| ImportError::tensor(output, reason);
    match values.remove(output) {
        Some(Value::Rows(chain)) => Ok((output.to_owned(), chain.finish().map_err(refuse)?)),
        Some(Value::Constant(_)) => Err(refuse("is a constant; nothing is computed of the input".to_owned())),
        None => Err(refuse("is the output, and no node gives it".to_owned())),
    }
}

/// How a node is spoken of: by its name, which may be missing, and its operator.
fn called(node: &Node, position: usize) -> String {
    match node.name.as_str() {
        "" => format!("node {position} ({})", node.op),
        name => format!("node {name:?} ({})", node.op),
    }
}

fn only_output(graph: &Graph) -> Result<&str, ImportError> {
    match graph.outputs.as_slice() {
        [output] => Ok(output.name.as_str()),
        outputs => Err(ImportError::Malformed(format!(
            "the graph has {} outputs ({}); a scorer has one",
            outputs.len(),
            names(outputs)
        ))),
    }
}

fn only_input<'a>(
    graph: &'a Graph,
    constants: &HashMap<&str, Value>,
) -> Result<(&'a str, Chain), ImportError> {
    let inputs: Vec<&ValueInfo> =
        graph.inputs.iter().filter(|input| !constants.contains_key(input.name.as_str())).collect();
    let [input] = inputs.as_slice() else {
        return Err(ImportError::Malformed(format!(
            "the graph has {} inputs ({}); a scorer reads one, customer and product embedding side by side",
            inputs.len(),
            names(inputs.iter().copied())
        )));
    };
    let refuse = |reason: &str| ImportError::tensor(&input.name, reason);
    let tensor = input.value_type.as_ref().and_then(|value| value.tensor.as_ref());
    let tensor = tensor.ok_or_else(|| refuse("is the input, and is no tensor"))?;
    if tensor.element != FLOAT {
        return Err(refuse("is the input, and is not of float32"));
    }
    let dims = tensor.shape.as_ref().map(|shape| shape.dims.as_slice()).unwrap_or_default();
    let [_, row @ ..] = dims else {
        return Err(refuse("is the input, and has no shape"));
    };
    let widths = row.iter().map(|dim| usize::try_from(dim.value.unwrap_or(0)).unwrap_or(0));
    match widths.collect::<Vec<usize>>() {
        widths if widths.is_empty() => Err(refuse("is the input, and its rows are single numbers")),
        widths if widths.len() > 1 && widths.contains(&0) => {
            Err(refuse("is the input, and leaves the size of its rows open"))
        }
        widths => Ok((input.name.as_str(), Chain::input(widths))),
    }
}

fn names<'a>(values: impl IntoIterator<Item = &'a ValueInfo>) -> String {
    values.into_iter().map(|value| value.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// Positions of the nodes that the output is computed by.
fn needed(graph: &Graph, output: &str) -> HashSet<usize> {
    let mut wanted: HashSet<&str> = HashSet::from([output]);
    let mut needed = HashSet::new();
    // Each node reads only what those before it give.
    for (position, node) in graph.nodes.iter().enumerate().rev() {
        if node.outputs.iter().any(|given| !given.is_empty() && wanted.contains(given.as_str())) {
            needed.insert(position);
            wanted.extend(node.inputs.iter().map(String::as_str));
        }
    }
    needed
}

fn apply(node: &Node, values: &HashMap<&str, Value>) -> Result<Value, String> {
    if !is_own_domain(&node.domain) {
        return Err(format!("is of {:?}; only ONNX's own operators are run", node.domain));
    }
    let mut operands = Vec::with_capacity(node.inputs.len());
    for name in &node.inputs {
        let value = match name.as_str() {
            "" => None,
            name => Some(
                values.get(name).ok_or_else(|| format!("reads {name:?}, which nothing before it gives"))?,
            ),
        };
        operands.push(value);
    }
    operators::apply(node, Operands(&operands))
}
