//! What each operator does to constants and to what is computed of the input.

use ndarray::{Array1, Array2};

use super::{
    chain::Chain,
    graph::Value,
    proto::{Attribute, Node},
    tensor::{Constant, FLOAT, INT64, Values},
};

/// Stands in a computed shape for the number of rows, which is known only when the network runs.
const ROWS: i64 = i64::MIN;

/// A node's inputs; one that is left out is `None`.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a>(pub(super) &'a [Option<&'a Value>]);

impl<'a> Operands<'a> {
    fn optional(&self, position: usize) -> Option<&'a Value> {
        self.0.get(position).copied().flatten()
    }

    fn value(&self, position: usize) -> Result<&'a Value, String> {
        self.optional(position).ok_or_else(|| format!("has no input {position}"))
    }

    fn rows(&self, position: usize) -> Result<Chain, String> {
        match self.value(position)? {
            Value::Rows(rows) => Ok(rows.clone()),
            Value::Constant(_) => Err(format!("has a constant as input {position}")),
        }
    }

    fn constant(&self, position: usize) -> Result<&'a Constant, String> {
        match self.value(position)? {
            Value::Constant(constant) => Ok(constant),
            Value::Rows(_) => Err(format!("computes its input {position} of the network's input")),
        }
    }

    fn ints(&self, position: usize) -> Result<&'a [i64], String> {
        match &self.constant(position)?.values {
            Values::Ints(ints) => Ok(ints),
            Values::Floats(_) => Err(format!("has an input {position} that is not of whole numbers")),
        }
    }
}

/// What a node gives.
pub(super) fn apply(node: &Node, operands: Operands<'_>) -> Result<Value, String> {
    match node.op.as_str() {
        "Gemm" => gemm(node, &operands),
        "MatMul" => {
            let weight = matrix(operands.constant(1)?)?;
            let bias = Array1::zeros(weight.ncols());
            operands.rows(0)?.multiply(weight, bias).map(Value::Rows)
        }
        "Add" | "Sub" | "Mul" | "Div" => arithmetic(&node.op, &operands),
        "Relu" => operands.rows(0)?.relu().map(Value::Rows),
        "Sigmoid" => operands.rows(0)?.sigmoid().map(Value::Rows),
        "Identity" => operands.value(0).cloned(),
        "Dropout" if operands.optional(2).is_none() => operands.value(0).cloned(),
        "Cast" => cast(node, &operands),
        "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" => reshape(node, &operands),
        "Transpose" => transpose(node, &operands),
        "Constant" => constant(node),
        "Shape" => shape(&operands),
        "Gather" => gather(node, &operands),
        "Concat" => concat(node, &operands),
        _ => Err("cannot be run: a scorer is made of Gemm, MatMul, Add, Relu and Sigmoid".to_owned()),
    }
}

fn attribute<'a>(node: &'a Node, name: &str) -> Option<&'a Attribute> {
    node.attributes.iter().find(|attribute| attribute.name == name)
}

fn int(node: &Node, name: &str, default: i64) -> i64 {
    attribute(node, name).map_or(default, |attribute| attribute.int)
}

/// `alpha · rows · B + beta · C`.
fn gemm(node: &Node, operands: &Operands<'_>) -> Result<Value, String> {
    let factor = |name| attribute(node, name).map_or(1.0, |attribute| attribute.float);
    let rows = operands.rows(0)?;
    if int(node, "transA", 0) != 0 {
        return Err("transposes the rows".to_owned());
    }
    let mut weight = matrix(operands.constant(1)?)?;
    if int(node, "transB", 0) != 0 {
        weight = weight.reversed_axes();
    }
    weight *= factor("alpha");
    let mut bias = Array1::zeros(weight.ncols());
    if operands.optional(2).is_some() {
        let found = vector(operands.constant(2)?)?;
        match found {
            [one] => bias.fill(*one),
            many if many.len() == bias.len() => bias.assign(&Array1::from_vec(many.to_vec())),
            _ => return Err(format!("adds {} numbers to {}", found.len(), bias.len())),
        }
        bias *= factor("beta");
    }
    rows.multiply(weight, bias).map(Value::Rows)
}

/// The input's numbers with a constant.
fn arithmetic(op: &str, operands: &Operands<'_>) -> Result<Value, String> {
    let (rows, constant, rows_first) = match (operands.value(0)?, operands.value(1)?) {
        (Value::Rows(rows), Value::Constant(constant)) => (rows, constant, true),
        (Value::Constant(constant), Value::Rows(rows)) => (rows, constant, false),
        _ => return Err("needs one constant and one value that is computed of the input".to_owned()),
    };
    let values = vector(constant)?;
    let negated = || values.iter().map(|value| -value).collect::<Vec<f32>>();
    let rows = rows.clone();
    let computed = match (op, rows_first) {
        ("Add", _) => rows.scale_and_add(&[1.0], values),
        ("Mul", _) => rows.scale_and_add(values, &[0.0]),
        ("Sub", true) => rows.scale_and_add(&[1.0], &negated()),
        ("Sub", false) => rows.scale_and_add(&[-1.0], values),
        ("Div", true) if !values.contains(&0.0) => {
            let inverse: Vec<f32> = values.iter().map(|value| value.recip()).collect();
            rows.scale_and_add(&inverse, &[0.0])
        }
        _ => Err("divides by zero, or by what is computed of the input".to_owned()),
    };
    computed.map(Value::Rows)
}

fn cast(node: &Node, operands: &Operands<'_>) -> Result<Value, String> {
    let to = int(node, "to", 0) as i32;
    match operands.value(0)? {
        Value::Rows(rows) if to == FLOAT => Ok(Value::Rows(rows.clone())),
        Value::Constant(Constant { shape, values }) => {
            let values = match (values, to) {
                (Values::Floats(_), FLOAT) | (Values::Ints(_), INT64) => values.clone(),
                (Values::Ints(ints), FLOAT) => Values::Floats(ints.iter().map(|&int| int as f32).collect()),
                _ => return Err(format!("casts to ONNX's element type {to}")),
            };
            Ok(Value::Constant(Constant { shape: shape.clone(), values }))
        }
        Value::Rows(_) => Err(format!("casts to ONNX's element type {to}; rows are of float32 (1)")),
    }
}

/// Rows may only be flattened, or lose or gain a dimension of 1 behind the first; constants may become anything.
fn reshape(node: &Node, operands: &Operands<'_>) -> Result<Value, String> {
    match operands.value(0)? {
        Value::Rows(rows) => {
            let (row, is_vector) = row_after(node, operands, rows)?;
            Ok(Value::Rows(rows.clone().reshaped(row, is_vector)))
        }
        Value::Constant(constant) => {
            let shape = match node.op.as_str() {
                "Reshape" => resolved(operands.ints(1)?, &constant.shape, constant.shape.iter().product())?,
                "Unsqueeze" | "Squeeze" => {
                    let axes = axes(node, operands)?;
                    let one = axes.is_empty() || axes == [0];
                    match (node.op.as_str(), constant.shape.as_slice()) {
                        ("Unsqueeze", shape) if axes == [0] => [&[1][..], shape].concat(),
                        ("Squeeze", [1, rest @ ..]) if one => rest.to_vec(),
                        _ => return Err(format!("changes the axes {axes:?} of a constant")),
                    }
                }
                _ => return Err("flattens a constant".to_owned()),
            };
            Ok(Value::Constant(Constant { shape, values: constant.values.clone() }))
        }
    }
}

/// The dimensions of a row after a node that changes them, and whether the rows have become one vector.
fn row_after(node: &Node, operands: &Operands<'_>, rows: &Chain) -> Result<(Vec<usize>, bool), String> {
    let row = &rows.row;
    let count: usize = row.iter().product();
    match node.op.as_str() {
        "Flatten" => match int(node, "axis", 1) {
            1 => Ok((vec![count], false)),
            -1 if row.len() == 1 && !rows.is_vector => Ok((vec![count], false)),
            axis => Err(format!("flattens from axis {axis}, which joins rows")),
        },
        "Reshape" => match operands.ints(1)? {
            // The first dimension is that of the rows: as it is, whatever is left, or named as such.
            [0 | -1 | ROWS, width] if *width == -1 || usize::try_from(*width) == Ok(count) => {
                Ok((vec![count], false))
            }
            [0 | -1 | ROWS, 0] if row.len() == 1 && !rows.is_vector => Ok((row.clone(), false)),
            [-1 | ROWS] if count == 1 => Ok((vec![1], true)),
            shape => Err(format!("gives rows of {count} numbers the shape {shape:?}")),
        },
        // A vector of scores and a column of them are the same rows.
        op => match (op, axes(node, operands)?) {
            ("Squeeze", [] | [1 | -1]) if count == 1 && !rows.is_vector => Ok((vec![1], true)),
            ("Unsqueeze", [1 | -1]) if rows.is_vector => Ok((vec![1], false)),
            (_, axes) => Err(format!("changes the axes {axes:?} of rows of {count} numbers")),
        },
    }
}

/// Axes stand in an attribute up to version 12 of the operators, then in an input.
fn axes<'a>(node: &'a Node, operands: &Operands<'a>) -> Result<&'a [i64], String> {
    match (attribute(node, "axes"), operands.optional(1)) {
        (Some(axes), _) => Ok(&axes.ints),
        (None, Some(_)) => operands.ints(1),
        (None, None) => Ok(&[]),
    }
}

/// A constant's new shape, in which 0 keeps a dimension and -1 takes what is left.
fn resolved(asked: &[i64], shape: &[usize], count: usize) -> Result<Vec<usize>, String> {
    let refuse = || format!("gives a constant of the shape {shape:?} the shape {asked:?}");
    let mut resolved = Vec::with_capacity(asked.len());
    for (dim, &asked) in asked.iter().enumerate() {
        resolved.push(match asked {
            0 => Some(*shape.get(dim).ok_or_else(refuse)?),
            -1 => None,
            size => Some(usize::try_from(size).map_err(|_| refuse())?),
        });
    }
    let known = resolved.iter().flatten().try_fold(1usize, |known, &size| known.checked_mul(size));
    let known = known.ok_or_else(refuse)?;
    let rest = count.checked_div(known).unwrap_or(0);
    let resolved: Vec<usize> = resolved.into_iter().map(|size| size.unwrap_or(rest)).collect();
    let product = resolved.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    if product == Some(count) { Ok(resolved) } else { Err(refuse()) }
}

fn transpose(node: &Node, operands: &Operands<'_>) -> Result<Value, String> {
    let constant = operands.constant(0)?;
    let reversed = || (0..constant.shape.len()).rev().collect::<Vec<usize>>();
    let order = attribute(node, "perm").map_or_else(reversed, |attribute| {
        attribute.ints.iter().map(|&dim| usize::try_from(dim).unwrap_or(usize::MAX)).collect()
    });
    let transposed = constant.transpose(&order);
    transposed
        .map(Value::Constant)
        .ok_or_else(|| format!("orders {} dimensions as {order:?}", constant.shape.len()))
}

fn constant(node: &Node) -> Result<Value, String> {
    let floats = |shape, floats| Constant { shape, values: Values::Floats(floats) };
    let [attribute] = node.attributes.as_slice() else {
        return Err("must have one attribute, its value".to_owned());
    };
    let constant = match attribute.name.as_str() {
        "value" => match &attribute.tensor {
            Some(tensor) => Constant::read(tensor).map_err(|error| format!("holds a value whose {error}"))?,
            None => return Err("has no value".to_owned()),
        },
        "value_float" => floats(Vec::new(), vec![attribute.float]),
        "value_floats" => floats(vec![attribute.floats.len()], attribute.floats.clone()),
        "value_int" => Constant { shape: Vec::new(), values: Values::Ints(vec![attribute.int]) },
        "value_ints" => Constant::ints(attribute.ints.clone()),
        other => return Err(format!("has a value of the kind {other:?}")),
    };
    Ok(Value::Constant(constant))
}

/// PyTorch writes `x.view(x.size(0), -1)` as the shape's parts, joined.
fn shape(operands: &Operands<'_>) -> Result<Value, String> {
    let rows = operands.rows(0)?;
    let row = rows.row.iter().map(|&size| size as i64);
    Ok(Value::Constant(Constant::ints(std::iter::once(ROWS).chain(row).collect())))
}

fn gather(node: &Node, operands: &Operands<'_>) -> Result<Value, String> {
    let (from, at) = (operands.ints(0)?, operands.constant(1)?);
    let refuse = || "takes from more than a vector of whole numbers".to_owned();
    if operands.constant(0)?.shape.len() != 1 || int(node, "axis", 0) != 0 {
        return Err(refuse());
    }
    let taken = operands.ints(1)?.iter().map(|&position| {
        let position = if position < 0 { position.checked_add(from.len() as i64)? } else { position };
        from.get(usize::try_from(position).ok()?).copied()
    });
    let taken: Option<Vec<i64>> = taken.collect();
    let values = taken.ok_or_else(|| "takes from past the end".to_owned())?;
    Ok(Value::Constant(Constant { shape: at.shape.clone(), values: Values::Ints(values) }))
}

fn concat(node: &Node, operands: &Operands<'_>) -> Result<Value, String> {
    let mut joined = Vec::new();
    for position in 0..operands.0.len() {
        if operands.constant(position)?.shape.len() != 1 || !matches!(int(node, "axis", 0), 0 | -1) {
            return Err("joins more than vectors of whole numbers".to_owned());
        }
        joined.extend_from_slice(operands.ints(position)?);
    }
    Ok(Value::Constant(Constant::ints(joined)))
}

/// A constant `[inputs, outputs]`.
fn matrix(constant: &Constant) -> Result<Array2<f32>, String> {
    match (constant.shape.as_slice(), &constant.values) {
        (&[rows, columns], Values::Floats(values)) => {
            Array2::from_shape_vec((rows, columns), values.clone()).map_err(|error| error.to_string())
        }
        (shape, _) => {
            Err(format!("multiplies by a constant of the shape {shape:?}, not by a float32 matrix"))
        }
    }
}

/// A constant of one number, or of one for each of a row.
fn vector(constant: &Constant) -> Result<&[f32], String> {
    let is_vector = matches!(constant.shape.as_slice(), [] | [_] | [1, _]);
    match &constant.values {
        Values::Floats(values) if is_vector && !values.is_empty() => Ok(values),
        _ => Err(format!("reads a constant of the shape {:?}, not one float32 vector", constant.shape)),
    }
}
