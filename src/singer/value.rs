//! What is inside a JSON text that was scanned before: the text of strings, the fields of objects.

use std::borrow::Cow;

use super::json::Scanner;

/// The text that a string's inside stands for (between the quotes, as the scanner found it). A lone
/// surrogate, which no Rust string can hold, becomes U+FFFD.
pub(crate) fn unescape(inside: &str) -> Cow<'_, str> {
    if !inside.contains('\\') {
        return Cow::Borrowed(inside);
    }
    let mut text = String::with_capacity(inside.len());
    push_unescaped(inside, &mut text);
    Cow::Owned(text)
}

/// Appends what [`unescape`] returns.
pub(crate) fn push_unescaped(inside: &str, text: &mut String) {
    let mut rest = inside;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        text.push_str(&rest[..at]);
        let escape = rest.as_bytes().get(at + 1).copied().unwrap_or(b'\\');
        rest = rest.get(at + 2..).unwrap_or_default();
        match escape {
            b'b' => text.push('\u{8}'),
            b'f' => text.push('\u{c}'),
            b'n' => text.push('\n'),
            b'r' => text.push('\r'),
            b't' => text.push('\t'),
            b'u' => {
                let (unit, behind) = code_unit(rest);
                rest = behind;
                let low = rest.strip_prefix("\\u").map(code_unit);
                match (unit, low) {
                    (0xd800..=0xdbff, Some((low @ 0xdc00..=0xdfff, behind))) => {
                        rest = behind;
                        let c = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                        text.push(char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER));
                    }
                    _ => text.push(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)),
                }
            }
            other => text.push(char::from(other)),
        }
    }
    text.push_str(rest);
}

/// Four hexadecimal digits, and what is behind them.
fn code_unit(text: &str) -> (u32, &str) {
    let digits = text.get(..4).unwrap_or_default();
    let unit = u32::from_str_radix(digits, 16).unwrap_or(0xfffd);
    (unit, text.get(4..).unwrap_or_default())
}

/// The inside of a JSON text that is a string, its escapes left in; `None` for any other value.
pub(crate) fn string_inside(value: &str) -> Option<&str> {
    value.strip_prefix('"')?.strip_suffix('"')
}

/// The value of the field that `path` names, one key a level, as JSON text. Of keys that occur twice the
/// last one counts, as in Python. `object` must have been scanned before.
pub(crate) fn field<'a>(object: &'a str, path: &[String]) -> Option<&'a str> {
    let mut value = object;
    for wanted in path {
        value = fields(value)
            .filter(|(key, _)| unescape(key) == wanted.as_str())
            .last()?
            .1;
    }
    Some(value)
}

/// The keys (escapes left in) and values of an object that was scanned before; nothing for other values.
pub(crate) fn fields(object: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut scanner = Scanner::new(object);
    let mut open = scanner.enter_object().is_ok();
    let mut first = true;
    std::iter::from_fn(move || {
        if !open {
            return None;
        }
        let pair = scanner.next_key(first).ok().flatten().and_then(|key| {
            first = false;
            Some((key, scanner.value().ok()?))
        });
        open = pair.is_some();
        pair
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone() {
        for (inside, text) in [
            ("plain", "plain"),
            (r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r"\u00e9 \u4e2d", "é 中"),
            (r"\ud83d\ude00!", "😀!"),
            (r"\ud83d!", "\u{fffd}!"),
            (r"\ude00\ud83d", "\u{fffd}\u{fffd}"),
            (r"\ud83d\ud83d\ude00", "\u{fffd}😀"),
        ] {
            assert_eq!(unescape(inside), text);
            if !text.contains('\u{fffd}') {
                let quoted = format!("\"{inside}\"");
                assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text);
            }
        }
    }

    #[test]
    fn fields_are_found_by_their_path() {
        let record = r#"{"a":1,"b":{"c":"x","\u0064":[2]},"a":3,"e.f":4}"#;
        let path = |path: &[&str]| path.iter().map(ToString::to_string).collect::<Vec<_>>();
        for (keys, value) in [
            (&["a"][..], Some("3")),
            (&["b", "c"], Some("\"x\"")),
            (&["b", "d"], Some("[2]")),
            (&["e.f"], Some("4")),
            (&["a", "x"], None),
            (&["z"], None),
        ] {
            assert_eq!(field(record, &path(keys)), value, "{keys:?}");
        }
    }
}
