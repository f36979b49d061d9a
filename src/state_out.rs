//! The only writer of standard output in a run: STATE lines, each written and flushed by a thread of its own.
//!
//! A reader that does not read blocks that thread, and never the run: while one line is being written,
//! newer states wait in the flow, which keeps the newest only.

use std::io;
use std::thread;

use crossbeam_channel::{Receiver, Sender, TryRecvError};

use crate::error::{Error, Kind};

/// Takes one line, without its end, and has it written for good.
pub(crate) type Sink = Box<dyn FnMut(&str) -> io::Result<()> + Send>;

/// The thread that writes states.
pub(crate) struct StateOut {
    lines: Sender<String>,
    written: Receiver<io::Result<()>>,
    is_writing: bool,
}

impl StateOut {
    /// Fails with `Internal` where no thread can be had.
    pub(crate) fn start(mut sink: Sink) -> Result<Self, Error> {
        let (lines, incoming) = crossbeam_channel::bounded::<String>(1);
        let (outgoing, written) = crossbeam_channel::bounded(1);
        thread::Builder::new()
            .name("state-out".to_owned())
            .spawn(move || {
                for line in incoming {
                    if outgoing.send(sink(&line)).is_err() {
                        return;
                    }
                }
            })
            .map_err(|error| {
                Error::new(Kind::Internal, "no thread could be started").cause(error)
            })?;
        Ok(Self {
            lines,
            written,
            is_writing: false,
        })
    }

    /// Whether a line is being written: no other may be given until it is done.
    pub(crate) fn is_writing(&self) -> bool {
        self.is_writing
    }

    /// Begins to write a line.
    pub(crate) fn write(&mut self, line: String) {
        debug_assert!(!self.is_writing, "one line at a time");
        // The thread lives as long as this does.
        self.is_writing = self.lines.send(line).is_ok();
    }

    /// Where the end of a write is announced; [`StateOut::take_result`] takes it.
    pub(crate) fn written(&self) -> &Receiver<io::Result<()>> {
        &self.written
    }

    /// Takes the result of the write that has ended, if one has. Fails with `Refused`, or
    /// with `Internal` where the sink has panicked.
    pub(crate) fn take_result(&mut self) -> Result<(), Error> {
        match self.written.try_recv() {
            Ok(result) => {
                self.is_writing = false;
                result.map_err(|error| {
                    Error::new(
                        Kind::Refused,
                        "the STATE cannot be written to standard output",
                    )
                    .cause(error)
                })
            }
            Err(TryRecvError::Empty) => Ok(()),
            Err(TryRecvError::Disconnected) => {
                self.is_writing = false;
                Err(Error::new(Kind::Internal, "the writer of STATE has ended"))
            }
        }
    }
}
