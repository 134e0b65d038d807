//! A plain table: a row per entity, numeric and categorical columns, nothing else.

use std::{
    borrow::{Borrow, Cow},
    collections::BTreeSet,
};

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::{CategoricalTransform, NumericTransform, TransformConfig, take};
use crate::{AttributeName, AttributeValue, Attributes};

/// Fitted columns, in the order of their names. Attributes that training did not see are ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableTransform {
    columns: Vec<Column>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Column {
    name: AttributeName,
    kind: ColumnKind,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ColumnKind {
    Numeric(NumericTransform),
    Categorical(CategoricalTransform),
}

impl TableTransform {
    /// Fits a column for each attribute that any training row has. A column is categorical when most of its
    /// values are text, else numeric; a value of the other kind is converted, or missing where it cannot be.
    pub fn fit<R: Borrow<Attributes>>(rows: &[R], config: &TransformConfig) -> Self {
        let names: BTreeSet<&AttributeName> = rows
            .iter()
            .flat_map(|row| row.borrow().iter().map(|(name, _)| name))
            .collect();
        let columns = names.into_iter().map(|name| {
            let values: Vec<_> = rows.iter().map(|row| row.borrow().get(name.as_str())).collect();
            Column {
                name: name.clone(),
                kind: ColumnKind::fit(&values, config),
            }
        });
        Self {
            columns: columns.collect(),
        }
    }

    /// Features `[n, width]`.
    pub fn rows<R: Borrow<Attributes>>(&self, rows: &[R]) -> Array2<f32> {
        filled(rows, self.width(), |row, features| {
            self.write(row.borrow(), features);
        })
    }

    /// How many features it gives.
    pub fn width(&self) -> usize {
        self.columns.iter().map(|column| column.kind.width()).sum()
    }

    /// The attributes that it reads, in order.
    pub fn feature_names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }

    /// Fills `features`, which is as long as [`TableTransform::width`].
    pub(super) fn write(&self, row: &Attributes, features: &mut [f32]) {
        let mut rest = features;
        for column in &self.columns {
            let value = row.get(column.name.as_str());
            column.kind.write(value, take(&mut rest, column.kind.width()));
        }
    }
}

/// A matrix with a row per entity, each filled by `write`.
pub(super) fn filled<E>(entities: &[E], width: usize, write: impl Fn(&E, &mut [f32])) -> Array2<f32> {
    let mut matrix = Array2::zeros((entities.len(), width));
    for (entity, mut row) in entities.iter().zip(matrix.rows_mut()) {
        write(
            entity,
            row.as_slice_mut().expect("a row of a fresh matrix is contiguous"),
        );
    }
    matrix
}

impl ColumnKind {
    fn fit(values: &[Option<&AttributeValue>], config: &TransformConfig) -> Self {
        let known = values.iter().flatten().count();
        let texts = values
            .iter()
            .flatten()
            .filter(|value| matches!(value, AttributeValue::Text(_)))
            .count();
        if 2 * texts > known {
            let categories: Vec<_> = values.iter().map(|value| value.and_then(category)).collect();
            Self::Categorical(CategoricalTransform::fit(
                categories.iter().map(Option::as_deref),
                config,
            ))
        } else {
            let numbers = values.iter().map(|value| value.and_then(number));
            Self::Numeric(NumericTransform::fit(numbers, config))
        }
    }

    fn width(&self) -> usize {
        match self {
            Self::Numeric(column) => column.width(),
            Self::Categorical(column) => column.width(),
        }
    }

    fn write(&self, value: Option<&AttributeValue>, features: &mut [f32]) {
        match self {
            Self::Numeric(column) => column.write(value.and_then(number), features),
            Self::Categorical(column) => column.write(value.and_then(category).as_deref(), features),
        }
    }
}

fn number(value: &AttributeValue) -> Option<f64> {
    match value {
        AttributeValue::Flag(flag) => Some(f64::from(u8::from(*flag))),
        AttributeValue::Number(number) => Some(*number),
        AttributeValue::Text(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
    }
}

/// A blank text says as little as none.
fn category(value: &AttributeValue) -> Option<Cow<'_, str>> {
    match value {
        AttributeValue::Flag(flag) => Some(Cow::Owned(flag.to_string())),
        AttributeValue::Number(number) => Some(Cow::Owned(number.to_string())),
        AttributeValue::Text(text) => Some(text.trim())
            .filter(|text| !text.is_empty())
            .map(Cow::Borrowed),
    }
}
