//! The known name that a mistyped one was probably meant to be.
//!
//! Used for unknown settings and unknown options alike; it knows neither.

use std::cmp::Reverse;

/// Longer names are compared by their beginning: a typed name comes from outside and has no bound.
const COMPARED_CHARS: usize = 64;

/// The nearest of `known`, unless all of them are too far away to be what was meant.
pub(crate) fn nearest<'a>(
    typed: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let typed: Vec<char> = typed.chars().take(COMPARED_CHARS).collect();
    known
        .into_iter()
        .filter_map(|name| {
            let chars: Vec<char> = name.chars().collect();
            let distance = distance(&typed, &chars);
            // Of two that are equally far, people know how a name begins.
            let same_start = typed.iter().zip(&chars).take_while(|(a, b)| a == b).count();
            (distance <= chars.len().max(typed.len()) / 2).then_some((
                distance,
                Reverse(same_start),
                name,
            ))
        })
        .min()
        .map(|(_, _, name)| name)
}

/// Levenshtein's: insertions, deletions and replacements of one character.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(typed: &str, expected: Option<&str>) {
        assert_eq!(
            nearest(
                typed,
                ["--about", "--format", "nats_url", "subject", "subjects"]
            ),
            expected
        );
    }

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        check("--fromat", Some("--format"));
        check("--foo", Some("--format"));
        check("nat_url", Some("nats_url"));
        check("natsurl", Some("nats_url"));
        check("subject", Some("subject"));
        check("subjectss", Some("subjects"));
        check("zzzzzzzz", None);
        check("", None);
        check(&"x".repeat(100_000), None);
    }
}
