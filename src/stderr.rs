//! Standard error: whole lines, and at most one unfinished line that stands at the bottom.
//!
//! Log lines, the final error and the progress line all pass through here, so that they never tear one
//! another. Whatever cannot be written is dropped: a closed standard error is no reason to lose data.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Back to the start of the line, and erase it.
const ERASE_LINE: &str = "\r\x1b[K";

/// Writes a line, above the one that stands.
pub(crate) fn write_line(line: &str) {
    standard_error().write_line(line);
}

/// Makes this the line that stands; it must fit the terminal's width.
pub(crate) fn show_line(line: &str) {
    standard_error().show_line(line);
}

/// Takes the standing line away.
pub(crate) fn clear_line() {
    standard_error().clear_line();
}

static STANDARD_ERROR: Mutex<Output<StandardError>> = Mutex::new(Output {
    inner: StandardError,
    line_stands: false,
});

fn standard_error() -> MutexGuard<'static, Output<StandardError>> {
    // A panic while a line was written leaves nothing behind that the next line could not follow.
    STANDARD_ERROR
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

/// `io::Stderr` cannot be made in a constant.
struct StandardError;

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stderr().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
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
