//! The value of a STATE message: when it counts, and the line that is printed for it.

use super::json::Scanner;
use super::value::fields;
use std::fmt::Write;

/// Whether Python would find the value falsy. Such a state says nothing, and must not replace one that
/// does: Meltano stores what is printed last (singer.md 3.4).
pub(crate) fn is_empty_state(value: &str) -> bool {
    match value.as_bytes() {
        b"null" | b"false" | b"\"\"" => true,
        [b'{', ..] => fields(value).next().is_none(),
        [b'[', inside @ .., b']'] => inside.trim_ascii().is_empty(),
        [b'-' | b'0'..=b'9', ..] => value.split(['e', 'E']).next().is_some_and(|digits| {
            digits
                .bytes()
                .all(|byte| matches!(byte, b'-' | b'.' | b'0'))
        }),
        _ => false,
    }
}

/// The line that Python's `json.dumps` writes for a value: `", "` and `": "` between things, and nothing
/// but ASCII. Numbers keep the tap's digits, keys their order. `value` must have been scanned before.
pub(crate) fn render_state(value: &str) -> String {
    let mut line = String::with_capacity(value.len() + value.len() / 8);
    let mut rest = value;
    while let Some(c) = rest.chars().next() {
        let mut taken = c.len_utf8();
        match c {
            ' ' | '\t' | '\r' | '\n' => {}
            ',' => line.push_str(", "),
            ':' => line.push_str(": "),
            '"' => {
                let string = Scanner::new(rest).value().unwrap_or(rest);
                render_string(string, &mut line);
                taken = string.len();
            }
            c => line.push(c),
        }
        rest = &rest[taken..];
    }
    line
}

/// Writes a string as `json.dumps` does. What is escaped stays so, in Python's spelling.
fn render_string(string: &str, line: &mut String) {
    let mut chars = string.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('u') => {
                    let digits = chars.as_str().get(..4).unwrap_or_default();
                    chars = chars.as_str()[digits.len()..].chars();
                    render_unit(u16::from_str_radix(digits, 16).unwrap_or_default(), line);
                }
                Some('/') => line.push('/'),
                Some(c) => line.extend(['\\', c]),
                None => {}
            },
            // DEL is the one ASCII character above 0x1f that Python escapes.
            ' '..='~' => line.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    render_unit(*unit, line);
                }
            }
        }
    }
}

/// One UTF-16 unit as `json.dumps` writes it.
fn render_unit(unit: u16, line: &mut String) {
    match unit {
        0x08 => line.push_str("\\b"),
        0x09 => line.push_str("\\t"),
        0x0a => line.push_str("\\n"),
        0x0c => line.push_str("\\f"),
        0x0d => line.push_str("\\r"),
        0x22 => line.push_str("\\\""),
        0x5c => line.push_str("\\\\"),
        0x20..=0x7e => line.push(char::from(unit as u8)),
        _ => write!(line, "\\u{unit:04x}").expect("a String takes everything"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_that_say_nothing_are_empty() {
        for value in [
            "{}", "{ }", "[]", "[ \n]", "null", "0", "-0", "0.0", "0e7", "\"\"", "false",
        ] {
            assert!(is_empty_state(value), "{value}");
        }
        for value in [
            "{\"a\":0}",
            "[0]",
            "1",
            "0.5",
            "-10",
            "\" \"",
            "true",
            "[[]]",
            "NaN",
        ] {
            assert!(!is_empty_state(value), "{value}");
        }
    }

    #[test]
    fn a_state_is_printed_as_python_prints_it() {
        for (value, line) in [
            (
                r#"{"bookmarks":{"users":{"n":50000}}}"#,
                r#"{"bookmarks": {"users": {"n": 50000}}}"#,
            ),
            (
                "{ \"a\" :\t[1.50,\r 1E5 , -0.0],\"b\":[]}",
                r#"{"a": [1.50, 1E5, -0.0], "b": []}"#,
            ),
            (r#"{"é":"中😀"}"#, r#"{"\u00e9": "\u4e2d\ud83d\ude00"}"#),
            (
                r#""\u00E9\u0041\/\n\u000a\b\u007f\\\"""#,
                r#""\u00e9A/\n\n\b\u007f\\\"""#,
            ),
            ("\"a, b: c\u{7f}\"", r#""a, b: c\u007f""#),
            ("[NaN,-Infinity,true,null]", "[NaN, -Infinity, true, null]"),
            (r#""\ud800""#, r#""\ud800""#),
        ] {
            assert_eq!(render_state(value), line);
        }
    }
}
