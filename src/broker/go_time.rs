//! Times as Go writes them, in the nanoseconds that JetStream's JSON holds. Pure.

use serde_json::Value;

/// Units of time as Go writes them, in nanoseconds, and days.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// Nanoseconds, from a number of them or from a text as Go writes it: `1h30m`, `1.5h`, `500ms`; and `7d`.
pub(super) fn parse_time(value: &Value) -> Option<Value> {
    let text = match value {
        Value::Number(_) => return value.as_u64().map(Value::from),
        Value::String(text) => text.as_str(),
        _ => return None,
    };
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() || text.is_empty() {
        let is_digit = |c: char| c.is_ascii_digit() || c == '.';
        let (number, behind) = rest.split_at(rest.find(|c| !is_digit(c))?);
        let (unit, behind) = behind.split_at(behind.find(is_digit).unwrap_or(behind.len()));
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        total = total.checked_add(whole.parse::<u64>().ok()?.checked_mul(*unit)?)?;
        let parts_of_unit = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let fraction =
            u128::from(fraction.parse::<u64>().ok()?) * u128::from(*unit) / parts_of_unit;
        total = total.checked_add(u64::try_from(fraction).ok()?)?;
        rest = behind;
    }
    Some(total.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_nanoseconds_or_words() {
        for (value, expected) in [
            (json!("24h"), Some(86_400_000_000_000_u64)),
            (json!("1h30m"), Some(5_400_000_000_000)),
            (json!("500ms"), Some(500_000_000)),
            (json!("7d"), Some(604_800_000_000_000)),
            (json!("1.5h"), Some(5_400_000_000_000)),
            (json!("1.25m0.5s"), Some(75_500_000_000)),
            (json!("0.9ns"), Some(0)),
            (json!(".5s"), None),
            (json!("5.s"), None),
            (json!("1.2.3s"), None),
            (json!("0.99999999999999999999999999s"), None),
            (json!(5), Some(5)),
            (json!(""), None),
            (json!("5"), None),
            (json!("h"), None),
            (json!("5x"), None),
            (json!("99999999999d"), None),
            (json!(-1), None),
            (json!(true), None),
        ] {
            assert_eq!(parse_time(&value), expected.map(Value::from), "{value}");
        }
    }
}
