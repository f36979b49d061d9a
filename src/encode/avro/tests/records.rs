//! Which bytes a record becomes, and which records are none.

use super::{AvroCodec, Kind, schema_of};
use crate::encode::avro::wire::push_long;
use crate::testing::Random;

/// A required field's value as Avro.
#[track_caller]
fn check_value(singer: &str, value: &str, expected: &[u8]) {
    let codec = AvroCodec::compile("s", &schema_of(singer)).expect(singer);
    check_record(&codec, &format!(r#"{{"f": {value} }}"#), expected);
}

#[track_caller]
fn check_record(codec: &AvroCodec, record: &str, expected: &[u8]) {
    let mut out = b"before".to_vec();
    codec.encode(record, &mut out).expect(record);
    assert_eq!(&out[..6], b"before");
    assert_eq!(&out[6..], expected, "{record}");
}

#[track_caller]
fn check_bad_value(singer: &str, value: &str, expected: &str) {
    let codec = AvroCodec::compile("s", &schema_of(singer)).expect(singer);
    check_bad_record(&codec, &format!(r#"{{"f": {value} }}"#), expected);
}

#[track_caller]
fn check_bad_record(codec: &AvroCodec, record: &str, expected: &str) {
    let mut out = b"before".to_vec();
    let error = codec.encode(record, &mut out).unwrap_err();
    assert_eq!((error.kind(), &*out), (Kind::Input, &b"before"[..]));
    assert_eq!(error.to_string(), expected, "{record}");
}

fn string(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len() * 2).unwrap();
    [&[length], text.as_bytes()].concat()
}

#[test]
fn the_sample_of_apicurio_is_what_a_record_becomes() {
    let codec = AvroCodec::compile(
        "users",
        r#"{"properties":{"id":{"type":"integer"},"name":{"type":["string","null"]},"seen_at":{"type":["string","null"],"format":"date-time"},"price":{"type":["number","null"]}},"required":["id"]}"#,
    )
    .unwrap();
    let expected = [
        0x0e, 0x02, 0x06, 0x41, 0x64, 0x61, 0x02, 0x80, 0x80, 0x89, 0x82, 0xe2, 0xf5, 0x86, 0x06,
        0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xf8, 0x3f,
    ];
    for record in [
        r#"{"id":7,"name":"Ada","seen_at":"2024-01-01T00:00:00Z","price":1.5}"#,
        r#" { "price" : 15e-1 , "seen_at" : "2024-01-01" , "id" : 7.0 , "name" : "A\u0064a" } "#,
        r#"{"id":"x","\u0069d":7,"nothing":null,"name":"Ada","seen_at":"2024-01-01T00:00:00Z","price":1,"price":1.5}"#,
    ] {
        check_record(&codec, record, &expected);
    }
    check_record(&codec, r#"{"id":-1}"#, &[1, 0, 0, 0]);
    check_record(&codec, r#"{"id":-1,"name":null}"#, &[1, 0, 0, 0]);
}

#[test]
fn scalars_are_encoded() {
    check_value(r#"{"type":"integer"}"#, "-65", &[0x81, 1]);
    check_value(r#"{"type":"integer"}"#, "1e0", &[2]);
    check_value(r#"{"type":"boolean"}"#, "true", &[1]);
    check_value(r#"{"type":"boolean"}"#, "false", &[0]);
    check_value(r#"{"type":"number"}"#, "-2", &(-2f64).to_le_bytes());
    check_value(r#"{"type":"number"}"#, "0.1", &0.1f64.to_le_bytes());
    check_value(r#"{"type":"number"}"#, "NaN", &f64::NAN.to_le_bytes());
    check_value(
        r#"{"type":"number"}"#,
        "-Infinity",
        &f64::NEG_INFINITY.to_le_bytes(),
    );
    check_value(r#"{"type":"number"}"#, "1e-999", &[0; 8]);
    check_value(r#"{"type":"null"}"#, "null", &[]);
    check_value(r#"{"type":"string"}"#, r#""""#, &[0]);
    check_value(
        r#"{"type":"string"}"#,
        r#""é\n\ud83d\ude00""#,
        &string("é\n😀"),
    );
    check_value(
        r#"{"type":["string","null"]}"#,
        r#""null""#,
        &[&[2][..], &string("null")].concat(),
    );
    check_value(
        r#"{"type":"number","multipleOf":0.01}"#,
        "-1.5",
        &[4, 0xff, 0x6a],
    );
    check_value(
        r#"{"type":"string","format":"singer.decimal","scale":1}"#,
        r#""12.8""#,
        &[4, 0, 0x80],
    );
    check_value(
        r#"{"type":"number","multipleOf":1,"exclusiveMinimum":-1e400,"exclusiveMaximum":1e400}"#,
        "1e300",
        &[&[0xfa, 1][..], &ten_to_300()].concat(),
    );
    check_value(
        r#"{"type":"string","format":"date"}"#,
        r#""1970-01-02""#,
        &[2],
    );
    check_value(
        r#"{"type":"string","format":"date-time"}"#,
        r#""1970-01-01 00:00:00.000001""#,
        &[2],
    );
}

/// 10^300 in two's complement: 5^300 is reached by multiplication, the rest is a shift.
fn ten_to_300() -> Vec<u8> {
    let mut bytes = vec![0u8; 125];
    bytes[124] = 1;
    for _ in 0..300 {
        let mut carry = 0;
        for byte in bytes.iter_mut().rev() {
            carry += u16::from(*byte) * 10;
            *byte = carry.to_be_bytes()[1];
            carry >>= 8;
        }
    }
    bytes
}

#[test]
fn text_is_what_the_tap_wrote() {
    for value in ["12.50", "true", "1e5"] {
        check_value(
            r#"{"type":["string","number","boolean"]}"#,
            value,
            &string(value),
        );
    }
    check_value(
        r#"{"type":["string","number"]}"#,
        r#""a\tb""#,
        &string("a\tb"),
    );
    for value in [r#"{"a": [1.0, NaN]}"#, r#""a\tb""#, "-0.0"] {
        check_value(
            r#"{"type":["string","object","number"]}"#,
            value,
            &string(value),
        );
        check_value("{}", value, &[&[2][..], &string(value)].concat());
    }
    check_value("{}", "null", &[0]);
}

#[test]
fn arrays_and_maps_are_one_block() {
    let longs = r#"{"type":"array","items":{"type":"integer"}}"#;
    check_value(longs, "[]", &[0]);
    check_value(longs, "[ ]", &[0]);
    check_value(longs, "[1]", &[2, 2, 0]);
    check_value(longs, "[ 1 , 2,3 ]", &[6, 2, 4, 6, 0]);
    let hundred = vec!["0"; 100].join(",");
    check_value(
        longs,
        &format!("[{hundred}]"),
        &[&[0xc8, 1][..], &[0; 100], &[0]].concat(),
    );
    check_value(
        r#"{"type":"array"}"#,
        r#"["a",null,[]]"#,
        &[&[6, 2][..], &string("\"a\""), &[0, 2], &string("[]"), &[0]].concat(),
    );
    let map = r#"{"type":"object","additionalProperties":{"type":["boolean","null"]}}"#;
    check_value(map, "{}", &[0]);
    check_value(
        map,
        r#"{"a": true, "\u00e9":null}"#,
        &[&[4][..], &string("a"), &[2, 1], &string("é"), &[0, 0]].concat(),
    );
}

#[test]
fn records_in_records_find_their_own_fields() {
    let inner = r#"{"type":["object","null"],"properties":{"a":{"type":"integer"},"b":{"type":"integer"}},"required":["a"]}"#;
    let singer = format!(
        r#"{{"properties":{{"a":{{"type":"integer"}},"list":{{"type":"array","items":{inner}}},"b":{inner}}}}}"#
    );
    let codec = AvroCodec::compile("s", &singer).unwrap();
    check_record(
        &codec,
        r#"{"b":{"b":2,"a":1},"list":[{"a":3},null,{"a":4,"b":5,"x":null}],"a":6}"#,
        &[2, 12, 2, 6, 2, 6, 0, 0, 2, 8, 2, 10, 0, 2, 2, 2, 4],
    );
    check_record(&codec, "{}", &[0, 0, 0]);
    check_bad_record(
        &codec,
        r#"{"list":[{"a":1},{"b":2}]}"#,
        "the record lacks a field that is required and not nullable (field list[1].a)",
    );
    check_bad_record(
        &codec,
        r#"{"b":{"a":1,"c":{}}}"#,
        "the schema does not declare the field, so Avro has no place for it (field b.c)",
    );
}

#[test]
fn what_does_not_fit_is_named_and_not_shown() {
    let integer = r#"{"type":"integer"}"#;
    let not_integer = "a value that is not an integer of 64 bits (field f)";
    for value in ["1.5", "9223372036854775808", "\"1\"", "true", "{}", "NaN"] {
        check_bad_value(integer, value, not_integer);
    }
    check_bad_value(
        integer,
        "null",
        "null in a field that is not nullable (field f)",
    );
    let number = "a value that is not a number of 64 bits (field f)";
    for value in ["1e999", "\"1\"", "true", "[1]"] {
        check_bad_value(r#"{"type":"number"}"#, value, number);
    }
    for value in ["1", "true", "{}", "NaN"] {
        check_bad_value(
            r#"{"type":"string"}"#,
            value,
            "a value that is not a string (field f)",
        );
    }
    check_bad_value(
        r#"{"type":"boolean"}"#,
        "1",
        "a value that is not a boolean (field f)",
    );
    check_bad_value(
        r#"{"type":"null"}"#,
        "1",
        "a value in a field that can only be null (field f)",
    );
    let time = r#"{"type":"string","format":"date-time"}"#;
    for value in ["1704067200", "\"\"", "\"0000-00-00 00:00:00\"", "{}"] {
        check_bad_value(time, value, "a value that is not a date-time (field f)");
    }
    check_bad_value(
        r#"{"type":"string","format":"date"}"#,
        "\"2024-01-01T12:00:00Z\"",
        "a value that is not a date (field f)",
    );
    let cents = r#"{"type":"number","multipleOf":0.01}"#;
    check_bad_value(
        cents,
        "0.005",
        "a decimal with more digits behind the point than its scale has (field f)",
    );
    check_bad_value(
        cents,
        "1e37",
        "a decimal with more digits than its precision (field f)",
    );
    check_bad_value(
        cents,
        "NaN",
        "a value that is not a decimal number (field f)",
    );
    let array = r#"{"type":"array","items":{"type":"array","items":{"type":"integer"}}}"#;
    check_bad_value(array, "{}", "a value that is not an array (field f)");
    check_bad_value(
        array,
        "[[1],[2,\"x\"]]",
        "a value that is not an integer of 64 bits (field f[1][1])",
    );
    let map = r#"{"type":"object","additionalProperties":{"type":"integer"}}"#;
    check_bad_value(map, "[]", "a value that is not an object (field f)");
    check_bad_value(
        map,
        r#"{"secret":"x"}"#,
        "a value that is not an integer of 64 bits (field f.*)",
    );
}

#[test]
fn a_field_without_a_place_is_refused_unless_it_is_null() {
    let codec = AvroCodec::compile("s", r#"{"properties":{"a":{"type":"integer"}}}"#).unwrap();
    check_record(&codec, r#"{"x":null,"a":1}"#, &[2, 2]);
    check_record(&codec, r#"{"x":5,"a":1,"x":null}"#, &[2, 2]);
    for record in [
        r#"{"x":0}"#,
        r#"{"a":1,"\u0078":{}}"#,
        r#"{"x":null,"x":1}"#,
    ] {
        check_bad_record(
            &codec,
            record,
            "the schema does not declare the field, so Avro has no place for it (field x)",
        );
    }
}

#[test]
fn half_a_surrogate_pair_is_no_text() {
    let text = r#"{"type":"string"}"#;
    let either = r#"{"type":["string","number"]}"#;
    let map = r#"{"type":"object","additionalProperties":{"type":"null"}}"#;
    let what = "a string with half a surrogate pair, which no UTF-8 can hold";
    for inside in [
        r"\ud83d",
        r"\ude00",
        r"\ud83d!",
        r"\ud83dx\ude00",
        r"\ud83d\n\ude00",
        r"\ud83d\ud83d\ude00",
        r"\ud83d\ude00\ude00",
        r"\ude00\ud83d",
        r"\\\ud83d",
        r"\ufffd\uD83D",
    ] {
        check_bad_value(text, &format!("\"{inside}\""), &format!("{what} (field f)"));
        check_bad_value(
            either,
            &format!("\"{inside}\""),
            &format!("{what} (field f)"),
        );
        check_bad_value(
            map,
            &format!(r#"{{"{inside}":null}}"#),
            &format!("{what} (field f.*)"),
        );
    }
    for (inside, expected) in [
        (r"\ufffd", "\u{fffd}"),
        ("\u{fffd}\\n", "\u{fffd}\n"),
        (r"\ufffd\ud83d\ude00", "\u{fffd}😀"),
        (r"\\ud83d\ufffd", "\\ud83d\u{fffd}"),
    ] {
        check_value(text, &format!("\"{inside}\""), &string(expected));
    }
    // JSON text keeps the escape.
    let value = r#""\ud83d""#;
    check_value("{}", value, &[&[2][..], &string(value)].concat());
}

#[test]
fn a_record_that_grows_without_bounds_is_ended() {
    let columns: Vec<String> = (0..1000).map(|n| format!(r#""c{n}":{{}}"#)).collect();
    let row = format!(
        r#"{{"type":"object","properties":{{{}}}}}"#,
        columns.join(",")
    );
    let items = vec!["{}"; 100_000].join(",");
    let what = "the record becomes more than 64 MiB, and no NATS server takes that";
    check_bad_value(
        &format!(r#"{{"type":"array","items":{row}}}"#),
        &format!("[{items}]"),
        &format!("{what} (field f[67108])"),
    );
    let entries = vec![r#""k":{}"#; 100_000].join(",");
    check_bad_value(
        &format!(r#"{{"type":"object","additionalProperties":{row}}}"#),
        &format!("{{{entries}}}"),
        &format!("{what} (field f.*)"),
    );
}

#[test]
fn a_field_without_a_name_is_named_nevertheless() {
    let codec = AvroCodec::compile(
        "s",
        r#"{"properties":{"":{"properties":{"":{"type":"integer"}}}}}"#,
    )
    .unwrap();
    check_bad_record(
        &codec,
        r#"{"":{"":"x"}}"#,
        "a value that is not an integer of 64 bits (field \"\".\"\")",
    );
}

#[test]
fn names_that_look_like_escapes_are_not_mixed_up() {
    let codec = AvroCodec::compile(
        "s",
        r#"{"properties":{"\\n":{"type":"integer"},"\n":{"type":"string"}}}"#,
    )
    .unwrap();
    check_record(&codec, r#"{"\\n":1,"\n":"x"}"#, &[2, 2, 2, 2, b'x']);
    check_record(&codec, r#"{"\n":"x"}"#, &[0, 2, 2, b'x']);
}

#[test]
fn the_order_of_keys_changes_nothing() {
    let mut random = Random::new("order of keys");
    let names: Vec<String> = (0..30).map(|number| format!("f{number}")).collect();
    let properties: Vec<String> = names
        .iter()
        .map(|name| format!(r#""{name}":{{"type":"integer"}}"#))
        .collect();
    let singer = format!(r#"{{"properties":{{{}}}}}"#, properties.join(","));
    let codec = AvroCodec::compile("s", &singer).unwrap();
    for _ in 0..1000 {
        let values: Vec<Option<i64>> = (0..30)
            .map(|number| (random.below(3) > 0).then_some(number))
            .collect();
        let mut fields: Vec<String> = names
            .iter()
            .zip(&values)
            .filter_map(|(name, value)| Some(format!(r#""{name}":{}"#, (*value)?)))
            .collect();
        for _ in 0..random.below(3) {
            let (a, b) = (random.below(fields.len()), random.below(fields.len()));
            fields.swap(a, b);
        }
        let mut expected = Vec::new();
        for value in values {
            match value {
                Some(value) => {
                    push_long(&mut expected, 1);
                    push_long(&mut expected, value);
                }
                None => expected.push(0),
            }
        }
        check_record(&codec, &format!("{{{}}}", fields.join(",")), &expected);
    }
}

#[test]
fn no_schema_and_no_record_makes_it_panic() {
    let mut random = Random::new("odd schemas and records");
    let keywords = [
        "type",
        "properties",
        "items",
        "anyOf",
        "format",
        "enum",
        "$ref",
        "required",
        "additionalProperties",
    ];
    let (mut compiled, mut encoded) = (0, 0);
    for _ in 0..20_000 {
        let mut field = random.json(3);
        for keyword in keywords {
            if random.below(2) == 0 {
                let value = match random.below(3) {
                    0 => random.json(2),
                    1 => r#"["string","object","null"]"#.to_owned(),
                    _ => format!(r#"{{"a":{field}}}"#),
                };
                field = format!(
                    r#"{{"type":"{}","{keyword}":{value}}}"#,
                    random.pick(&["object", "array", "number"])
                );
            }
        }
        let Ok(codec) = AvroCodec::compile("s", &schema_of(&field)) else {
            continue;
        };
        compiled += 1;
        serde_json::from_str::<serde_json::Value>(codec.schema_text()).unwrap();
        let mut out = Vec::new();
        let record = format!(r#"{{"f":{}}}"#, random.json(3));
        match codec.encode(&record, &mut out) {
            Ok(()) => encoded += 1,
            Err(_) => assert!(out.is_empty()),
        }
    }
    assert!(compiled > 2000 && encoded > 500, "{compiled} {encoded}");
}
