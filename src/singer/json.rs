//! A validating scanner over JSON text: it finds where values begin and end, and builds nothing.
//!
//! It accepts what `serde_json` accepts as a raw value, and the bare `NaN`, `Infinity` and `-Infinity`
//! that some taps emit and Python reads. It keeps no stack of its own on the thread's stack: nesting of
//! any depth is a bit a level. Its input is `&str`, so UTF-8 is not its business.

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
    pub(super) fn peek(&self) -> u8 {
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

    pub(crate) fn skip_space(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    /// Takes `{`.
    pub(crate) fn enter_object(&mut self) -> Result<(), Fault> {
        self.skip_space();
        if self.peek() != b'{' {
            return Err(self.fault("expected '{'"));
        }
        self.at += 1;
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

    /// Takes the next key of an object as [`Scanner::next_key`] does, if it is spelt like this, quotes included.
    /// Else the scanner stays where it is, and nothing is said of the text.
    pub(crate) fn take_key(&mut self, first: bool, quoted: &str) -> bool {
        let start = self.at;
        self.skip_space();
        if !first && self.take_byte(b',') {
            self.skip_space();
        }
        if self.take(Some(quoted)) {
            self.skip_space();
            if self.take_byte(b':') {
                self.skip_space();
                return true;
            }
        }
        self.at = start;
        false
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
        self.skip_space();
        let start = self.at;
        self.skip_value()?;
        Ok(&self.text[start..self.at])
    }

    /// Takes one value of any kind that begins here.
    pub(crate) fn skip_value(&mut self) -> Result<(), Fault> {
        match self.peek() {
            b'"' => self.skip_string()?,
            b'{' | b'[' => self.skip_nested()?,
            b'-' | b'0'..=b'9' => self.skip_number()?,
            _ => self.skip_word()?,
        }
        Ok(())
    }

    /// Takes an object or array with all that is in it.
    fn skip_nested(&mut self) -> Result<(), Fault> {
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
                        self.key()?;
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
                    return Ok(());
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
                        self.key()?;
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

    /// Takes a text if it is what comes next.
    pub(crate) fn take(&mut self, text: Option<&str>) -> bool {
        match text {
            Some(text) if begins_with(&self.text.as_bytes()[self.at..], text.as_bytes()) => {
                self.at += text.len();
                true
            }
            _ => false,
        }
    }

    /// Takes a byte if it is what comes next.
    pub(crate) fn take_byte(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == byte;
        self.at += usize::from(is_next);
        is_next
    }

    /// What was taken since a place that [`Scanner::at`] gave.
    pub(crate) fn since(&self, at: usize) -> &'a str {
        &self.text[at..self.at]
    }

    pub(crate) fn at(&self) -> usize {
        self.at
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

/// `starts_with` for the short texts between values: two overlapping words instead of a call of `memcmp`,
/// which took a tenth of the time of parsing.
fn begins_with(bytes: &[u8], start: &[u8]) -> bool {
    let Some(bytes) = bytes.get(..start.len()) else {
        return false;
    };
    match start.len() {
        8..=16 => have_same_ends::<8>(bytes, start),
        4..8 => have_same_ends::<4>(bytes, start),
        _ => bytes == start,
    }
}

fn have_same_ends<const N: usize>(a: &[u8], b: &[u8]) -> bool {
    a.first_chunk::<N>() == b.first_chunk::<N>() && a.last_chunk::<N>() == b.last_chunk::<N>()
}

/// The high bit of each byte of `chunk` that ends a run of plain string bytes: `"`, `\` or below 0x20.
/// Only the lowest set bit is exact; the ones above it may be false (the subtraction borrows upward).
fn special_bytes(chunk: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    const QUOTES: u64 = u64::from_le_bytes([b'"'; 8]);
    const BACKSLASHES: u64 = u64::from_le_bytes([b'\\'; 8]);
    let quote = chunk ^ QUOTES;
    let backslash = chunk ^ BACKSLASHES;
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::testing::Random;

    pub(in crate::singer) fn is_value(text: &str) -> bool {
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
}
