//! A labelled CSV file: which column is the label, what its two values mean, and the other cells.

use std::{collections::BTreeSet, fs::File, path::Path};

use csv::StringRecord;
use finrank_model::{AttributeName, AttributeValue, Attributes};

use crate::{LearningError, Result};

/// Cells that say that the value is not known.
const MISSING: [&str; 6] = ["", "na", "n/a", "nan", "null", "?"];
/// Labels that mean yes beside their opposite, in lower case.
const YES: [&str; 5] = ["yes", "true", "1", "y", "t"];
/// How many distinct labels an error lists.
const LISTED_LABELS: usize = 5;

/// Rows with what is to be predicted.
#[derive(Debug)]
pub(super) struct LabelledTable {
    pub(super) rows: Vec<Attributes>,
    /// As long as `rows`.
    pub(super) labels: Vec<bool>,
    /// The label's value that counts as yes.
    pub(super) positive: String,
    /// The other one.
    pub(super) negative: String,
    /// Columns without the label and the folds: the name in `rows`, and the one in the file.
    pub(super) columns: Vec<(AttributeName, String)>,
    /// The fold of each row, a position in `fold_names`; empty when no column says.
    pub(super) folds: Vec<usize>,
    /// The values of the column that says, in order.
    pub(super) fold_names: Vec<String>,
}

/// Reads a file with a header. A cell that reads as a number is one; the transform decides what its column
/// is. A first column without a name numbers the rows, as R and pandas write it, and is left out.
///
/// `fold_name` names a column that says in which fold a row is held out; it is no feature.
pub(super) fn read(path: &Path, label: &str, fold_name: Option<&str>) -> Result<LabelledTable> {
    let file = File::open(path).map_err(|source| LearningError::Read { path: path.to_owned(), source })?;
    let in_file = |source| LearningError::Csv { path: path.to_owned(), source };
    let mut reader = csv::Reader::from_reader(file);
    let header = reader.headers().map_err(in_file)?.clone();
    let label_column = find_column(path, &header, label)?;
    let fold_column = fold_name.map(|name| find_column(path, &header, name)).transpose()?;
    let features = header
        .iter()
        .enumerate()
        .filter(|&(column, _)| column != label_column && Some(column) != fold_column)
        .filter(|&(column, name)| !(column == 0 && is_row_number(name)))
        // Names are free text and may repeat; the transform needs its own kind, one for each column.
        .map(|(column, _)| Ok((column, AttributeName::parse(format!("c{column:06}"))?)));
    let columns: Vec<(usize, AttributeName)> = features.collect::<Result<_>>()?;

    let (mut rows, mut raw_labels, mut raw_folds) = (Vec::new(), Vec::new(), Vec::new());
    for record in reader.records() {
        let record = record.map_err(in_file)?;
        let raw = said(&record, label_column, label)?;
        raw_labels.push(raw.to_owned());
        if let (Some(column), Some(name)) = (fold_column, fold_name) {
            raw_folds.push(said(&record, column, name)?.to_owned());
        }
        rows.push(cells(&record, &columns));
    }
    if rows.is_empty() {
        return Err(LearningError::EmptyTable { path: path.to_owned() });
    }
    let [negative, positive] = two_values(&raw_labels, label)?;
    let fold_names: Vec<String> = BTreeSet::from_iter(raw_folds.iter().cloned()).into_iter().collect();
    let fold = |name: &String| fold_names.partition_point(|other| other < name);
    Ok(LabelledTable {
        labels: raw_labels.iter().map(|raw| *raw == positive).collect(),
        rows,
        positive,
        negative,
        columns: columns.into_iter().map(|(column, name)| (name, header[column].to_owned())).collect(),
        folds: raw_folds.iter().map(fold).collect(),
        fold_names,
    })
}

fn find_column(path: &Path, header: &StringRecord, column: &str) -> Result<usize> {
    header.iter().position(|name| name.trim() == column).ok_or_else(|| LearningError::NoColumn {
        path: path.to_owned(),
        column: column.to_owned(),
        columns: header.iter().map(str::to_owned).collect(),
    })
}

/// The cell of a column that must be filled.
fn said<'a>(record: &'a StringRecord, column: usize, name: &str) -> Result<&'a str> {
    let cell = record[column].trim();
    if is_missing(cell) {
        let line = record.position().map_or(0, csv::Position::line);
        return Err(LearningError::MissingCell { column: name.to_owned(), line });
    }
    Ok(cell)
}

fn is_row_number(name: &str) -> bool {
    name.trim().is_empty() || name.to_lowercase().starts_with("unnamed")
}

fn is_missing(cell: &str) -> bool {
    MISSING.contains(&cell.to_lowercase().as_str())
}

fn cells(record: &StringRecord, columns: &[(usize, AttributeName)]) -> Attributes {
    let known = columns.iter().filter_map(|(column, name)| {
        let cell = record[*column].trim();
        (!is_missing(cell)).then(|| (name.clone(), value(cell)))
    });
    Attributes::of_table_row(known)
}

fn value(cell: &str) -> AttributeValue {
    match cell.parse::<f64>() {
        Ok(number) if number.is_finite() => AttributeValue::Number(number),
        _ => AttributeValue::Text(cell.to_owned()),
    }
}

/// The label's no and yes: of two values the one that usually means yes, else the later one.
fn two_values(labels: &[String], label: &str) -> Result<[String; 2]> {
    let distinct: BTreeSet<&String> = labels.iter().collect();
    let distinct: Vec<&String> = distinct.into_iter().take(LISTED_LABELS).collect();
    let [first, second] = distinct.as_slice() else {
        return Err(LearningError::NotBinary {
            label: label.to_owned(),
            values: distinct.into_iter().cloned().collect(),
        });
    };
    let is_yes = |value: &str| YES.contains(&value.to_lowercase().as_str());
    if is_yes(first) && !is_yes(second) {
        Ok([(*second).clone(), (*first).clone()])
    } else {
        Ok([(*first).clone(), (*second).clone()])
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read_text(text: &str, label: &str) -> Result<LabelledTable> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        read(file.path(), label, None)
    }

    fn error(text: &str, label: &str) -> String {
        let message = read_text(text, label).unwrap_err().to_string();
        // The file's name is another one in each run.
        match message.split_once(' ') {
            Some((path, rest)) if path.starts_with('/') => rest.to_owned(),
            _ => message,
        }
    }

    #[test]
    fn numbers_are_numbers_and_missing_cells_are_left_out() {
        let table = read_text("age,city,bought\n 41 ,Rome,yes\nNA,,no\n", "bought").unwrap();

        assert_eq!(table.rows[0].get("c000000"), Some(&AttributeValue::Number(41.0)));
        assert_eq!(table.rows[0].get("c000001"), Some(&AttributeValue::Text("Rome".to_owned())));
        assert_eq!(table.rows[1], Attributes::default());
        assert_eq!(table.labels, [true, false]);
        assert_eq!(table.columns.len(), 2);
    }

    #[test]
    fn of_two_labels_the_usual_yes_is_yes_else_the_later() {
        let positive = |a, b| read_text(&format!("x,y\n1,{a}\n2,{b}\n"), "y").unwrap().positive;

        assert_eq!(positive("Yes", "no"), "Yes");
        assert_eq!(positive("0", "1"), "1");
        assert_eq!(positive("true", "zero"), "true");
        assert_eq!(positive("good", "bad"), "good");
    }

    #[test]
    fn a_first_column_without_a_name_numbers_the_rows() {
        assert_eq!(read_text(",x,y\n1,5,0\n2,6,1\n", "y").unwrap().columns.len(), 1);
    }

    #[test]
    fn a_table_may_be_wider_and_its_cells_longer_than_an_entity_allows() {
        let names: Vec<String> = (0..600).map(|column| format!("Column {column}")).collect();
        let note = "x".repeat(5000);
        let row = vec![note.as_str(); 600].join(",");

        let table = read_text(&format!("{},y\n{row},0\n{row},1\n", names.join(",")), "y").unwrap();

        assert_eq!(table.columns.len(), 600);
        assert_eq!(table.rows[1].get("c000599"), Some(&AttributeValue::Text(note)));
    }

    #[test]
    fn a_column_may_say_which_fold_a_row_is_of_and_is_no_feature() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"x,fold,y\n1,b,0\n2,a,1\n3,b,1\n").unwrap();

        let table = read(file.path(), "y", Some("fold")).unwrap();
        let missing = read(file.path(), "y", Some("part")).unwrap_err().to_string();

        assert_eq!(
            (table.columns.len(), table.folds, table.fold_names),
            (1, vec![1, 0, 1], vec!["a".to_owned(), "b".to_owned()])
        );
        assert!(missing.ends_with("has no column \"part\"; it has x, fold, y"), "{missing}");
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_name() {
        assert_eq!(read_text("\u{feff}y,x\n0,1\n1,2\n", "y").unwrap().columns.len(), 1);
    }

    #[test]
    fn says_what_is_wrong_with_the_table() {
        assert_eq!(error("x,y\n1,2\n", "z"), "has no column \"z\"; it has x, y");
        assert_eq!(error("x,y\n", "y"), "has no rows below its header");
        assert_eq!(
            error("x,y\n1,no\n2,no\n", "y"),
            "column \"y\" must hold two distinct values, it holds only \"no\""
        );
        assert_eq!(
            error("x,y\n1,a\n2,b\n3,c\n", "y"),
            "column \"y\" must hold two distinct values, it holds 3 or more: \"a\", \"b\", \"c\""
        );
        assert_eq!(error("x,y\n1,yes\n2,\n", "y"), "line 3: column \"y\" is empty");
    }

    #[test]
    fn a_file_that_is_not_there_or_ragged_is_named() {
        let missing = read(Path::new("/nowhere/table.csv"), "y", None).unwrap_err().to_string();

        assert!(missing.starts_with("cannot read /nowhere/table.csv: "), "{missing}");
        let ragged = error("x,y\n1,yes\n2\n", "y");
        assert!(ragged.contains("line: 3"), "{ragged}");
        assert!(error("", "y").contains("has no column"));
    }
}
