//! A validating scanner over JSON text: it finds where values begin and end, and builds nothing.
//!
//! It accepts what `serde_json` accepts as a raw value, and the bare `NaN`, `Infinity` and `-Infinity`
//! that some taps emit and Python reads. It keeps no stack of its own on the thread's stack: nesting of
//! any depth is a bit a level. Its input is `&str`, so UTF-8 is not its business.

use std::borrow::Cow;

/// What is wrong with a text, and at which byte, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) what: &'static str,
    pub(crate) at: usize,
}

/// A place in a JSON text.
#[derive(Clone)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The next byte, or 0 at the end: a NUL is legal nowhere, so the two need not be told apart.
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn fault(&self, what: &'static str) -> Fault {
        let what = if self.at >= self.text.len() {
            "the text ends too early"
        } else {
            what
        };
        Fault { what, at: self.at }
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    /// Takes `{` and stops before the first key or `}`.
    pub(crate) fn enter_object(&mut self) -> Result<(), Fault> {
        self.skip_space();
        if self.peek() != b'{' {
            return Err(self.fault("expected '{'"));
        }
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    /// The next key of an object that was entered, its quotes taken off and its escapes left in, with the
    /// scanner before the value; `None` behind `}`. `first` says whether no key came before.
    pub(crate) fn next_key(&mut self, first: bool) -> Result<Option<&'a str>, Fault> {
        self.skip_space();
        match self.peek() {
            b'}' => {
                self.at += 1;
                return Ok(None);
            }
            b',' if !first => {
                self.at += 1;
                self.skip_space();
            }
            _ if first => {}
            _ => return Err(self.fault("expected ',' or '}'")),
        }
        self.key().map(Some)
    }

    /// Takes `"key":` and the space around it.
    fn key(&mut self) -> Result<&'a str, Fault> {
        if self.peek() != b'"' {
            return Err(self.fault("expected a key in quotes"));
        }
        let start = self.at + 1;
        self.skip_string()?;
        let key = &self.text[start..self.at - 1];
        self.skip_space();
        if self.peek() != b':' {
            return Err(self.fault("expected ':'"));
        }
        self.at += 1;
        self.skip_space();
        Ok(key)
    }

    /// Takes one value of any kind and returns its text.
    pub(crate) fn value(&mut self) -> Result<&'a str, Fault> {
        self.value_with_keys(|_| {})
    }

    /// Takes one value; if it is an object, its own keys (not those of nested ones) are shown to `on_key`.
    pub(crate) fn value_with_keys(
        &mut self,
        mut on_key: impl FnMut(&'a str),
    ) -> Result<&'a str, Fault> {
        self.skip_space();
        let start = self.at;
        let mut open = Nesting::default();
        loop {
            match self.peek() {
                b'"' => self.skip_string()?,
                b'{' => {
                    self.at += 1;
                    self.skip_space();
                    if self.peek() == b'}' {
                        self.at += 1;
                    } else {
                        open.push(true);
                        let key = self.key()?;
                        if open.depth == 1 {
                            on_key(key);
                        }
                        continue;
                    }
                }
                b'[' => {
                    self.at += 1;
                    self.skip_space();
                    if self.peek() == b']' {
                        self.at += 1;
                    } else {
                        open.push(false);
                        continue;
                    }
                }
                b'-' | b'0'..=b'9' => self.skip_number()?,
                _ => self.skip_word()?,
            }
            // A value has ended: close what ends with it, up to the next value.
            loop {
                let Some(in_object) = open.top() else {
                    return Ok(&self.text[start..self.at]);
                };
                self.skip_space();
                match (in_object, self.peek()) {
                    (true, b'}') | (false, b']') => {
                        self.at += 1;
                        open.pop();
                    }
                    (true, b',') => {
                        self.at += 1;
                        self.skip_space();
                        let key = self.key()?;
                        if open.depth == 1 {
                            on_key(key);
                        }
                        break;
                    }
                    (false, b',') => {
                        self.at += 1;
                        self.skip_space();
                        break;
                    }
                    (true, _) => return Err(self.fault("expected ',' or '}'")),
                    (false, _) => return Err(self.fault("expected ',' or ']'")),
                }
            }
        }
    }

    /// Fails if anything but white space is left.
    pub(crate) fn end(&mut self) -> Result<(), Fault> {
        self.skip_space();
        if self.at < self.text.len() {
            return Err(self.fault("unexpected text behind the value"));
        }
        Ok(())
    }

    /// Takes a string with its quotes; the scanner stands before the first.
    fn skip_string(&mut self) -> Result<(), Fault> {
        self.at += 1;
        let bytes = self.text.as_bytes();
        loop {
            while let Some(chunk) = bytes.get(self.at..).and_then(<[u8]>::first_chunk::<8>) {
                let found = special_bytes(u64::from_le_bytes(*chunk));
                if found != 0 {
                    self.at += found.trailing_zeros() as usize / 8;
                    break;
                }
                self.at += 8;
            }
            match bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.skip_escape()?,
                Some(0..=0x1f) => return Err(self.fault("a control character in a string")),
                Some(_) => self.at += 1,
                None => return Err(self.fault("")),
            }
        }
    }

    fn skip_escape(&mut self) -> Result<(), Fault> {
        self.at += 1;
        match self.peek() {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
            b'u' => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_ascii_hexdigit() {
                        return Err(self.fault("expected four hexadecimal digits"));
                    }
                    self.at += 1;
                }
            }
            _ => return Err(self.fault("an unknown escape in a string")),
        }
        Ok(())
    }

    fn skip_digits(&mut self) -> Result<(), Fault> {
        if !self.peek().is_ascii_digit() {
            return Err(self.fault("expected a digit"));
        }
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        Ok(())
    }

    fn skip_number(&mut self) -> Result<(), Fault> {
        if self.peek() == b'-' {
            self.at += 1;
            if self.peek() == b'I' {
                return self.skip_word();
            }
        }
        if self.peek() == b'0' {
            self.at += 1;
            if self.peek().is_ascii_digit() {
                return Err(self.fault("a number with a leading zero"));
            }
        } else {
            self.skip_digits()?;
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.skip_digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            self.skip_digits()?;
        }
        Ok(())
    }

    fn skip_word(&mut self) -> Result<(), Fault> {
        let rest = &self.text.as_bytes()[self.at..];
        for word in ["null", "true", "false", "NaN", "Infinity"] {
            if rest.starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(());
            }
        }
        Err(self.fault("expected a value"))
    }
}

/// The high bit of each byte of `chunk` that ends a run of plain string bytes: `"`, `\` or below 0x20.
/// Only the lowest set bit is exact; the ones above it may be false (the subtraction borrows upward).
fn special_bytes(chunk: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let quote = chunk ^ (ONES * b'"' as u64);
    let backslash = chunk ^ (ONES * b'\\' as u64);
    ((quote.wrapping_sub(ONES) & !quote)
        | (backslash.wrapping_sub(ONES) & !backslash)
        | (chunk.wrapping_sub(ONES * 0x20) & !chunk))
        & HIGHS
}

/// Which of the values that are open are objects: a bit each, the innermost lowest. The heap is touched
/// only below 64 levels.
#[derive(Default)]
struct Nesting {
    bits: u64,
    outer: Vec<u64>,
    depth: usize,
}

impl Nesting {
    fn push(&mut self, object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.bits);
        }
        self.bits = self.bits << 1 | u64::from(object);
        self.depth += 1;
    }

    fn pop(&mut self) {
        self.bits >>= 1;
        self.depth -= 1;
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.bits = self.outer.pop().unwrap_or_default();
        }
    }

    /// Whether the innermost open value is an object; `None` if none is open.
    fn top(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.bits & 1 == 1)
    }
}

/// The text that a string's inside stands for (between the quotes, as the scanner found it). A lone
/// surrogate, which no Rust string can hold, becomes U+FFFD.
pub(crate) fn unescape(inside: &str) -> Cow<'_, str> {
    if !inside.contains('\\') {
        return Cow::Borrowed(inside);
    }
    let mut text = String::with_capacity(inside.len());
    let mut rest = inside;
    while let Some(at) = rest.find('\\') {
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
    Cow::Owned(text)
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
    use crate::testing::Random;

    fn is_value(text: &str) -> bool {
        let mut scanner = Scanner::new(text);
        scanner.value().and_then(|_| scanner.end()).is_ok()
    }

    fn serde_says(text: &str) -> bool {
        serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
    }

    #[test]
    fn values_are_told_from_what_is_none() {
        for text in [
            "1",
            "-0",
            "0.5e-7",
            "1E+5",
            "\"\"",
            "\"a\\u00e9\\\\\"",
            "[]",
            "{}",
            "[1 ,\t2]",
            " null\r\n",
            "{\"a\":{\"b\":[{}]},\"a\":1}",
            "true",
            "false",
            "\"\\ud800\"",
            "1e999",
            "\"é中\u{7f}\"",
        ] {
            assert!(is_value(text) && serde_says(text), "{text}");
        }
        for text in [
            "",
            " ",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"a\nb\"",
            "[1,]",
            "[,1]",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "{\"a\":1,}",
            "nul",
            "tru",
            "[1 2]",
            "{} {}",
            "\u{feff}{}",
            "]",
            "[}",
            "[1}",
            "{\"a\":1]",
            "'a'",
            "\u{0}",
            "1\u{0}",
        ] {
            assert!(!is_value(text) && !serde_says(text), "{text:?}");
        }
        for text in ["NaN", "Infinity", "-Infinity", "[NaN,-Infinity]"] {
            assert!(is_value(text), "{text}");
        }
        assert!(!is_value("-NaN") && !is_value("nan") && !is_value("+Infinity"));
    }

    #[test]
    fn it_agrees_with_serde_json_on_texts_made_at_random() {
        let mut random = Random::new("json scanner");
        for _ in 0..200_000 {
            let mut text = random.json(4);
            for _ in 0..random.below(3) {
                text = random.mutate_text(&text);
            }
            let python_only = text.contains("NaN") || text.contains("Infinity");
            assert!(
                python_only || is_value(&text) == serde_says(&text),
                "{text:?}: serde_json says {}",
                serde_says(&text)
            );
        }
    }

    #[test]
    fn nesting_has_no_bound() {
        for depth in [1, 63, 64, 65, 127, 128, 129, 1_000_000] {
            let mut text = "[".repeat(depth) + &"]".repeat(depth);
            assert!(is_value(&text), "{depth}");
            text.pop();
            assert!(!is_value(&text), "{depth}");
            text.push('}');
            assert!(!is_value(&text), "{depth}");
        }
        let mixed = "{\"a\":[".repeat(1000) + "1" + &"]}".repeat(1000);
        assert!(is_value(&mixed));
        assert!(!is_value(&mixed.replacen("]}", "}]", 1)));
    }

    #[test]
    fn only_the_outermost_keys_are_shown() {
        let mut keys = Vec::new();
        let text = r#"{"a":{"x":1},"b":[{"y":2}],"c":null}"#;
        Scanner::new(text)
            .value_with_keys(|key| keys.push(key))
            .unwrap();
        assert_eq!(keys, ["a", "b", "c"]);
    }

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
