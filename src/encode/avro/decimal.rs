//! Decimal numbers as text: exactly, whatever their length. Nothing is ever rounded.

use std::iter;

/// How a field's decimals are kept: as an integer, in units of 10^-scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    /// Digits of the integer, at least 1 and at least `scale`.
    pub(super) precision: u32,
    /// Digits behind the point.
    pub(super) scale: u32,
}

/// Digits of 10^38 - 1, the largest number of nines that an `i128` holds, and what most databases can keep.
const I128_DIGITS: u32 = 38;

/// Digits before the point that a decimal has room for where the schema names no bounds: those of an `i64`.
const INTEGER_DIGITS: u32 = 19;

/// Beyond that a schema's decimals are not meant as such, and making bytes of them would take long.
pub(super) const MOST_DIGITS: u32 = 1000;

impl Decimal {
    /// A decimal of this scale. Without a precision: 38, or more where 19 digits before the point need it.
    pub(super) fn new(precision: Option<u32>, scale: u32) -> Option<Self> {
        let precision = precision.unwrap_or(I128_DIGITS.max(scale.saturating_add(INTEGER_DIGITS)));
        let precision = precision.max(scale).max(1);
        (precision <= MOST_DIGITS).then_some(Self { precision, scale })
    }

    /// Appends the two's complement of the number's units, the highest byte first, as short as it can be. Fails
    /// with what is wrong with it.
    pub(super) fn push_units(self, text: &str, out: &mut Vec<u8>) -> Result<(), &'static str> {
        let number = Number::parse(text).ok_or("a value that is not a decimal number")?;
        let digits = number
            .digits(self.scale)
            .ok_or("a decimal with more digits behind the point than its scale has")?;
        if digits.count > self.precision as usize {
            return Err("a decimal with more digits than its precision");
        }
        if digits.count <= I128_DIGITS as usize {
            push_shortest(&digits.as_i128().to_be_bytes(), out);
        } else {
            push_shortest(&digits.as_bytes(), out);
        }
        Ok(())
    }
}

/// The exact value of a number's text, if it is an integer of 64 bits: `7`, `7.0` and `7e0` are.
pub(super) fn parse_long(text: &str) -> Option<i64> {
    let (digits, negative) = match text.strip_prefix('-') {
        Some(digits) => (digits, true),
        None => (text, false),
    };
    if digits.len() <= 18 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let value = digits
            .bytes()
            .fold(0, |value: i64, digit| value * 10 + i64::from(digit - b'0'));
        return Some(if negative { -value } else { value });
    }
    let digits = Number::parse(text)?.digits(0)?;
    if digits.count > INTEGER_DIGITS as usize {
        return None;
    }
    i64::try_from(digits.as_i128()).ok()
}

/// The power of ten that a number's text is, if it is one: -2 for `0.01` and `1e-2`.
pub(super) fn power_of_ten(text: &str) -> Option<i64> {
    let number = Number::parse(text)?;
    (number.head == "1" && number.tail.is_empty() && !number.negative).then_some(number.exponent)
}

/// How many digits the integers up to a bound have; one less if the bound itself is excluded and a power of ten.
pub(super) fn integer_digits(bound: &str, is_excluded: bool) -> Option<u32> {
    let number = Number::parse(bound)?;
    let written = number.head.len() + number.tail.len();
    let digits = number.exponent.saturating_add_unsigned(written as u64);
    let is_power = number.head == "1" && number.tail.is_empty();
    let digits = digits - i64::from(is_power && is_excluded);
    u32::try_from(digits.max(0)).ok()
}

/// A decimal number: the digits of `head` and `tail`, times 10^exponent. Neither begins or ends with zeros together;
/// zero has no digits.
struct Number<'a> {
    negative: bool,
    head: &'a str,
    tail: &'a str,
    exponent: i64,
}

impl<'a> Number<'a> {
    /// Parses what JSON allows and what decimals in strings come as: `+1`, `.5`, `1.`.
    fn parse(text: &'a str) -> Option<Self> {
        let negative = text.starts_with('-');
        let text = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (digits, exponent) = match text.split_once(['e', 'E']) {
            Some((digits, exponent)) => (digits, parse_exponent(exponent)?),
            None => (text, 0),
        };
        let (head, tail) = digits.split_once('.').unwrap_or((digits, ""));
        let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if head.len() + tail.len() == 0 || !are_digits(head) || !are_digits(tail) {
            return None;
        }
        Some(Self::trimmed(negative, head, tail, exponent))
    }

    fn trimmed(negative: bool, head: &'a str, tail: &'a str, exponent: i64) -> Self {
        let tail = tail.trim_end_matches('0');
        let mut exponent = exponent.saturating_sub_unsigned(tail.len() as u64);
        let mut head = head.trim_start_matches('0');
        let mut tail = tail;
        if tail.is_empty() {
            let digits = head.trim_end_matches('0');
            exponent = exponent.saturating_add_unsigned((head.len() - digits.len()) as u64);
            head = digits;
        }
        if head.is_empty() {
            tail = tail.trim_start_matches('0');
            (head, tail) = (tail, "");
        }
        Self {
            negative,
            head,
            tail,
            exponent,
        }
    }

    /// The digits of the number in units of 10^-scale; `None` if it is not a whole number of them.
    fn digits(&self, scale: u32) -> Option<Digits<'a>> {
        let written = self.head.len() + self.tail.len();
        let zeros = match written {
            0 => 0,
            _ => usize::try_from(self.exponent.saturating_add(i64::from(scale))).ok()?,
        };
        Some(Digits {
            negative: self.negative,
            head: self.head,
            tail: self.tail,
            zeros,
            count: written.saturating_add(zeros),
        })
    }
}

/// Clamped to what no number of digits outweighs.
fn parse_exponent(text: &str) -> Option<i64> {
    let negative = text.starts_with('-');
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value = digits.parse().unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
    Some(if negative { -value } else { value })
}

/// An integer as the digits of `head` and `tail` and then zeros.
struct Digits<'a> {
    negative: bool,
    head: &'a str,
    tail: &'a str,
    zeros: usize,
    count: usize,
}

impl Digits<'_> {
    fn iter(&self) -> impl Iterator<Item = u8> {
        let written = self.head.bytes().chain(self.tail.bytes());
        written
            .map(|digit| digit - b'0')
            .chain(iter::repeat_n(0, self.zeros))
    }

    /// The value, if it has no more than [`I128_DIGITS`].
    fn as_i128(&self) -> i128 {
        let value = self
            .iter()
            .fold(0, |value: i128, digit| value * 10 + i128::from(digit));
        if self.negative { -value } else { value }
    }

    /// The two's complement of the value, the highest byte first, with room for the sign.
    fn as_bytes(&self) -> Vec<u8> {
        // Four bits hold a digit, and one byte more the sign.
        let mut bytes = vec![0u8; self.count / 2 + 2];
        for digit in self.iter() {
            let mut carry = u16::from(digit);
            for byte in bytes.iter_mut().rev() {
                carry += u16::from(*byte) * 10;
                (carry, *byte) = split(carry);
            }
        }
        if self.negative {
            let mut carry = 1;
            for byte in bytes.iter_mut().rev() {
                carry += u16::from(!*byte);
                (carry, *byte) = split(carry);
            }
        }
        bytes
    }
}

/// The byte that stays of a sum, behind what is carried to the next one.
fn split(sum: u16) -> (u16, u8) {
    let [carry, byte] = sum.to_be_bytes();
    (carry.into(), byte)
}

/// Appends a two's complement without the bytes at its front that only repeat the sign.
fn push_shortest(bytes: &[u8], out: &mut Vec<u8>) {
    let is_idle = |pair: &[u8]| matches!(pair, [0, 0..=0x7f] | [0xff, 0x80..=0xff]);
    let idle = bytes.windows(2).take_while(|pair| is_idle(pair)).count();
    out.extend_from_slice(&bytes[idle..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[track_caller]
    fn check_units(precision: u32, scale: u32, text: &str, expected: Result<&[u8], &str>) {
        let mut out = Vec::new();
        let decimal = Decimal { precision, scale };
        let told = decimal.push_units(text, &mut out);
        assert_eq!(told.map(|()| &*out), expected, "{text}");
    }

    const TOO_FINE: &str = "a decimal with more digits behind the point than its scale has";
    const TOO_LONG: &str = "a decimal with more digits than its precision";

    #[test]
    fn decimals_are_whole_numbers_of_their_units() {
        check_units(9, 2, "0", Ok(&[0]));
        check_units(9, 2, "-0.00", Ok(&[0]));
        check_units(9, 2, "1.27", Ok(&[127]));
        check_units(9, 2, "1.28", Ok(&[0, 128]));
        check_units(9, 2, "-1.28", Ok(&[0x80]));
        check_units(9, 2, "-1.29", Ok(&[0xff, 0x7f]));
        check_units(9, 2, "-0.01", Ok(&[0xff]));
        check_units(9, 2, "1", Ok(&[100]));
        check_units(9, 2, "1.2000", Ok(&[120]));
        check_units(9, 2, "12e-1", Ok(&[120]));
        check_units(9, 2, "0.12E+1", Ok(&[120]));
        check_units(9, 2, ".5", Ok(&[50]));
        check_units(9, 2, "+1.", Ok(&[100]));
        check_units(9, 2, "0e999999999999999999999", Ok(&[0]));
        check_units(5, 2, "999.99", Ok(&[1, 0x86, 0x9f]));
        check_units(
            40,
            0,
            "1e39",
            Ok(&hex("02f050fe938943acc45f65568000000000")),
        );
        check_units(
            40,
            0,
            "-1e39",
            Ok(&hex("fd0faf016c76bc533ba09aa98000000000")),
        );
        check_units(
            38,
            0,
            "99999999999999999999999999999999999999",
            Ok(&hex("4b3b4ca85a86c47a098a223fffffffff")),
        );
    }

    #[test]
    fn what_does_not_fit_is_not_rounded() {
        check_units(9, 2, "0.001", Err(TOO_FINE));
        check_units(9, 2, "1.005", Err(TOO_FINE));
        check_units(9, 2, "1e-3", Err(TOO_FINE));
        check_units(9, 2, "1e-99999999999999999999", Err(TOO_FINE));
        check_units(5, 2, "1000", Err(TOO_LONG));
        check_units(5, 2, "-1000.00", Err(TOO_LONG));
        check_units(5, 2, "1e99999999999999999999", Err(TOO_LONG));
        for text in [
            "", "-", ".", "e5", "1e", "1e+", "NaN", "1,5", " 1", "1 ", "--1", "0x1", "é", "1.2.3",
            "1e5e5",
        ] {
            check_units(9, 2, text, Err("a value that is not a decimal number"));
        }
    }

    #[test]
    fn long_and_short_decimals_are_made_alike() {
        let mut random = Random::new("decimals");
        for _ in 0..20_000 {
            let length = 1 + random.below(38);
            let digits: String = (0..length)
                .map(|_| random.pick(&["0", "1", "5", "9"]))
                .collect();
            let text = format!("{}{digits}", random.pick(&["", "-"]));
            let digits = Number::parse(&text).unwrap().digits(0).unwrap();
            let (mut short, mut long) = (Vec::new(), Vec::new());
            push_shortest(&text.parse::<i128>().unwrap().to_be_bytes(), &mut short);
            push_shortest(&digits.as_bytes(), &mut long);
            assert_eq!(short, long, "{text}");
        }
    }

    #[test]
    fn integers_are_exact_or_none() {
        for (text, expected) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("-0.0", Some(0)),
            ("42", Some(42)),
            ("-999999999999999999", Some(-999_999_999_999_999_999)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("99999999999999999999999", None),
            ("1.0", Some(1)),
            ("1e3", Some(1000)),
            ("1.50e1", Some(15)),
            ("1.5", None),
            ("1e-1", None),
            ("1e19", None),
            ("1e999999999999", None),
            ("100e-2", Some(1)),
            ("NaN", None),
            ("-Infinity", None),
        ] {
            assert_eq!(parse_long(text), expected, "{text}");
        }
    }

    #[test]
    fn steps_and_bounds_of_schemas_say_what_decimals_need() {
        for (text, power) in [
            ("1", Some(0)),
            ("0.01", Some(-2)),
            ("1e-09", Some(-9)),
            ("0.10", Some(-1)),
            ("10.0", Some(1)),
            ("0.05", None),
            ("-0.1", None),
            ("0", None),
            ("1e-38", Some(-38)),
        ] {
            assert_eq!(power_of_ten(text), power, "{text}");
        }
        for (bound, is_excluded, digits) in [
            ("1e62", true, Some(62)),
            ("1e62", false, Some(63)),
            ("-99999.99", false, Some(5)),
            ("99999", true, Some(5)),
            ("0", false, Some(0)),
            ("0.5", false, Some(0)),
            ("1e999999999999", false, None),
            ("x", false, None),
        ] {
            assert_eq!(integer_digits(bound, is_excluded), digits, "{bound}");
        }
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits = text.as_bytes().chunks(2);
        digits
            .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }
}
