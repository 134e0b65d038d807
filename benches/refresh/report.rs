//! What was measured, for people and as JSON.

use serde_json::{Value, json};

use crate::{Arguments, ONE_IN, Result};

/// A refresh that was timed.
pub(crate) struct Timed {
    /// Embeddings written.
    pub(crate) rows: u64,
    pub(crate) seconds: f64,
    /// Of the process that serves and refreshes.
    pub(crate) peak_mib: u64,
}

/// Everything that one run of this bench measures.
pub(crate) struct Report {
    users: u32,
    settings: Value,
    /// Rows per second of each.
    pub(crate) bare_copies: Vec<f64>,
    /// To copy out all that a refresh reads, by one connection.
    pub(crate) read_seconds: f64,
    /// Into a store without a generation.
    pub(crate) first: Option<Timed>,
    /// Beside an older generation.
    pub(crate) full: Option<Timed>,
    /// By definitions without views over events.
    pub(crate) without_events: Option<Timed>,
    /// What has changed alone.
    pub(crate) changes: Option<Timed>,
    /// Interrupted half-way.
    pub(crate) resumed: Option<Timed>,
}

impl Timed {
    fn rate(&self) -> f64 {
        self.rows as f64 / self.seconds
    }

    fn json(&self) -> Value {
        json!({
            "rows": self.rows,
            "seconds": rounded(self.seconds),
            "rows_s": self.rate().round(),
            "peak_mib": self.peak_mib,
        })
    }
}

impl Report {
    pub(crate) fn new(arguments: &Arguments, settings: Value) -> Self {
        Self {
            users: arguments.users,
            settings,
            bare_copies: Vec::new(),
            read_seconds: 0.0,
            first: None,
            full: None,
            without_events: None,
            changes: None,
            resumed: None,
        }
    }

    /// Prints a table and the line of JSON.
    pub(crate) fn print(mut self) -> Result<()> {
        self.bare_copies.sort_by(f64::total_cmp);
        let bare = *self.bare_copies.get(self.bare_copies.len() / 2).ok_or("no COPY was timed")?;
        let full = self.full.as_ref().ok_or("no refresh was timed")?;
        let users = f64::from(self.users);
        let bare_both = users / (self.read_seconds + users / bare);
        println!("{:<44} {:>9} {:>9} {:>9} {:>9}", "", "rows", "seconds", "rows/s", "peak MiB");
        println!("{:<44} {:>9} {:>9} {bare:>9.0}", "bare binary COPY into a keyed table", self.users, "");
        let both = "bare binary COPY of all that is read, and this";
        println!("{both:<44} {:>9} {:>9} {bare_both:>9.0}", self.users, "");
        let lines = [
            ("first refresh", &self.first),
            ("refresh", &self.full),
            ("refresh without views over events", &self.without_events),
            ("refresh cut off half-way and gone on with", &self.resumed),
            ("refresh of changes", &self.changes),
        ];
        let mut json = json!({ "users": self.users, "settings": self.settings, "bare_copy_rows_s": bare.round(), "bare_both_rows_s": bare_both.round() });
        for (what, timed) in lines {
            let timed = timed.as_ref().ok_or("not everything was timed")?;
            let Timed { rows, seconds, peak_mib, .. } = timed;
            println!("{what:<44} {rows:>9} {seconds:>9.2} {:>9.0} {peak_mib:>9}", timed.rate());
            json[what] = timed.json();
        }
        json["ratio_to_both"] = rounded(full.rate() / bare_both).into();
        for (name, timed) in [("ratio", &self.full), ("ratio_without_events", &self.without_events)] {
            json[name] = rounded(timed.as_ref().map_or(0.0, Timed::rate) / bare).into();
        }
        let changes = self.changes.as_ref().map_or(0.0, |timed| timed.seconds / full.seconds);
        json["changes_share"] = rounded(changes).into();
        println!(
            "\na refresh reaches {:.0} % of a bare COPY, {:.0} % without views over events, and {:.0} % of COPY out and in;\n\
             with one customer in {ONE_IN} changed it takes {:.1} % of its time",
            100.0 * full.rate() / bare,
            100.0 * self.without_events.as_ref().map_or(0.0, Timed::rate) / bare,
            100.0 * full.rate() / bare_both,
            100.0 * changes,
        );
        println!("{json}");
        Ok(())
    }
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
