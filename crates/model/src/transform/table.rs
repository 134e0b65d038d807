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
pub(super) enum ColumnKind {
    Numeric(NumericTransform),
    Categorical(CategoricalTransform),
}

impl TableTransform {
    /// Fits a column for each attribute that any training row has. A column is categorical when most of its
    /// values are text, else numeric; a value of the other kind is converted, or missing where it cannot be.
    pub fn fit<R: Borrow<Attributes>>(rows: &[R], config: &TransformConfig) -> Self {
        let names: BTreeSet<&AttributeName> =
            rows.iter().flat_map(|row| row.borrow().iter().map(|(name, _)| name)).collect();
        let columns = names.into_iter().map(|name| {
            let values: Vec<_> = rows.iter().map(|row| row.borrow().get(name.as_str())).collect();
            Column { name: name.clone(), kind: ColumnKind::fit(&values, config) }
        });
        Self { columns: columns.collect() }
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

    /// The attributes that it reads, in order, each with how many features it gives.
    pub(super) fn widths(&self) -> impl Iterator<Item = (&AttributeName, usize)> {
        self.columns.iter().map(|column| (&column.name, column.kind.width()))
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
        write(entity, row.as_slice_mut().expect("a row of a fresh matrix is contiguous"));
    }
    matrix
}

impl ColumnKind {
    /// A column is categorical when most of its values are text, else numeric.
    pub(super) fn fit(values: &[Option<&AttributeValue>], config: &TransformConfig) -> Self {
        let known = values.iter().flatten().count();
        let texts = values.iter().flatten().filter(|value| matches!(value, AttributeValue::Text(_))).count();
        if 2 * texts > known {
            let categories: Vec<_> = values.iter().map(|value| value.and_then(category)).collect();
            Self::Categorical(CategoricalTransform::fit(categories.iter().map(Option::as_deref), config))
        } else {
            let numbers = values.iter().map(|value| value.and_then(number));
            Self::Numeric(NumericTransform::fit(numbers, config))
        }
    }

    pub(super) fn width(&self) -> usize {
        match self {
            Self::Numeric(column) => column.width(),
            Self::Categorical(column) => column.width(),
        }
    }

    pub(super) fn write(&self, value: Option<&AttributeValue>, features: &mut [f32]) {
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
        AttributeValue::Text(text) => Some(text.trim()).filter(|text| !text.is_empty()).map(Cow::Borrowed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(entries: &[(&str, AttributeValue)]) -> Attributes {
        Attributes::new(entries.iter().map(|(name, value)| ((*name).to_owned(), value.clone()))).unwrap()
    }

    fn number(value: f64) -> AttributeValue {
        AttributeValue::Number(value)
    }

    fn text(value: &str) -> AttributeValue {
        AttributeValue::Text(value.to_owned())
    }

    /// Twenty rows: `age` 20 to 39, `city` Rome or Oslo in turn.
    fn people() -> Vec<Attributes> {
        (0..20)
            .map(|index| {
                let city = if index % 2 == 0 { "Rome" } else { "Oslo" };
                row(&[("age", number(f64::from(20 + index))), ("city", text(city))])
            })
            .collect()
    }

    fn fit(rows: &[Attributes]) -> TableTransform {
        TableTransform::fit(rows, &TransformConfig::default())
    }

    #[test]
    fn a_column_is_what_most_of_its_values_are() {
        let one_note = row(&[("age", text("unknown")), ("city", number(7.0))]);

        let table = fit(&[people(), vec![one_note]].concat());

        // age: value and missing, since the note is no number; city: Oslo, Rome, unknown.
        assert_eq!(table.width(), 2 + 3);
        assert_eq!(table.feature_names().collect::<Vec<_>>(), ["age", "city"]);
    }

    #[test]
    fn a_number_written_as_text_is_a_number() {
        let table = fit(&people());

        let features = table.rows(&[row(&[("age", text(" 33 "))]), row(&[("age", number(33.0))])]);

        assert_eq!(features.row(0), features.row(1));
    }

    #[test]
    fn a_blank_category_is_missing() {
        let table = fit(&[people(), vec![row(&[])]].concat());

        let features = table.rows(&[row(&[("city", text("  "))]), row(&[])]);

        assert_eq!(features.row(0), features.row(1));
    }

    #[test]
    fn attributes_that_training_did_not_see_are_ignored() {
        let table = fit(&people());
        let known = people().remove(0);
        let mut entries: Vec<_> = known.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        entries.push(("shoe_size", number(44.0)));

        let features = table.rows(&[row(&entries), known]);

        assert_eq!(features.row(0), features.row(1));
    }

    #[test]
    fn a_row_is_the_same_alone_and_among_others() {
        let table = fit(&people());

        let together = table.rows(&people());

        for (index, person) in people().iter().enumerate() {
            assert_eq!(table.rows(&[person]).row(0), together.row(index));
        }
    }

    #[test]
    fn knows_nothing_of_rows_that_it_was_not_fitted_on() {
        let (training, held_out) = (people(), row(&[("age", number(1e9)), ("city", text("Lima"))]));
        let table = fit(&training);

        let features = table.rows(&[held_out, row(&[("age", number(39.0)), ("city", text("Kyiv"))])]);

        assert_eq!(features.row(0), features.row(1), "clipped at the oldest in training, city unknown");
    }

    #[test]
    fn a_table_without_rows_or_columns_has_no_features() {
        assert_eq!(fit(&[]).width(), 0);
        assert_eq!(fit(&[]).rows(&people()).dim(), (20, 0));
    }

    #[test]
    fn comes_back_from_json_as_it_was() {
        let table = fit(&people());

        let back: TableTransform = serde_json::from_str(&serde_json::to_string(&table).unwrap()).unwrap();

        assert_eq!(back, table);
    }
}
