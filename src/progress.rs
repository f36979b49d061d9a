//! The progress line that stands at the bottom of a terminal.
//!
//! It only draws: how often, and from which numbers, is the caller's. Without a terminal there is none.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

use terminal_size::terminal_size_of;

use crate::stderr;

/// The width of a terminal that does not tell.
const USUAL_WIDTH: usize = 80;

/// How far a run has come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    /// Messages that the server has not confirmed yet.
    pub(crate) unconfirmed: u64,
    pub(crate) elapsed: Duration,
    /// Records by stream, in any order.
    pub(crate) streams: Vec<(String, u64)>,
}

/// Whether there is somebody to see it.
pub(crate) fn is_wanted() -> bool {
    // A terminal that calls itself dumb cannot erase a line.
    std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

pub(crate) fn show(snapshot: &Snapshot) {
    stderr::show_line(&render(snapshot, terminal_width()));
}

pub(crate) fn clear() {
    stderr::clear_line();
}

/// What `COLUMNS` says, else the terminal itself.
fn terminal_width() -> usize {
    let columns = std::env::var("COLUMNS").ok();
    let columns = columns.and_then(|columns| columns.trim().parse().ok());
    columns
        .filter(|columns| *columns > 0)
        .or_else(|| Some(usize::from(terminal_size_of(io::stderr())?.0.0)))
        .unwrap_or(USUAL_WIDTH)
}

/// One line that is shorter than `width`, so that no terminal wraps it: as many of the largest streams
/// as fit, and never a part of one.
pub(crate) fn render(snapshot: &Snapshot, width: usize) -> String {
    let mut line = format!(
        "{} records | {} | {}/s | {} unconfirmed",
        render_count(snapshot.records),
        render_bytes(snapshot.bytes),
        render_count(rate(snapshot.records, snapshot.elapsed)),
        render_count(snapshot.unconfirmed),
    );
    let room = width.saturating_sub(1);
    let mut length = line.chars().count();
    let mut streams: Vec<_> = snapshot.streams.iter().collect();
    streams.sort_by(|(a, a_count), (b, b_count)| b_count.cmp(a_count).then_with(|| a.cmp(b)));
    for (index, (name, count)) in streams.into_iter().enumerate() {
        let mut part = String::from(if index == 0 { " | " } else { ", " });
        part.extend(name.chars().map(|c| if c.is_control() { '?' } else { c }));
        // Writing to a String cannot fail.
        let _ = write!(part, " {}", render_count(*count));
        length += part.chars().count();
        if length > room {
            break;
        }
        line += &part;
    }
    match line.char_indices().nth(room) {
        Some((end, _)) => line[..end].to_owned(),
        None => line,
    }
}

/// Records in a second, over the whole run.
fn rate(records: u64, elapsed: Duration) -> u64 {
    let millis = elapsed.as_millis();
    if millis == 0 {
        return 0;
    }
    u64::try_from(u128::from(records) * 1000 / millis).unwrap_or(u64::MAX)
}

/// `1,234,567`.
fn render_count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// In MB of a million bytes, with one digit behind the point.
fn render_bytes(bytes: u64) -> String {
    let tenths = bytes / 100_000;
    format!("{}.{} MB", render_count(tenths / 10), tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(streams: &[(&str, u64)], width: usize, expected: &str) {
        let snapshot = Snapshot {
            records: 1_234_567,
            bytes: 382_750_000,
            unconfirmed: 4096,
            elapsed: Duration::from_millis(2500),
            streams: streams
                .iter()
                .map(|&(name, count)| (name.to_owned(), count))
                .collect(),
        };
        let line = render(&snapshot, width);
        assert_eq!(line, expected);
        assert!(line.chars().count() < width.max(1));
    }

    #[test]
    fn a_line_fits_the_width() {
        let numbers = "1,234,567 records | 382.7 MB | 493,826/s | 4,096 unconfirmed";
        check(&[], 80, numbers);
        check(&[("users", 7)], 80, &format!("{numbers} | users 7"));
        check(
            &[("b", 1), ("a", 1), ("orders", 1_000_000)],
            100,
            &format!("{numbers} | orders 1,000,000, a 1, b 1"),
        );
        check(
            &[("b", 1), ("orders", 1_000_000)],
            80,
            &format!("{numbers} | orders 1,000,000"),
        );
        check(&[("a\nb", 1)], 80, &format!("{numbers} | a?b 1"));
        check(&[("größe", 1)], 71, &format!("{numbers} | größe 1"));
        check(&[("größe", 1)], 70, numbers);
        check(&[("x", 1)], 10, "1,234,567");
        check(&[("x", 1)], 1, "");
    }

    #[test]
    fn a_run_that_just_began_has_no_rate() {
        let line = render(&Snapshot::default(), 80);
        assert_eq!(line, "0 records | 0.0 MB | 0/s | 0 unconfirmed");
    }
}
