//! From a table's cells to the numbers that a network reads.

use std::collections::{BTreeMap, BTreeSet};

use finrank_model::{AttributeName, AttributeValue, Attributes, TableTransform, TransformConfig};
use ndarray::{Array2, Axis, concatenate};

use super::{config::Preparation, rows::LabelledRows, table::LabelledTable};
use crate::{LearningError, Result};

/// Distinct whole numbers up to which a column is taken for a code as well as for a quantity: the bands and types
/// of a survey, of which Caravan's longest list has 41.
const MAX_CODES: usize = 64;
/// Rows in which a code must stand to be told apart.
const MIN_CODE_ROWS: usize = 15;

/// The size of a code's feature beside a number's, which has a deviation of 1: what a code has to say of its own
/// must be earned by more rows.
const CODE_SIZE: f32 = 0.3;

/// What makes features, fitted on training rows.
pub(super) enum Features {
    Fitted {
        columns: TableTransform,
        /// Columns of few whole numbers, once more.
        codes: TableTransform,
        coded: BTreeSet<AttributeName>,
    },
    AsIs,
}

impl Features {
    /// Fits to `training`, whose labels it does not see.
    pub(super) fn fit(table: &LabelledTable, training: &[usize], preparation: &Preparation) -> Self {
        let Preparation::Fitted(config) = preparation else {
            return Self::AsIs;
        };
        let rows: Vec<&Attributes> = training.iter().map(|&row| &table.rows[row]).collect();
        let coded = coded(&rows);
        let of_codes = TransformConfig {
            min_category_rows: config.min_category_rows.max(MIN_CODE_ROWS),
            max_categories: config.max_categories.max(MAX_CODES),
            ..config.clone()
        };
        Self::Fitted {
            columns: TableTransform::fit(&rows, config),
            codes: TableTransform::fit(&codes(&rows, &coded), &of_codes),
            coded,
        }
    }

    /// The features of some rows, and their labels.
    pub(super) fn of(&self, table: &LabelledTable, positions: &[usize]) -> Result<LabelledRows> {
        let features = match self {
            Self::Fitted { columns, codes: transform, coded } => {
                let rows: Vec<&Attributes> = positions.iter().map(|&row| &table.rows[row]).collect();
                let codes = transform.rows(&codes(&rows, coded)) * CODE_SIZE;
                concatenate(Axis(1), &[columns.rows(&rows).view(), codes.view()])
                    .expect("both have a row for each row")
            }
            Self::AsIs => as_they_are(table, positions)?,
        };
        Ok(LabelledRows { features, labels: positions.iter().map(|&row| table.labels[row]).collect() })
    }
}

/// Columns that hold few distinct numbers, all of them whole. Each code gets a learned vector, a row of the first
/// layer's weights, beside the column's slope: a postal area of type 8 need not lie between 7 and 9.
fn coded(rows: &[&Attributes]) -> BTreeSet<AttributeName> {
    let mut distinct: BTreeMap<&AttributeName, BTreeSet<i64>> = BTreeMap::new();
    let mut others: BTreeSet<&AttributeName> = BTreeSet::new();
    for (name, value) in rows.iter().flat_map(|row| row.iter()) {
        match value {
            AttributeValue::Number(number) if number.fract() == 0.0 && number.abs() < 1e9 => {
                let values = distinct.entry(name).or_default();
                if values.len() <= MAX_CODES {
                    values.insert(*number as i64);
                }
            }
            _ => {
                others.insert(name);
            }
        }
    }
    // Of two values the slope says all.
    let few = |values: &BTreeSet<i64>| (3..=MAX_CODES).contains(&values.len());
    let coded = distinct.into_iter().filter(|(name, values)| few(values) && !others.contains(name));
    coded.map(|(name, _)| name.clone()).collect()
}

/// The coded columns' cells as texts.
fn codes(rows: &[&Attributes], coded: &BTreeSet<AttributeName>) -> Vec<Attributes> {
    let of_row = |row: &&Attributes| {
        let cells = row.iter().filter(|(name, _)| coded.contains(*name));
        Attributes::of_table_row(cells.filter_map(|(name, value)| match value {
            AttributeValue::Number(number) => Some((name.clone(), AttributeValue::Text(number.to_string()))),
            _ => None,
        }))
    };
    rows.iter().map(of_row).collect()
}

fn as_they_are(table: &LabelledTable, rows: &[usize]) -> Result<Array2<f32>> {
    let mut features = Array2::zeros((rows.len(), table.columns.len()));
    for (&row, mut features) in rows.iter().zip(features.rows_mut()) {
        for ((name, column), feature) in table.columns.iter().zip(features.iter_mut()) {
            let Some(&AttributeValue::Number(number)) = table.rows[row].get(name.as_str()) else {
                return Err(LearningError::NotANumber { column: column.clone(), row: row + 1 });
            };
            *feature = number as f32;
        }
    }
    Ok(features)
}
