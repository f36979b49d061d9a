//! A block to its messages: the lines of a large block are parsed on all cores, and stay in their order.

use rayon::prelude::*;

use crate::error::{Error, Kind};
use crate::input::Block;
use crate::singer::message::{LastRecord, Message, parse_message};

/// The least that is worth another core. Waking one costs about what parsing 10 KB does.
const PIECE_BYTES: usize = 64 * 1024;

/// The messages of some lines, up to the first line that holds none.
pub(super) type Messages<'a> = Vec<Result<Message<'a>, Error>>;

/// Parses the lines of a block. The pieces follow each other; an error is the last that counts.
pub(super) fn parse_block(block: &Block) -> Vec<Messages<'_>> {
    let bytes = block.bytes();
    let pieces = (bytes.len() / PIECE_BYTES).clamp(1, rayon::current_num_threads());
    if pieces == 1 {
        return vec![parse_lines(bytes)];
    }
    split_at_lines(bytes, pieces)
        .into_par_iter()
        .map(parse_lines)
        .collect()
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

fn parse_lines(bytes: &[u8]) -> Messages<'_> {
    let (text, bad_line) = match str::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => {
            let valid = str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
            // The line with the bad bytes is no message; those before it are.
            let lines_end = valid.rfind('\n').map_or(0, |at| at + 1);
            let what = "the line is not valid UTF-8";
            let cause = format!("bad byte at {}", error.valid_up_to() - lines_end + 1);
            (
                &valid[..lines_end],
                Some(Error::new(Kind::Input, what).cause(cause)),
            )
        }
    };
    let mut messages = Vec::with_capacity(text.len() / 256);
    let mut last = LastRecord::default();
    for line in lines(text) {
        let message = parse_message(line, &mut last);
        let is_bad = message.is_err();
        messages.push(message);
        if is_bad {
            return messages;
        }
    }
    messages.extend(bad_line.map(Err));
    messages
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
            let messages = parse_lines(&bytes);
            assert_eq!(messages.len(), 3);
            assert!(messages[..2].iter().all(Result::is_ok));
            assert_eq!(messages[2].as_ref().unwrap_err().to_string(), what);
        }
    }
}
