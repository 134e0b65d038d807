//! The bytes of the row being read, as they stand in the file.
//!
//! A rejected row is kept verbatim, which the parser's fields do not allow. Its line needs the bytes too: the
//! parser takes a row to begin where the one before ended, which is one line early after CRLF and as many lines
//! early as there are blank lines between (csv-core 0.1.13).

use std::{
    io::{self, Read},
    ops::Range,
};

/// The longest row. A quote that is left open makes one row of all that follows; it is not to fill the memory.
pub(in crate::import) const MAX_ROW_BYTES: usize = 16 << 20;

/// A source that remembers what it gave since the current row began.
pub(super) struct Tape<R> {
    source: R,
    kept: Vec<u8>,
    /// Where in the source `kept` begins.
    first: u64,
    /// Where in `kept` the current row begins.
    row: usize,
}

impl<R> Tape<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, kept: Vec::new(), first: 0, row: 0 }
    }

    /// The next row begins at this byte; what is before may be forgotten.
    pub(super) fn begin_row(&mut self, byte: u64) {
        self.row = self.place(byte);
    }

    /// What was given, from the current row on.
    pub(super) fn given(&self, range: Range<u64>) -> &[u8] {
        &self.kept[self.place(range.start)..self.place(range.end)]
    }

    /// Whether the current row is longer than a row may be; reading fails then.
    pub(super) fn is_full(&self) -> bool {
        self.kept.len() - self.row > MAX_ROW_BYTES
    }

    fn place(&self, byte: u64) -> usize {
        // What is kept is at most a row and a buffer long.
        (byte - self.first) as usize
    }
}

impl<R: Read> Read for Tape<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.is_full() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.kept.drain(..self.row);
        self.first += self.row as u64;
        self.row = 0;
        let count = self.source.read(into)?;
        self.kept.extend_from_slice(&into[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_the_current_row_and_nothing_before_it() {
        let mut tape = Tape::new(&b"first,second,third"[..]);
        let mut buffer = [0; 6];
        tape.read_exact(&mut buffer).unwrap();

        tape.begin_row(6);
        tape.read_exact(&mut buffer).unwrap();
        tape.read_exact(&mut buffer).unwrap();

        assert_eq!(tape.given(6..13), b"second,");
        assert_eq!((tape.first, tape.kept.len()), (6, 12));
    }

    #[test]
    fn refuses_to_go_on_with_a_row_that_does_not_end() {
        let mut tape = Tape::new(io::repeat(b'x'));

        let error = io::copy(&mut tape, &mut io::sink()).unwrap_err();

        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert!(tape.is_full());
    }
}
