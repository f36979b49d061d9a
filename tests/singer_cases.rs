//! The cases of the Singer SDK's test-suite for targets, with inputs of our own: subjects, payloads, standard
//! output and exit code, as a user of the SDK expects them.
//!
//! Where the SDK's suite only asks that nothing raises, every message is compared here.

use crate::harness::{Message, Outcome, Target, arrived, publish};

/// Publishes, and expects success with this output and these messages.
#[track_caller]
fn accepted(input: &str, stdout: &str, expected: &[(&str, &str)]) {
    let (outcome, messages) = publish(input);
    outcome.succeeds();
    if stdout.is_empty() {
        outcome.prints("");
    } else {
        outcome.prints_last(stdout);
    }
    arrived(&outcome, &messages, expected);
}

#[track_caller]
fn rejected(input: &str) -> (Outcome, Vec<Message>) {
    let (outcome, messages) = publish(input);
    outcome.exits(1).prints("").does_not_log("panicked");
    (outcome, messages)
}

#[test]
fn array_data() {
    accepted(
        r#"{"type":"SCHEMA","stream":"orders_with_tags","schema":{"type":"object","properties":{"no":{"type":"integer"},"tags":{"type":["null","array"],"items":{"type":"string"}}}},"key_properties":["no"]}
{"type":"RECORD","stream":"orders_with_tags","record":{"no":1,"tags":["gift","blue"]}}
{"type":"RECORD","stream":"orders_with_tags","record":{"no":2,"tags":[]}}
{"type":"RECORD","stream":"orders_with_tags","record":{"no":3,"tags":null}}
{"type":"STATE","value":{"orders_with_tags":3}}
{"type":"RECORD","stream":"orders_with_tags","record":{"no":4,"tags":["a \"quoted\" one"]}}
{"type":"STATE","value":{"orders_with_tags":4}}
"#,
        r#"{"orders_with_tags": 4}"#,
        &[
            ("orders_with_tags", r#"{"no":1,"tags":["gift","blue"]}"#),
            ("orders_with_tags", r#"{"no":2,"tags":[]}"#),
            ("orders_with_tags", r#"{"no":3,"tags":null}"#),
            (
                "orders_with_tags",
                r#"{"no":4,"tags":["a \"quoted\" one"]}"#,
            ),
        ],
    );
}

#[test]
fn camelcase_complex_schema() {
    accepted(
        r#"{"type":"SCHEMA","stream":"ForecastEntries","schema":{"type":"object","additionalProperties":false,"properties":{"EntryId":{"type":"string"},"ClosedOn":{"anyOf":[{"type":"string","format":"date-time"},{"type":["string","null"]}]},"IsOpen":{"type":["null","boolean"]}}},"key_properties":["EntryId"]}
{"type":"SCHEMA","stream":"ForecastEntries","schema":{"type":"object","additionalProperties":false,"properties":{"EntryId":{"type":"string"},"ClosedOn":{"anyOf":[{"type":"string","format":"date"},{"type":"null"}]},"Owner":{"type":["null","object"],"additionalProperties":false,"properties":{"FullName":{"type":"string"}}}}},"key_properties":["EntryId"]}
"#,
        "",
        &[],
    );
}

#[test]
fn camelcase() {
    accepted(
        r#"{"type":"SCHEMA","stream":"InvoiceLines","schema":{"type":"object","properties":{"LineId":{"type":"string"},"netAmount":{"type":"number"}}},"key_properties":["LineId"]}
{"type":"RECORD","stream":"InvoiceLines","record":{"LineId":"L-1","netAmount":12.50}}
{"type":"RECORD","stream":"InvoiceLines","record":{"LineId":"L-2","netAmount":0.1}}
"#,
        "",
        &[
            ("InvoiceLines", r#"{"LineId":"L-1","netAmount":12.50}"#),
            ("InvoiceLines", r#"{"LineId":"L-2","netAmount":0.1}"#),
        ],
    );
}

#[test]
fn cli_prints() {
    Target::new().args(["--version"]).run().succeeds();
    Target::new().args(["--about"]).run().succeeds();
    let json = Target::new().args(["--about", "--format=json"]).run();
    json.succeeds();
    let about: serde_json::Value = serde_json::from_slice(&json.stdout).expect("--about is JSON");
    json.check(about["name"] == "target-nats", "--about gives the name");
}

#[test]
fn duplicate_records() {
    // A target that appends publishes each of them.
    accepted(
        r#"{"type":"SCHEMA","stream":"readings","schema":{"type":"object","properties":{"id":{"type":"integer"},"celsius":{"type":"integer"}}},"key_properties":["id"]}
{"type":"RECORD","stream":"readings","record":{"id":1,"celsius":20}}
{"type":"RECORD","stream":"readings","record":{"id":2,"celsius":21}}
{"type":"RECORD","stream":"readings","record":{"id":1,"celsius":20}}
{"type":"RECORD","stream":"readings","record":{"id":1,"celsius":22}}
{"type":"RECORD","stream":"readings","record":{"id":2,"celsius":21}}
{"type":"STATE","value":{"readings":2}}
"#,
        r#"{"readings": 2}"#,
        &[
            ("readings", r#"{"id":1,"celsius":20}"#),
            ("readings", r#"{"id":2,"celsius":21}"#),
            ("readings", r#"{"id":1,"celsius":20}"#),
            ("readings", r#"{"id":1,"celsius":22}"#),
            ("readings", r#"{"id":2,"celsius":21}"#),
        ],
    );
}

#[test]
fn encoded_string_data() {
    let texts = [
        "καλημέρα",
        "你好世界",
        "наздраве 🍷",
        r"\u03b1\u03b2\u03b3",
        r"\ud83c\udf77",
        r"a\u0000b",
        r#"tab\tline\nquote\"slash\/back\\"#,
        "עברית",
        "",
    ];
    let mut input = String::new();
    let mut expected = Vec::new();
    for stream in ["texts", "nested_texts", "listed_texts"] {
        input += &format!(
            r#"{{"type":"SCHEMA","stream":"{stream}","schema":{{"type":"object","properties":{{"id":{{"type":"integer"}},"info":{{}}}}}},"key_properties":["id"]}}"#
        );
        input += "\n";
        for (id, text) in texts.iter().enumerate() {
            let info = match stream {
                "texts" => format!(r#""{text}""#),
                "nested_texts" => format!(r#"{{"info":"{text}"}}"#),
                _ => format!(r#"["{text}","apple"]"#),
            };
            let payload = format!(r#"{{"id":{id},"info":{info}}}"#);
            input += &format!(r#"{{"type":"RECORD","stream":"{stream}","record":{payload}}}"#);
            input += "\n";
            expected.push((stream, payload));
        }
    }
    input += r#"{"type":"STATE","value":{"texts":9,"nested_texts":9,"listed_texts":9}}"#;
    let (outcome, mut messages) = publish(input);
    outcome
        .succeeds()
        .prints_last(r#"{"texts": 9, "nested_texts": 9, "listed_texts": 9}"#);
    messages.sort_by(|a, b| a.subject.cmp(&b.subject));
    expected.sort_by(|a, b| a.0.cmp(b.0));
    let expected: Vec<(&str, &str)> = expected
        .iter()
        .map(|(stream, payload)| (*stream, payload.as_str()))
        .collect();
    arrived(&outcome, &messages, &expected);
}

#[test]
fn invalid_schema() {
    let (outcome, messages) = rejected(
        r#"{"type":"SCHEMA","stream":"broken","schema":{"type":"object"},"key_properties":[]}
{"type":"RECORD","stream":"broken","record":{"id":1}}
"#,
    );
    outcome.error(&["line 1", "stream broken", "properties"]);
    arrived(&outcome, &messages, &[]);
}

#[test]
fn no_primary_keys() {
    accepted(
        r#"{"type":"SCHEMA","stream":"clicks","schema":{"type":"object","properties":{"page":{"type":"string"},"n":{"type":"integer"}}},"key_properties":[]}
{"type":"RECORD","stream":"clicks","record":{"page":"/","n":1}}
{"type":"RECORD","stream":"clicks","record":{"page":"/","n":1}}
{"type":"RECORD","stream":"clicks","record":{"n":3}}
{"type":"STATE","value":{"clicks":3}}
"#,
        r#"{"clicks": 3}"#,
        &[
            ("clicks", r#"{"page":"/","n":1}"#),
            ("clicks", r#"{"page":"/","n":1}"#),
            ("clicks", r#"{"n":3}"#),
        ],
    );
}

#[test]
fn optional_attributes() {
    accepted(
        r#"{"type":"SCHEMA","stream":"guests","schema":{"type":"object","properties":{"id":{"type":"integer"},"nick":{"type":["null","string"]}}},"key_properties":["id"]}
{"type":"RECORD","stream":"guests","record":{"id":1,"nick":"Kim"}}
{"type":"RECORD","stream":"guests","record":{"id":2}}
{"type":"RECORD","stream":"guests","record":{"id":3,"nick":null}}
{"type":"RECORD","stream":"guests","record":{"nick":"Lou","id":4}}
{"type":"STATE","value":{"guests":4}}
"#,
        r#"{"guests": 4}"#,
        &[
            ("guests", r#"{"id":1,"nick":"Kim"}"#),
            ("guests", r#"{"id":2}"#),
            ("guests", r#"{"id":3,"nick":null}"#),
            ("guests", r#"{"nick":"Lou","id":4}"#),
        ],
    );
}

#[test]
fn primary_key_updates() {
    // Keys inside the schema are no key properties of Singer's, so nothing is missing in the second record.
    accepted(
        r#"{"type":"SCHEMA","stream":"parts","schema":{"type":"object","properties":{"no":{"type":"integer"}},"key_properties":["no"]}}
{"type":"RECORD","stream":"parts","record":{"no":1}}
{"type":"SCHEMA","stream":"parts","schema":{"type":"object","properties":{"code":{"type":"string"}},"key_properties":["code"]}}
{"type":"RECORD","stream":"parts","record":{"no":2}}
"#,
        "",
        &[("parts", r#"{"no":1}"#), ("parts", r#"{"no":2}"#)],
    );
}

#[test]
fn record_before_schema() {
    let (outcome, messages) = rejected(
        r#"{"type":"RECORD","stream":"early","record":{"id":1}}
{"type":"SCHEMA","stream":"early","schema":{"type":"object","properties":{"id":{"type":"integer"}}},"key_properties":["id"]}
"#,
    );
    outcome.error(&["line 1", "stream early"]);
    arrived(&outcome, &messages, &[]);
}

#[test]
fn record_missing_key_property() {
    let (outcome, messages) = rejected(
        r#"{"type":"SCHEMA","stream":"keyed","schema":{"type":"object","properties":{"id":{"type":"integer"},"v":{"type":"string"}}},"key_properties":["id"]}
{"type":"RECORD","stream":"keyed","record":{"v":"no id"}}
"#,
    );
    outcome.error(&[
        "Record is missing one or more key_properties",
        "line 2",
        "stream keyed",
        "field id",
    ]);
    arrived(&outcome, &messages, &[]);
}

#[test]
fn record_missing_optional_fields() {
    accepted(
        r#"{"type":"SCHEMA","stream":"sparse","schema":{"type":"object","properties":{"id":{"type":"integer"},"when":{"type":["null","string"],"format":"date-time"}}},"key_properties":["id"]}
{"type":"RECORD","stream":"sparse","record":{"id":1}}
{"type":"RECORD","stream":"sparse","record":{"id":2}}
{"type":"STATE","value":{}}
"#,
        "",
        &[("sparse", r#"{"id":1}"#), ("sparse", r#"{"id":2}"#)],
    );
}

#[test]
fn schema_no_properties() {
    let (outcome, mut messages) = publish(
        r#"{"type":"SCHEMA","stream":"open_a","schema":{"type":"object","properties":{"id":{"type":"integer"},"store":{"type":"object"}}},"key_properties":["id"]}
{"type":"SCHEMA","stream":"open_b","schema":{"type":"object","properties":{}},"key_properties":[]}
{"type":"RECORD","stream":"open_a","record":{"id":1,"store":{"x":{"y":[1]}}}}
{"type":"RECORD","stream":"open_b","record":{"whatever":true}}
{"type":"RECORD","stream":"open_a","record":{"id":2,"store":{}}}
{"type":"RECORD","stream":"open_b","record":{}}
"#,
    );
    outcome.succeeds().prints("");
    messages.sort_by(|a, b| a.subject.cmp(&b.subject));
    arrived(
        &outcome,
        &messages,
        &[
            ("open_a", r#"{"id":1,"store":{"x":{"y":[1]}}}"#),
            ("open_a", r#"{"id":2,"store":{}}"#),
            ("open_b", r#"{"whatever":true}"#),
            ("open_b", "{}"),
        ],
    );
}

#[test]
fn schema_updates() {
    let declare = |fields: &str| {
        format!(
            r#"{{"type":"SCHEMA","stream":"growing","schema":{{"type":"object","properties":{{"id":{{"type":"integer"}}{fields}}}}},"key_properties":["id"]}}"#
        ) + "\n"
    };
    let payloads = [
        r#"{"id":1,"a1":10}"#,
        r#"{"id":2,"a1":20,"a2":"x"}"#,
        r#"{"id":3,"a2":"y"}"#,
        r#"{"id":4,"a3":{"a":[]}}"#,
        r#"{"id":5,"a3":null}"#,
        r#"{"id":6,"a4":[true]}"#,
    ];
    let line = |payload: &str| {
        format!(r#"{{"type":"RECORD","stream":"growing","record":{payload}}}"#) + "\n"
    };
    let input = declare(r#","a1":{"type":"integer"}"#)
        + &line(payloads[0])
        + &declare(r#","a1":{"type":"integer"},"a2":{"type":"string"}"#)
        + &line(payloads[1])
        + &line(payloads[2])
        + &declare(r#","a3":{"type":["object","null"]}"#)
        + &line(payloads[3])
        + &line(payloads[4])
        + &declare(r#","a4":{"type":"array","items":{"type":"boolean"}}"#)
        + &line(payloads[5])
        + "{\"type\":\"STATE\",\"value\":{\"growing\":6}}\n";
    accepted(
        &input,
        r#"{"growing": 6}"#,
        &payloads.map(|payload| ("growing", payload)),
    );
}

#[test]
fn special_chars_in_attributes() {
    accepted(
        r#"{"type":"SCHEMA","stream":"log:Weird!Names?here","schema":{"type":"object","properties":{"_id":{"type":"string"},"a:b!c?d#e$f%g&h*i":{"type":["null","string"]}}},"key_properties":["_id"]}
{"type":"RECORD","stream":"log:Weird!Names?here","record":{"_id":"1","a:b!c?d#e$f%g&h*i":"v","é[0].x":{"@":"@"}}}
"#,
        "",
        &[(
            "log:Weird!Names?here",
            r#"{"_id":"1","a:b!c?d#e$f%g&h*i":"v","é[0].x":{"@":"@"}}"#,
        )],
    );
}

#[test]
fn multiple_state_messages() {
    let (outcome, messages) = publish(
        r#"{"type":"SCHEMA","stream":"left","schema":{"type":"object","properties":{"id":{"type":"integer"}}},"key_properties":["id"]}
{"type":"RECORD","stream":"left","record":{"id":1}}
{"type":"STATE","value":{"left":1,"right":0}}
{"type":"SCHEMA","stream":"right","schema":{"type":"object","properties":{"id":{"type":"integer"}}},"key_properties":["id"]}
{"type":"RECORD","stream":"right","record":{"id":1}}
{"type":"STATE","value":{"left":1,"right":1}}
{"type":"RECORD","stream":"left","record":{"id":2}}
{"type":"RECORD","stream":"right","record":{"id":2}}
{"type":"STATE","value":{"left":2,"right":2}}
"#,
    );
    outcome.succeeds().prints_last(r#"{"left": 2, "right": 2}"#);
    let known = [
        r#"{"left": 1, "right": 0}"#,
        r#"{"left": 1, "right": 1}"#,
        r#"{"left": 2, "right": 2}"#,
    ];
    let places: Vec<Option<usize>> = outcome
        .stdout_text()
        .lines()
        .map(|line| known.iter().position(|known| *known == line))
        .collect();
    outcome.check(
        places.iter().all(Option::is_some),
        "every line is a state of the tap's",
    );
    outcome.check(places.is_sorted(), "states come in order");
    outcome.check(messages.len() == 4, "four records arrive");
}
