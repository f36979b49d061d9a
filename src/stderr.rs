//! Standard error: whole lines, and at most one unfinished line that stands at the bottom.
//!
//! Log lines, the final error and the progress line all pass through here, so that they never tear one
//! another. A thread of its own writes them: a reader that does not read holds up nobody for long. Whatever
//! cannot be written is dropped, since a closed or full standard error is no reason to lose data.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::Sender;

/// Back to the start of the line, and erase it.
const ERASE_LINE: &str = "\r\x1b[K";

/// Lines that may wait to be written.
const QUEUED_LINES: usize = 1024;

/// How long the first line that finds no room waits for some, and the end of the program for the last line.
const PATIENCE: Duration = Duration::from_secs(1);

/// Writes a line, above the one that stands.
pub(crate) fn write_line(line: &str) {
    pass_on(Piece::Line(line.to_owned()));
}

/// Writes a line, and from then on no others but such.
pub(crate) fn write_last_line(line: &str) {
    pass_on(Piece::Last(line.to_owned()));
}

/// Makes this the line that stands; it must fit the terminal's width.
pub(crate) fn show_line(line: &str) {
    pass_on(Piece::Standing(line.to_owned()));
}

/// Takes the standing line away.
pub(crate) fn clear_line() {
    pass_on(Piece::Clear);
}

/// Waits until all is written that was passed on before, but not for a reader that does not read.
pub(crate) fn finish() {
    let (done, written) = crossbeam_channel::bounded(1);
    pass_on(Piece::Done(done));
    // Late or lost: the process ends all the same.
    let _ = written.recv_timeout(PATIENCE);
}

enum Piece {
    Line(String),
    Last(String),
    Standing(String),
    Clear,
    Done(Sender<()>),
}

fn pass_on(piece: Piece) {
    static PIECES: OnceLock<Sender<Piece>> = OnceLock::new();
    /// Once there was no room, nobody waits for it until there is some.
    static IS_STUCK: AtomicBool = AtomicBool::new(false);
    let pieces = PIECES.get_or_init(start_writer);
    let patience = if IS_STUCK.load(Ordering::Relaxed) {
        Duration::ZERO
    } else {
        PATIENCE
    };
    let is_stuck = pieces.send_timeout(piece, patience).is_err();
    IS_STUCK.store(is_stuck, Ordering::Relaxed);
}

fn start_writer() -> Sender<Piece> {
    let (sender, pieces) = crossbeam_channel::bounded(QUEUED_LINES);
    let write = move || {
        let mut output = Output {
            inner: io::stderr(),
            line_stands: false,
        };
        let mut is_over = false;
        for piece in pieces {
            match piece {
                // Who waited may have given up.
                Piece::Done(done) => drop(done.send(())),
                Piece::Last(line) => {
                    output.write_line(&line);
                    is_over = true;
                }
                _ if is_over => {}
                Piece::Line(line) => output.write_line(&line),
                Piece::Standing(line) => output.show_line(&line),
                Piece::Clear => output.clear_line(),
            }
        }
    };
    // Without a thread there are no log lines, and the run is the same.
    let _ = thread::Builder::new()
        .name("stderr".to_owned())
        .spawn(write);
    sender
}

struct Output<W> {
    inner: W,
    line_stands: bool,
}

impl<W: Write> Output<W> {
    fn write_line(&mut self, line: &str) {
        let erase = if self.line_stands { ERASE_LINE } else { "" };
        self.line_stands = false;
        // In one piece: other processes may write to the same terminal or file.
        let _ = self.inner.write_all(format!("{erase}{line}\n").as_bytes());
    }

    fn show_line(&mut self, line: &str) {
        self.line_stands = true;
        let _ = self
            .inner
            .write_all(format!("{ERASE_LINE}{line}").as_bytes());
        let _ = self.inner.flush();
    }

    fn clear_line(&mut self) {
        if self.line_stands {
            self.line_stands = false;
            let _ = self.inner.write_all(ERASE_LINE.as_bytes());
            let _ = self.inner.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(act: fn(&mut Output<Vec<u8>>), expected: &str) {
        let mut output = Output {
            inner: Vec::new(),
            line_stands: false,
        };
        act(&mut output);
        assert_eq!(String::from_utf8(output.inner).unwrap(), expected);
    }

    #[test]
    fn lines_clear_what_stands_before_them() {
        check(|output| output.write_line("a"), "a\n");
        check(Output::clear_line, "");
        check(
            |output| {
                output.show_line("50 %");
                output.write_line("a");
                output.write_line("b");
                output.show_line("60 %");
                output.show_line("70 %");
                output.clear_line();
                output.clear_line();
            },
            "\r\x1b[K50 %\r\x1b[Ka\nb\n\r\x1b[K60 %\r\x1b[K70 %\r\x1b[K",
        );
    }

    #[test]
    fn a_closed_standard_error_is_no_panic() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
        }
        let mut output = Output {
            inner: Closed,
            line_stands: true,
        };
        output.write_line("a");
        output.show_line("b");
        output.clear_line();
    }
}
