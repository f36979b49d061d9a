//! Rows of BATCH files to messages, and the threads that read blocks.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use crossbeam_channel::Receiver;
use flate2::bufread::MultiGzDecoder;

use super::Input;
use super::flow::{Flow, spawn};
use super::parse::{lines, split_utf8};
use super::place::{Lines, Place, Row};
use crate::error::{Error, Kind};
use crate::input::{Pool, read_blocks};
use crate::singer::batch::Batch;
use crate::singer::json::Scanner;
use crate::singer::message::describe_fault;
use crate::singer::stream::check_record;

/// Blocks that may wait to be parsed.
const QUEUED_BLOCKS: usize = 6;

impl Flow {
    pub(super) fn take_batch(&mut self, place: usize, batch: &Batch) -> Result<(), Error> {
        for path in &batch.files {
            let rows = open_rows(path, batch.gzip)?;
            let file: Arc<Path> = path.as_path().into();
            let mut row = 0;
            let of_row = |error: Error, row: u64| {
                let text = error.to_string();
                let what = format!("row {row} of the BATCH file {}", path.display());
                Error::new(error.kind(), what).cause(text)
            };
            while let Some(input) = self.next_input(&rows)? {
                match input {
                    Input::Block(block) => {
                        let lines = Lines {
                            block: Arc::new(block),
                            first: Place {
                                line: self.counts.lines,
                                row: Some(Row {
                                    number: row + 1,
                                    file: Arc::clone(&file),
                                }),
                            },
                        };
                        let outcome = self.take_rows(place, &lines, &mut row);
                        let outcome = outcome.map_err(|error| of_row(error, row));
                        self.hand_out(&lines).and(outcome)?;
                    }
                    Input::Failed(error) => return Err(of_row(error, row + 1)),
                    Input::Confirm(_) => {}
                }
            }
            log::info!("Processing batch of {row} records");
        }
        Ok(())
    }

    /// Publishes rows of a BATCH file. As in the SDK they are taken as they are: keys are not asked for.
    fn take_rows(&mut self, place: usize, rows: &Lines, row: &mut u64) -> Result<(), Error> {
        let (text, bad_line) = split_utf8(rows.block.bytes());
        for line in lines(text) {
            *row += 1;
            let mut scanner = Scanner::new(line);
            let record = scanner
                .value()
                .and_then(|record| scanner.end().map(|()| record))
                .map_err(|fault| describe_fault(line, fault))?;
            check_record(record)?;
            self.push(place, record, rows)?;
        }
        bad_line.map_or(Ok(()), |error| {
            *row += 1;
            Err(error)
        })
    }
}

/// Reads a BATCH file on a thread of its own: a file may be a pipe, or on a disk that hangs.
fn open_rows(path: &Path, gzip: bool) -> Result<Receiver<Input>, Error> {
    let path = path.to_owned();
    let open = move || {
        let file = BufReader::new(File::open(path)?);
        Ok(if gzip {
            Box::new(MultiGzDecoder::new(file)) as Box<dyn Read>
        } else {
            Box::new(file)
        })
    };
    start_reader("batch-reader", open, Pool::new(0))
}

/// Starts a thread that opens a source and reads it into blocks.
pub(crate) fn start_reader<R: Read>(
    name: &str,
    open: impl FnOnce() -> io::Result<R> + Send + 'static,
    pool: Arc<Pool>,
) -> Result<Receiver<Input>, Error> {
    let (inputs, receiver) = crossbeam_channel::bounded(QUEUED_BLOCKS);
    spawn(name.to_owned(), move || {
        let send = |block| inputs.send(Input::Block(block)).is_ok();
        let outcome = match open() {
            Ok(source) => read_blocks(source, &pool, send).map(drop),
            Err(error) => Err(Error::new(Kind::Input, "the input cannot be opened").cause(error)),
        };
        if let Err(error) = outcome {
            // Nobody receives: the run has ended, and says why elsewhere.
            let _ = inputs.send(Input::Failed(error));
        }
    })?;
    Ok(receiver)
}
