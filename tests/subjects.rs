//! Subjects and headers: what odd names become, what never reaches the wire, and how templates are filled.

use serde_json::{Value, json};

use crate::harness::{
    Message, NatsServer, Subscriber, Target, arrived, publish, publish_with, record, schema, state,
};

/// A stream of this name is published on this subject, over the wire.
#[track_caller]
fn arrives_on(stream: &str, subject: &str, settings: &[(&str, Value)]) {
    let (outcome, messages) = publish_with(
        |target| {
            settings.iter().fold(target, |target, (key, value)| {
                target.setting(key, value.clone())
            })
        },
        schema(stream, &["id"]) + &record(stream, r#"{"id":1}"#) + &state("1"),
    );
    outcome.succeeds().prints("1\n");
    arrived(&outcome, &messages, &[(subject, r#"{"id":1}"#)]);
}

/// The subject that a dry run prints for this record of the stream `s`, whose keys are `id` and `b`.
#[track_caller]
fn dry(settings: &Value, stream: &str, payload: &str) -> String {
    let outcome = Target::new()
        .config(settings.to_string())
        .args(["--dry-run"])
        .input(schema(stream, &["id", "b"]) + &record(stream, payload))
        .run();
    outcome.succeeds();
    outcome.stdout_text().split('\t').next().unwrap().to_owned()
}

/// A record of this stream ends the run, and nothing of it reaches the server; what came before it does.
#[track_caller]
fn never_reaches_the_wire(stream: &str, settings: &[(&str, Value)], parts: &[&str]) {
    let input = schema("good", &["id"])
        + &schema(stream, &["id"])
        + &record("good", r#"{"id":1}"#)
        + &state("1")
        + &record(stream, r#"{"id":2}"#)
        + &record("good", r#"{"id":3}"#)
        + &state("3");
    let (outcome, messages) = publish_with(
        |target| {
            settings.iter().fold(target, |target, (key, value)| {
                target.setting(key, value.clone())
            })
        },
        input,
    );
    outcome
        .exits(1)
        .prints("1\n")
        .error(&["line 5", "subject"])
        .error(parts);
    let payloads: Vec<&str> = messages.iter().map(Message::text).collect();
    outcome.check(payloads == [r#"{"id":1}"#], "only the first record arrives");
}

#[test]
fn odd_names_that_are_legal_are_published_as_they_are() {
    let names = [
        "a.b",
        "UPPER",
        "a-b_c/d",
        "test:Special!in?x",
        "é中",
        "a\u{a0}b",
        "a\u{2003}b",
        "nul\u{0}nul",
        "a*b",
        "a>",
        ">b",
        "x.$SYS",
        "x._INBOX",
        "_INBOXES",
        "a$b",
        "a=b",
        "{a}",
        "\"q\"",
        "\u{7f}",
    ];
    let mut input = String::new();
    for name in names {
        input += &schema(name, &[]);
        input += &record(name, &format!(r#"{{"name":{}}}"#, json!(name)));
    }
    let (outcome, mut messages) = publish(input + &state("1"));
    outcome.succeeds().prints("1\n");
    messages.sort_by(|a, b| a.subject.cmp(&b.subject));
    let mut expected: Vec<(&str, String)> = names
        .iter()
        .map(|name| (*name, format!(r#"{{"name":{}}}"#, json!(name))))
        .collect();
    expected.sort();
    let expected: Vec<(&str, &str)> = expected
        .iter()
        .map(|(name, payload)| (*name, payload.as_str()))
        .collect();
    arrived(&outcome, &messages, &expected);
}

#[test]
fn a_name_with_white_space_never_reaches_the_wire() {
    for name in ["a b", "a\tb", "a\rb", "a\nb", "a\r\nPUB evil 0", " a", "a "] {
        never_reaches_the_wire(name, &[], &["white space"]);
    }
}

#[test]
fn a_name_with_an_empty_token_never_reaches_the_wire() {
    for name in ["a..b", ".a", "a.", "."] {
        never_reaches_the_wire(name, &[], &["empty token"]);
    }
    never_reaches_the_wire("", &[], &["empty"]);
    never_reaches_the_wire("", &[("queue_prefix", json!("x."))], &["empty token"]);
}

#[test]
fn a_wildcard_token_never_reaches_the_wire() {
    for name in ["*", ">", "a.*", "a.>", "*.a"] {
        never_reaches_the_wire(name, &[], &["wildcard"]);
    }
}

#[test]
fn data_never_leads_to_a_reserved_subject() {
    for name in ["$SYS.x", "$JS.API.INFO", "$", "_INBOX.x", "_INBOX"] {
        never_reaches_the_wire(name, &[], &["reserved"]);
    }
    never_reaches_the_wire("BOX.x", &[("queue_prefix", json!("_IN"))], &["reserved"]);
}

#[test]
fn a_name_that_is_longer_than_a_servers_line_never_reaches_the_wire() {
    never_reaches_the_wire(&"x".repeat(5000), &[], &[]);
    arrives_on(&"x".repeat(3800), &"x".repeat(3800), &[]);
}

#[test]
fn the_prefix_is_put_before_the_name_as_it_is() {
    arrives_on("users", "raw.users", &[("queue_prefix", json!("raw."))]);
    arrives_on("users", "rawusers", &[("queue_prefix", json!("raw"))]);
    arrives_on("", "raw", &[("queue_prefix", json!("raw"))]);
    // What the operator writes is the operator's decision.
    arrives_on("users", "$ops.users", &[("queue_prefix", json!("$ops."))]);
}

#[test]
fn illegal_characters_can_be_replaced_on_the_wire() {
    for (name, subject) in [
        ("a b\tc", "a_b_c"),
        ("a\r\nb", "a__b"),
        ("a..b", "a._.b"),
        (".", "_._"),
        ("", "_"),
        ("*.>.a*", "_._.a*"),
        ("$SYS.x", "_SYS.x"),
        ("a=b", "a=b"),
        ("é", "é"),
    ] {
        arrives_on(name, subject, &[("subject_invalid", json!("replace"))]);
    }
}

#[test]
fn illegal_characters_can_be_encoded_on_the_wire() {
    for (name, subject) in [
        ("a b\tc", "a=20b=09c"),
        ("a\r\nb", "a=0D=0Ab"),
        ("a..b", "a.=.b"),
        ("", "="),
        ("*.>.a*", "=2A.=3E.a*"),
        ("$SYS.x", "=24SYS.x"),
        ("_INBOX.x", "=5FINBOX.x"),
        // Reversible only because the sign of the encoding is encoded too.
        ("a=20b", "a=3D20b"),
        ("é", "é"),
    ] {
        arrives_on(name, subject, &[("subject_invalid", json!("encode"))]);
    }
}

#[test]
fn a_template_is_filled_from_stream_prefix_key_and_record() {
    let settings =
        json!({"queue_prefix": "p", "subject": "{queue_prefix}.{stream}.{key}.{record.a.b}.end"});
    let payload = r#"{"b":true,"id":7,"a":{"x":"no","b":"caf\u00e9"}}"#;
    assert_eq!(dry(&settings, "s", payload), "p.s.7.true.café.end");
}

#[test]
fn numbers_in_a_template_keep_their_text() {
    let payload = r#"{"id":12345678901234567890123,"b":false}"#;
    assert_eq!(
        dry(&json!({"subject": "{key}"}), "s", payload),
        "12345678901234567890123.false"
    );
}

#[test]
fn of_duplicate_keys_a_template_takes_the_last() {
    assert_eq!(
        dry(
            &json!({"subject": "x.{record.v}"}),
            "s",
            r#"{"v":"1","id":1,"b":1,"v":"2"}"#
        ),
        "x.2"
    );
}

#[test]
fn braces_are_doubled_to_be_themselves() {
    assert_eq!(
        dry(
            &json!({"subject": "{{stream}}.{stream}"}),
            "s",
            r#"{"id":1,"b":1}"#
        ),
        "{stream}.s"
    );
}

#[test]
fn a_value_that_is_no_token_ends_the_run_and_names_the_field() {
    for (payload, field) in [
        (r#"{"id":1,"v":"a.b"}"#, "record.v"),
        (r#"{"id":1}"#, "record.v"),
        (r#"{"id":1,"v":null}"#, "record.v"),
        (r#"{"id":1,"v":[1]}"#, "record.v"),
        (r#"{"id":1,"v":{"x":1}}"#, "record.v"),
        (r#"{"id":1,"v":""}"#, "subject"),
        (r#"{"id":1,"v":"a b"}"#, "subject"),
        (r#"{"id":1,"v":">"}"#, "subject"),
        (r#"{"id":1,"v":"x\r\nPUB evil 0\r\n"}"#, "subject"),
    ] {
        let (outcome, messages) = publish_with(
            |target| target.setting("subject", "p.{record.v}"),
            schema("s", &["id"]) + &record("s", payload) + &state("1"),
        );
        outcome
            .exits(1)
            .prints("")
            .error(&["line 2", "stream s", field]);
        outcome.check(messages.is_empty(), "nothing arrives");
    }
}

#[test]
fn a_value_cannot_leave_its_place() {
    let encode = json!({"subject": "p.{record.v}.x", "subject_invalid": "encode"});
    assert_eq!(
        dry(&encode, "s", r#"{"id":1,"b":1,"v":"a.b =>\n*"}"#),
        "p.a=2Eb=20=3D>=0A*.x"
    );
    let replace = json!({"subject": "p.{record.v}.x", "subject_invalid": "replace"});
    assert_eq!(
        dry(&replace, "s", r#"{"id":1,"b":1,"v":"a.b ..\t"}"#),
        "p.a_b____.x"
    );
}

#[test]
fn the_key_of_a_stream_without_keys_ends_the_run() {
    let (outcome, _) = publish_with(
        |target| target.setting("subject", "p.{key}"),
        schema("s", &[]) + &record("s", "{}") + &state("1"),
    );
    outcome
        .exits(1)
        .prints("")
        .error(&["line 2", "stream s", "key"]);
}

#[test]
fn each_stream_takes_the_first_template_that_matches() {
    let settings = json!({"subjects": {
        "orders": "exact.{stream}", "or*": "glob.{stream}", "use?": "one.{stream}"
    }, "subject": "rest.{stream}"});
    for (stream, subject) in [
        ("orders", "exact.orders"),
        ("orbit", "glob.orbit"),
        ("user", "one.user"),
        ("users", "rest.users"),
        ("Orders", "rest.Orders"),
    ] {
        assert_eq!(dry(&settings, stream, r#"{"id":1,"b":1}"#), subject);
    }
}

#[test]
fn a_template_with_record_fields_routes_each_record_by_itself() {
    let mut input = schema("s", &["id"]);
    let mut expected = Vec::new();
    for id in 0..300 {
        let payload = format!(r#"{{"id":{id},"region":"r{}"}}"#, id % 7);
        input += &record("s", &payload);
        expected.push((format!("s.r{}.{id}", id % 7), payload));
    }
    let (outcome, messages) = publish_with(
        |target| target.setting("subject", "{stream}.{record.region}.{key}"),
        input + &state("1"),
    );
    outcome.succeeds().prints("1\n");
    let expected: Vec<(&str, &str)> = expected
        .iter()
        .map(|(subject, payload)| (subject.as_str(), payload.as_str()))
        .collect();
    arrived(&outcome, &messages, &expected);
}

/// The header block with which one record arrives.
#[track_caller]
fn header_block(headers: Value, payload: &str) -> Option<String> {
    let (outcome, messages) = publish_with(
        |target| target.setting("headers", headers),
        schema("users", &["id"]) + &record("users", payload) + &state("1"),
    );
    outcome.succeeds().prints("1\n");
    outcome.check(
        messages.len() == 1 && messages[0].subject == "users",
        "the record arrives on its subject",
    );
    outcome.check(
        messages[0].payload == payload.as_bytes(),
        "the payload is untouched",
    );
    messages[0].headers.clone()
}

#[test]
fn headers_arrive_in_their_order_with_their_values() {
    let headers = json!({
        "Z-Source": "tap", "A-Stream": "{stream}", "M-Key": "k={key}", "Who": "{record.who.name}", "Flag": "{record.ok}"
    });
    let block = header_block(
        headers,
        r#"{"id":1.50,"who":{"name":"Zoë \u00e9"},"ok":true}"#,
    );
    let expected = "NATS/1.0\r\nZ-Source:tap\r\nA-Stream:users\r\nM-Key:k=1.50\r\nWho:Zoë é\r\nFlag:true\r\n\r\n";
    assert_eq!(block.as_deref(), Some(expected));
}

#[test]
fn without_headers_there_is_no_header_block() {
    assert_eq!(header_block(json!({}), r#"{"id":1}"#), None);
    assert_eq!(header_block(json!({"Empty": ""}), r#"{"id":1}"#), None);
}

#[test]
fn a_header_cannot_be_used_to_smuggle_another_one() {
    for value in [
        "v\\r\\nNats-Msg-Id: evil",
        "v\\n",
        "\\u0000",
        "a\\r\\n\\r\\nPUB evil 0\\r\\n",
    ] {
        let (outcome, messages) = publish_with(
            |target| target.setting("headers", json!({"Note": "{record.v}"})),
            schema("s", &[]) + &record("s", &format!(r#"{{"v":"{value}"}}"#)) + &state("1"),
        );
        outcome
            .exits(1)
            .prints("")
            .error(&["line 2", "stream s", "Note"]);
        outcome.check(messages.is_empty(), "nothing arrives");
    }
}

#[test]
fn a_header_name_that_is_not_legal_is_an_error_of_the_configuration() {
    for name in ["", "a b", "a:b", "a\r\nb", "é"] {
        let outcome = Target::new()
            .config(json!({"headers": {name: "v"}}).to_string())
            .run();
        outcome.exits(2).prints("").error(&["headers"]);
    }
}

#[test]
fn headers_count_against_the_largest_payload() {
    let server = NatsServer::with("max_payload: 1000");
    let mut subscriber = Subscriber::on(&server);
    // Without headers this is the largest that fits; with them it does not.
    let payload = format!(r#"{{"id":"{}"}}"#, "x".repeat(991));
    let input = schema("users", &[]) + &record("users", &payload) + &state("1");
    Target::new()
        .server(&server)
        .input(input.clone())
        .run()
        .succeeds();
    let outcome = Target::new()
        .server(&server)
        .setting("headers", json!({"A": "b"}))
        .input(input)
        .run();
    outcome
        .exits(1)
        .prints("")
        .error(&["line 2", "stream users", "1000"]);
    assert_eq!(subscriber.messages().len(), 1);
}

#[test]
fn headers_survive_many_records() {
    let mut input = schema("users", &["id"]);
    for id in 0..2_000 {
        input += &record("users", &format!(r#"{{"id":{id}}}"#));
    }
    let (outcome, messages) = publish_with(
        |target| target.setting("headers", json!({"Id": "{key}", "S": "{stream}"})),
        input + &state("1"),
    );
    outcome.succeeds().prints("1\n");
    outcome.check(messages.len() == 2_000, "every record arrives");
    for (id, message) in messages.iter().enumerate() {
        assert_eq!(
            message.headers,
            Some(format!("NATS/1.0\r\nId:{id}\r\nS:users\r\n\r\n"))
        );
        assert_eq!(message.text(), format!(r#"{{"id":{id}}}"#));
    }
}
