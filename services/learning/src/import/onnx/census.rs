//! Counts what a file would be decoded to, before it is: two bytes can be a node that takes a hundred times as
//! much memory.

use super::super::ImportError;

/// Fields of all messages together; a network of ten layers has some four hundred.
const MAX_FIELDS: usize = 100_000;

/// The messages that hold others which are decoded.
#[derive(Clone, Copy)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    ValueInfo,
    ValueType,
    TensorType,
    Shape,
    Leaf,
}

/// Refuses a file with more fields than any dense network has, or that is no protobuf message.
pub(super) fn check(file: &[u8]) -> Result<(), ImportError> {
    let mut left = MAX_FIELDS;
    count(file, Kind::Model, &mut left).ok_or(if left == 0 {
        ImportError::TooLarge { what: "the number of its parts", at_most: MAX_FIELDS }
    } else {
        ImportError::Malformed("it is no ONNX model: the file ends within a field".to_owned())
    })
}

/// `None` when nothing is left or the message ends within a field.
fn count(mut message: &[u8], kind: Kind, left: &mut usize) -> Option<()> {
    while !message.is_empty() {
        if *left == 0 {
            return None;
        }
        *left -= 1;
        let key = varint(&mut message)?;
        let skipped = match key & 7 {
            0 => {
                varint(&mut message)?;
                continue;
            }
            1 => 8,
            2 => usize::try_from(varint(&mut message)?).ok()?,
            5 => 4,
            _ => return None,
        };
        let (field, rest) = message.split_at_checked(skipped)?;
        message = rest;
        if key & 7 == 2 {
            count_within(field, kind, key >> 3, left)?;
        }
    }
    Some(())
}

fn count_within(field: &[u8], kind: Kind, number: u64, left: &mut usize) -> Option<()> {
    let inner = match (kind, number) {
        (Kind::Model, 7) => Kind::Graph,
        (Kind::Graph, 1) => Kind::Node,
        (Kind::Graph, 11 | 12) => Kind::ValueInfo,
        (Kind::Node, 5) => Kind::Attribute,
        (Kind::ValueInfo, 2) => Kind::ValueType,
        (Kind::ValueType, 1) => Kind::TensorType,
        (Kind::TensorType, 2) => Kind::Shape,
        (Kind::Model, 8) | (Kind::Graph | Kind::Attribute, 5) | (Kind::Shape, 1) => Kind::Leaf,
        _ => return Some(()),
    };
    count(field, inner, left)
}

/// Seven bits a byte, the lowest first; at most ten bytes.
fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..70).step_by(7) {
        let (&byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A length-delimited field.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2];
        let mut length = content.len();
        while length > 0x7f {
            bytes.push(length as u8 & 0x7f | 0x80);
            length >>= 7;
        }
        bytes.push(length as u8);
        [bytes, content.to_vec()].concat()
    }

    #[test]
    fn a_file_of_many_empty_nodes_is_refused_before_it_is_decoded() {
        let bomb = |nodes: usize| field(7, &field(1, &[]).repeat(nodes));

        assert!(check(&bomb(1_000)).is_ok());
        let error = check(&bomb(MAX_FIELDS)).unwrap_err().to_string();
        assert_eq!(error, "the number of its parts is more than 100000");
    }

    #[test]
    fn a_file_that_ends_within_a_field_is_no_model() {
        for file in [&[0x3a, 0x05, 0x00][..], &[0x3a], &[0xff; 12], &[0x3b]] {
            let error = check(file).unwrap_err().to_string();

            assert!(error.contains("no ONNX model"), "{error}");
        }
    }
}
