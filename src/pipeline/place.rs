//! Where a record stands: [`Lines`], a block with the place of its first line, and the [`Place`] of one record.
//!
//! A place is worked out only when something is to be said of a record: then lines are counted.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::input::Block;

/// A block, and where its lines stand.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    pub(super) block: Arc<Block>,
    /// Of the first line in the block.
    pub(super) first: Place,
}

/// The place of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The line of the input, counted from 1: of the record, or of the BATCH message.
    pub(super) line: u64,
    pub(super) row: Option<Row>,
}

/// A row of a BATCH file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Counted from 1.
    pub(super) number: u64,
    pub(super) file: Arc<Path>,
}

impl Lines {
    /// The place of what begins at this byte of the block.
    pub(super) fn place(&self, start: usize) -> Place {
        let before = &self.block.bytes()[..start];
        let lines = memchr::memchr_iter(b'\n', before).count() as u64;
        let mut place = self.first.clone();
        match &mut place.row {
            Some(row) => row.number += lines,
            None => place.line += lines,
        }
        place
    }

    /// Where a text that is a slice of the block begins in it.
    pub(super) fn start_of(&self, text: &str) -> usize {
        text.as_ptr().addr() - self.block.bytes().as_ptr().addr()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        match &self.row {
            Some(Row { number, file }) => {
                write!(f, ", row {number} of the BATCH file {}", file.display())
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{Pool, read_blocks};
    use crate::testing::Random;

    #[test]
    fn a_place_is_the_line_in_which_a_record_begins() {
        let mut random = Random::new("places");
        for _ in 0..500 {
            let texts: Vec<String> = (0..=random.below(20))
                .map(|_| "x".repeat(random.below(30)))
                .collect();
            let input = texts.join("\n") + "\n";
            let mut blocks = Vec::new();
            let keep = |block| {
                blocks.push(block);
                true
            };
            read_blocks(input.as_bytes(), &Pool::new(0), keep).unwrap();
            let file: Arc<Path> = Path::new("rows").into();
            let row = (random.below(2) == 0).then_some(Row { number: 5, file });
            let lines = Lines {
                block: Arc::new(blocks.remove(0)),
                first: Place { line: 7, row },
            };
            let mut start = 0;
            for (index, text) in texts.iter().enumerate() {
                let within = start + random.below(text.len() + 1);
                let place = lines.place(within);
                match place.row {
                    Some(row) => assert_eq!((place.line, row.number), (7, 5 + index as u64)),
                    None => assert_eq!(place.line, 7 + index as u64),
                }
                start += text.len() + 1;
            }
        }
    }

    #[test]
    fn a_place_is_told_as_a_reader_looks_for_it() {
        let line = Place { line: 3, row: None };
        assert_eq!(line.to_string(), "line 3");
        let file: Arc<Path> = Path::new("/data/rows").into();
        let row = Some(Row { number: 9, file });
        let text = Place { row, ..line }.to_string();
        assert_eq!(text, "line 3, row 9 of the BATCH file /data/rows");
    }
}
