//! A block to its messages: the lines of a large block are parsed on all cores, and stay in their order.

use std::num::NonZero;
use std::sync::LazyLock;

use rayon::prelude::*;

use crate::error::{Error, Kind};
use crate::input::Block;
use crate::singer::alike::Alike;
use crate::singer::message::{Message, parse_message};

/// The least that is worth another core. Waking one costs about what parsing 10 KB does.
const PIECE_BYTES: usize = 64 * 1024;
/// Cores that are busy without us: one with the worker that publishes, one with the server or the tap. On
/// two cores, sharing a block out costs more than it gives (measured: 10 % of the throughput).
const BUSY_CORES: usize = 2;

/// Asked for once: it reads files of the system's.
static CORES: LazyLock<usize> =
    LazyLock::new(|| std::thread::available_parallelism().map_or(1, NonZero::get));

/// Parses the lines of a block and gives each message to `take`, in order, up to the first that fails to
/// be one or to be taken.
pub(super) fn parse_block<'a>(
    block: &'a Block,
    take: impl FnMut(Result<Message<'a>, Error>) -> Result<(), Error>,
) -> Result<(), Error> {
    let bytes = block.bytes();
    let cores = *CORES;
    let spare = cores.saturating_sub(BUSY_CORES).max(1);
    let pieces = (bytes.len() / PIECE_BYTES).clamp(1, spare);
    if pieces == 1 {
        return parse_lines(bytes, take);
    }
    let parsed: Vec<Vec<_>> = split_at_lines(bytes, pieces)
        .into_par_iter()
        .map(|piece| {
            let mut messages = Vec::with_capacity(piece.len() / 256);
            // It does not fail: what is no message is kept like a message.
            let _ = parse_lines(piece, |message| {
                messages.push(message);
                Ok(())
            });
            messages
        })
        .collect();
    parsed.into_iter().flatten().try_for_each(take)
}

/// Cuts bytes into at most `pieces` of about the same size, behind line ends.
fn split_at_lines(bytes: &[u8], pieces: usize) -> Vec<&[u8]> {
    let size = bytes.len().div_ceil(pieces);
    let mut rest = bytes;
    let mut cut = Vec::with_capacity(pieces);
    while rest.len() > size {
        let end = memchr::memchr(b'\n', &rest[size..]).map_or(rest.len(), |at| size + at + 1);
        let (piece, behind) = rest.split_at(end);
        cut.push(piece);
        rest = behind;
    }
    if !rest.is_empty() {
        cut.push(rest);
    }
    cut
}

/// Parses lines up to the first that is no message.
fn parse_lines<'a>(
    bytes: &'a [u8],
    mut take: impl FnMut(Result<Message<'a>, Error>) -> Result<(), Error>,
) -> Result<(), Error> {
    let (text, bad_line) = split_utf8(bytes);
    let mut alike = Alike::default();
    for line in lines(text) {
        let message = parse_message(line, &mut alike);
        let is_bad = message.is_err();
        take(message)?;
        if is_bad {
            return Ok(());
        }
    }
    bad_line.map_or(Ok(()), |error| take(Err(error)))
}

/// The lines before the first that is not UTF-8, and the error of that one.
pub(super) fn split_utf8(bytes: &[u8]) -> (&str, Option<Error>) {
    match str::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => {
            let valid = str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
            let lines_end = valid.rfind('\n').map_or(0, |at| at + 1);
            let cause = format!("bad byte at {}", error.valid_up_to() - lines_end + 1);
            let bad_line = Error::new(Kind::Input, "the line is not valid UTF-8").cause(cause);
            (&valid[..lines_end], Some(bad_line))
        }
    }
}

/// Lines as Singer has them: they end with a line feed, and with nothing else.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (line, behind) = match memchr::memchr(b'\n', rest.as_bytes()) {
            Some(end) => (&rest[..end], &rest[end + 1..]),
            None => (rest, ""),
        };
        rest = behind;
        Some(line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn lines_end_with_a_line_feed_only() {
        for (text, expected) in [
            ("", &[][..]),
            ("a", &["a"]),
            ("a\n", &["a"]),
            ("a\nb", &["a", "b"]),
            ("a\r\n\n\rb\u{2028}\n", &["a\r", "", "\rb\u{2028}"]),
        ] {
            assert_eq!(lines(text).collect::<Vec<_>>(), expected, "{text:?}");
        }
    }

    #[test]
    fn pieces_are_whole_lines_that_make_up_the_block() {
        let mut random = Random::new("block pieces");
        for _ in 0..2_000 {
            let mut bytes = vec![b'x'; random.below(200)];
            for _ in 0..random.below(20) {
                if !bytes.is_empty() {
                    let at = random.below(bytes.len());
                    bytes[at] = b'\n';
                }
            }
            let wanted = 1 + random.below(6);
            let pieces = split_at_lines(&bytes, wanted);
            assert!(pieces.len() <= wanted);
            assert_eq!(pieces.concat(), bytes);
            for piece in pieces.iter().rev().skip(1) {
                assert_eq!(piece.last(), Some(&b'\n'));
            }
        }
    }

    #[test]
    fn a_bad_line_ends_the_messages_and_those_before_it_count() {
        let state = b"{\"type\":\"STATE\",\"value\":1}\n".as_slice();
        for (bad, what) in [
            (
                b"{\"a\":\"\xff\"}\n".as_slice(),
                "the line is not valid UTF-8: bad byte at 7",
            ),
            (b"\n", "a blank line: every line must hold one JSON object"),
        ] {
            let bytes = [state, state, bad, state].concat();
            let mut messages = Vec::new();
            let taken = parse_lines(&bytes, |message| {
                messages.push(message);
                Ok(())
            });
            assert_eq!(taken, Ok(()));
            assert_eq!(messages.len(), 3);
            assert!(messages[..2].iter().all(Result::is_ok));
            assert_eq!(messages[2].as_ref().unwrap_err().to_string(), what);
        }
    }
}
