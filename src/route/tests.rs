//! Subjects and headers of streams and records, from settings to text.

use super::*;

fn routes(json: &str) -> Result<Routes, Error> {
    Routes::compile(&Settings::from_json(json).unwrap())
}

/// The subject and headers of a record with the keys `id` and `b`, or the error's text.
fn route(settings: &str, stream: &str, record: &str) -> (String, String) {
    let keys = ["id".to_owned(), "b".to_owned()];
    let stream = routes(settings).unwrap().compile_stream(stream, &keys);
    match stream.route(record) {
        Ok(route) => {
            let headers = route.headers.as_ref().map(Headers::to_string);
            (route.subject.to_string(), headers.unwrap_or_default())
        }
        Err(error) => (error.to_string(), String::new()),
    }
}

#[track_caller]
fn check(settings: &str, stream: &str, record: &str, expected: &str) {
    assert_eq!(route(settings, stream, record).0, expected);
}

#[track_caller]
fn check_config(settings: &str, expected: &str) {
    assert_eq!(routes(settings).unwrap_err().to_string(), expected);
}

#[test]
fn subjects_come_from_prefix_stream_key_and_record() {
    check("{}", "users", "{}", "users");
    check(r#"{"queue_prefix":"data."}"#, "a.b", "{}", "data.a.b");
    check(
        r#"{"subject":"x.{stream}.{key}"}"#,
        "s",
        r#"{"b":true,"id":7}"#,
        "x.s.7.true",
    );
    let nested = r#"{"subject":"{queue_prefix}{record.a.b}","queue_prefix":"p."}"#;
    check(nested, "s", r#"{"a":{"b":"v\u0077"}}"#, "p.vw");
    let globs = r#"{"subjects":{"users":"u","pub*":"p.{stream}","*":"rest"},"subject":"never"}"#;
    check(globs, "users", "{}", "u");
    check(globs, "public-x", "{}", "p.public-x");
    check(globs, "other", "{}", "rest");
    check(r#"{"subject":"a{{b}}"}"#, "s", "{}", "a{b}");
}

#[test]
fn odd_stream_names_keep_their_meaning_or_are_refused() {
    for name in [
        "a.b",
        "UPPER",
        "a-b_c/d",
        "test:Special!in?x",
        "é中",
        "a\u{a0}b",
        "a\u{2003}b",
        "a*b",
        "a>",
    ] {
        check("{}", name, "{}", name);
    }
    for (name, why) in [
        ("", "is empty"),
        ("a..b", "has an empty token"),
        (".a", "has an empty token"),
        ("a.", "has an empty token"),
        ("a b", "holds white space"),
        ("a\tb", "holds white space"),
        ("a\rb", "holds white space"),
        ("a\nb", "holds white space"),
        ("*", "has a wildcard token"),
        ("a.>", "has a wildcard token"),
        ("$SYS.x", "would start with a name reserved by NATS"),
        ("_INBOX.x", "would start with a name reserved by NATS"),
    ] {
        let shown = name.escape_default();
        let expected = format!("the subject {why} (stream {shown}, field subject)");
        check("{}", name, "{}", &expected);
    }
    check(
        "{}",
        &"x".repeat(4000),
        "{}",
        &format!(
            "the subject is longer than 3900 bytes (stream {}..., field subject)",
            "x".repeat(100)
        ),
    );
    check(r#"{"queue_prefix":"$OPS."}"#, "a", "{}", "$OPS.a");
    check(
        r#"{"queue_prefix":"_IN"}"#,
        "BOX.a",
        "{}",
        "the subject would start with a name reserved by NATS (stream BOX.a, field subject)",
    );
}

#[test]
fn a_value_from_a_record_is_one_token_and_cannot_leave_its_place() {
    let subject = r#"{"subject":"p.{record.v}"}"#;
    check(subject, "s", r#"{"v":"a"}"#, "p.a");
    for (value, why) in [
        (r#""a.b""#, "holds a dot, which would begin another token"),
        (r#""""#, "has an empty token"),
        (r#"">""#, "has a wildcard token"),
        (r#""a b""#, "holds white space"),
    ] {
        let record = format!(r#"{{"v":{value}}}"#);
        check(
            subject,
            "s",
            &record,
            &format!("the subject {why} (stream s, field record.v)"),
        );
    }
    for value in ["null", "[1]", "{}"] {
        check(
            subject,
            "s",
            &format!(r#"{{"v":{value}}}"#),
            "a template needs a string, number or boolean (stream s, field record.v)",
        );
    }
    check(
        subject,
        "s",
        "{}",
        "a template's field is not in the record (stream s, field record.v)",
    );
    let key = r#"{"subject":"{key}"}"#;
    check(
        key,
        "s",
        r#"{"id":1}"#,
        "a template's field is not in the record (stream s, field record.b)",
    );
}

#[test]
fn illegal_characters_can_be_replaced_or_encoded() {
    let with = |policy: &str, name: &str| {
        route(&format!(r#"{{"subject_invalid":"{policy}"}}"#), name, "{}").0
    };
    for (name, replaced, encoded) in [
        ("a b", "a_b", "a=20b"),
        ("a..b", "a._.b", "a.=.b"),
        ("", "_", "="),
        ("*.>.a*", "_._.a*", "=2A.=3E.a*"),
        ("a=b", "a=b", "a=3Db"),
        ("$SYS.x", "_SYS.x", "=24SYS.x"),
        ("_INBOX.x", "__INBOX.x", "=5FINBOX.x"),
        ("é", "é", "é"),
    ] {
        assert_eq!(with("replace", name), replaced);
        assert_eq!(with("encode", name), encoded);
    }
    let key = r#"{"subject":"k.{key}","subject_invalid":"encode"}"#;
    check(key, "s", r#"{"id":"a.b","b":"=20"}"#, "k.a=2Eb.=3D20");
    let first = r#"{"subject":"{record.v}","subject_invalid":"encode"}"#;
    check(first, "s", r#"{"v":"$JS"}"#, "=24JS");
}

#[test]
fn encoding_is_reversible_for_any_value() {
    let mut random = crate::testing::Random::new("subject encoding");
    for _ in 0..20_000 {
        let value: String = (0..random.below(5))
            .map(|_| {
                *random.pick(&[
                    &'.', &'=', &'*', &'>', &' ', &'a', &'2', &'0', &'é', &'$', &'E', &'\n',
                ])
            })
            .collect();
        let record = serde_json::json!({ "v": value }).to_string();
        let settings = r#"{"subject":"p.{record.v}","subject_invalid":"encode"}"#;
        let subject = route(settings, "s", &record).0;
        let token = subject.strip_prefix("p.").unwrap();
        assert!(
            !token.contains('.') && !token.is_empty(),
            "{value:?} {token:?}"
        );
        assert_eq!(
            subject::decode_token(token).as_deref(),
            Some(&*value),
            "{token:?}"
        );
    }
}

#[test]
fn headers_keep_their_order_and_never_break_a_line() {
    let settings = r#"{"headers":{"B":"{stream}","A":" {record.v} ","Empty":"{record.e}"}}"#;
    let (_, headers) = route(settings, "s", r#"{"v":"x y","e":""}"#);
    assert_eq!(headers, "B:s\r\nA:x y");
    let (error, _) = route(settings, "s", r#"{"v":"x\r\nEvil: y","e":""}"#);
    assert_eq!(
        error,
        "a header's value holds a control character (stream s, field headers.A)"
    );
    let (_, none) = route(r#"{"headers":{"E":"{record.e}"}}"#, "s", r#"{"e":""}"#);
    assert_eq!(none, "");
}

#[test]
fn bad_templates_are_found_before_the_run() {
    check_config(
        r#"{"headers":{"a":"x\ny"}}"#,
        "setting headers.a: a header's value holds a control character",
    );
    let subject = |text: &str| format!(r#"{{"subject":{text:?}}}"#);
    check_config(
        &subject("{strem}"),
        "setting subject: unknown field {strem}; there are {stream}, {queue_prefix}, {key} and {record.<name>}",
    );
    check_config(&subject("{stream"), "setting subject: '{' without '}'");
    check_config(&subject("a}"), "setting subject: '}' without '{'");
    check_config(
        &subject("{record.}"),
        "setting subject: unknown field {record.}; there are {stream}, {queue_prefix}, {key} and {record.<name>}",
    );
    check_config(
        &subject("a b"),
        "setting subject: the subject holds white space",
    );
    check_config(
        &subject("a..{stream}"),
        "setting subject: the subject has an empty token",
    );
    check_config(&subject(""), "setting subject: the subject is empty");
    check_config(
        r#"{"subjects":{"x*":"{stream}.>"}}"#,
        "setting subjects.x*: the subject has a wildcard token",
    );
    check_config(
        r#"{"headers":{"a b":"x"}}"#,
        "setting headers.a b: a header's name is printable ASCII without space and colon",
    );
    check_config(
        r#"{"headers":{"":"x"}}"#,
        "setting headers.: a header's name is printable ASCII without space and colon",
    );
    check_config(
        r#"{"headers":{"a":"{x}"}}"#,
        "setting headers.a: unknown field {x}; there are {stream}, {queue_prefix}, {key} and {record.<name>}",
    );
}
