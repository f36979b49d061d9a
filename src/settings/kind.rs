//! What a setting's value may be: its JSON type and its range.
//!
//! [`ValueKind::check`] judges a JSON value, [`ValueKind::parse_text`] makes one from the text of an
//! environment variable. Neither repeats a text that it was given: it may be a secret in the wrong place.

use serde_json::{Number, Value};

/// The type of a setting; `null` is dealt with before it is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ValueKind {
    String,
    Integer {
        min: i64,
        max: i64,
    },
    Number {
        min: f64,
        max: f64,
    },
    Boolean,
    /// A boolean that may also be given as text, since the Python target declared it a string.
    BooleanText,
    Options(&'static [&'static str]),
    Object,
}

impl ValueKind {
    /// Any integer.
    pub(crate) const INTEGER: Self = Self::Integer {
        min: i64::MIN,
        max: i64::MAX,
    };

    /// The error completes the sentence that begins with the setting's name.
    pub(crate) fn check(self, value: &Value) -> Result<(), String> {
        match (self, value) {
            (Self::String, Value::String(_))
            | (Self::Boolean, Value::Bool(_))
            | (Self::Object, Value::Object(_)) => Ok(()),
            (Self::BooleanText, _) if parse_boolean(value).is_some() => Ok(()),
            (Self::Options(options), Value::String(text)) if options.contains(&text.as_str()) => {
                Ok(())
            }
            (Self::Integer { min, max }, Value::Number(number)) if is_integer(number) => {
                match number.as_i64() {
                    Some(integer) if (min..=max).contains(&integer) => Ok(()),
                    _ => Err(format!("must be from {min} to {max}")),
                }
            }
            (Self::Number { min, max }, Value::Number(number)) => match number.as_f64() {
                Some(float) if (min..=max).contains(&float) => Ok(()),
                _ => Err(format!("must be from {min} to {max}")),
            },
            (Self::BooleanText | Self::Options(_), Value::String(_)) => {
                Err(format!("must be {}", self.name()))
            }
            _ => Err(format!("must be {}, not {}", self.name(), type_name(value))),
        }
    }

    /// The JSON value that a text stands for. The error is what it should have been.
    pub(crate) fn parse_text(self, text: &str) -> Result<Value, String> {
        let wrong = || format!("must be {}", self.name());
        match self {
            Self::String | Self::Options(_) | Self::BooleanText => Ok(text.into()),
            Self::Boolean => parse_boolean(&text.into())
                .map(Value::Bool)
                .ok_or_else(wrong),
            Self::Integer { .. } => parse_integer(text).map(Value::Number).ok_or_else(wrong),
            Self::Number { .. } => parse_number(text).map(Value::Number).ok_or_else(wrong),
            Self::Object => serde_json::from_str(text)
                .map_err(|error| format!("must be {}, as JSON: {error}", self.name())),
        }
    }

    fn name(self) -> String {
        match self {
            Self::String => "a string".to_owned(),
            Self::Integer { .. } => "an integer".to_owned(),
            Self::Number { .. } => "a number".to_owned(),
            Self::Boolean => "a boolean (true or false)".to_owned(),
            Self::BooleanText => "true or false (or 1, 0, yes, no, on, off)".to_owned(),
            Self::Options(options) => format!("one of {}", options.join(", ")),
            Self::Object => "an object".to_owned(),
        }
    }
}

/// What a boolean, or one of the words for it, means.
pub(crate) fn parse_boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(boolean) => Some(*boolean),
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if is_integer(number) => "an integer",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// By its spelling: `1.0` and `1e3` are no integers to the Python target either.
fn is_integer(number: &Number) -> bool {
    !number.as_str().contains(['.', 'e', 'E'])
}

/// As Python's `int()`: blanks around it, a sign, and `_` between digits.
fn parse_integer(text: &str) -> Option<Number> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let groups_are_whole = digits
        .split('_')
        .all(|group| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit()));
    if !groups_are_whole {
        return None;
    }
    let digits = digits.replace('_', "");
    let significant = digits.trim_start_matches('0');
    let significant = if significant.is_empty() {
        "0"
    } else {
        significant
    };
    serde_json::from_str(&format!("{sign}{significant}")).ok()
}

fn parse_number(text: &str) -> Option<Number> {
    parse_integer(text).or_else(|| Number::from_f64(text.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(kind: ValueKind, value: &Value, expected: Result<(), &str>) {
        assert_eq!(kind.check(value), expected.map_err(str::to_owned));
    }

    #[track_caller]
    fn check_text(kind: ValueKind, text: &str, expected: Result<Value, &str>) {
        assert_eq!(kind.parse_text(text), expected.map_err(str::to_owned));
    }

    const SMALL: ValueKind = ValueKind::Integer { min: 1, max: 64 };
    const SECONDS: ValueKind = ValueKind::Number {
        min: 0.001,
        max: 86400.0,
    };

    #[test]
    fn values_are_judged_by_type_and_range() {
        check(ValueKind::String, &json!("x"), Ok(()));
        check(
            ValueKind::String,
            &json!(5),
            Err("must be a string, not an integer"),
        );
        check(
            ValueKind::String,
            &json!([]),
            Err("must be a string, not a list"),
        );
        check(ValueKind::Boolean, &json!(false), Ok(()));
        check(
            ValueKind::Boolean,
            &json!("true"),
            Err("must be a boolean (true or false), not a string"),
        );
        check(ValueKind::BooleanText, &json!("OFF"), Ok(()));
        check(ValueKind::BooleanText, &json!(true), Ok(()));
        check(
            ValueKind::BooleanText,
            &json!("maybe"),
            Err("must be true or false (or 1, 0, yes, no, on, off)"),
        );
        check(ValueKind::Options(&["a", "b"]), &json!("b"), Ok(()));
        check(
            ValueKind::Options(&["a", "b"]),
            &json!("c"),
            Err("must be one of a, b"),
        );
        check(SMALL, &json!(64), Ok(()));
        check(SMALL, &json!(0), Err("must be from 1 to 64"));
        check(SMALL, &json!(1.0), Err("must be an integer, not a number"));
        check(
            SMALL,
            &json!(true),
            Err("must be an integer, not a boolean"),
        );
        let huge: Value = serde_json::from_str(&"9".repeat(400)).unwrap();
        check(SMALL, &huge, Err("must be from 1 to 64"));
        check(SECONDS, &json!(1), Ok(()));
        check(SECONDS, &json!(0.5), Ok(()));
        check(SECONDS, &json!(0), Err("must be from 0.001 to 86400"));
        check(SECONDS, &huge, Err("must be from 0.001 to 86400"));
        check(ValueKind::Object, &json!({}), Ok(()));
        check(
            ValueKind::Object,
            &json!([]),
            Err("must be an object, not a list"),
        );
    }

    #[test]
    fn texts_become_values() {
        check_text(ValueKind::String, "", Ok(json!("")));
        check_text(ValueKind::Options(&["a"]), "x", Ok(json!("x")));
        check_text(SMALL, " +1_0 ", Ok(json!(10)));
        check_text(SMALL, "-007", Ok(json!(-7)));
        check_text(SMALL, "", Err("must be an integer"));
        check_text(SMALL, "1__0", Err("must be an integer"));
        check_text(SMALL, "1.5", Err("must be an integer"));
        check_text(SECONDS, "1.5", Ok(json!(1.5)));
        check_text(SECONDS, "30", Ok(json!(30)));
        check_text(SECONDS, "inf", Err("must be a number"));
        check_text(ValueKind::Boolean, "YES", Ok(json!(true)));
        check_text(ValueKind::Boolean, "0", Ok(json!(false)));
        check_text(
            ValueKind::Boolean,
            " true",
            Err("must be a boolean (true or false)"),
        );
        check_text(
            ValueKind::Boolean,
            "",
            Err("must be a boolean (true or false)"),
        );
        check_text(ValueKind::Object, "{\"a\": 1}", Ok(json!({"a": 1})));
        check_text(
            ValueKind::Object,
            "{a",
            Err("must be an object, as JSON: key must be a string at line 1 column 2"),
        );
    }
}
