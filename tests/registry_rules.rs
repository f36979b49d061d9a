//! The rules of a registry: what a change of a schema meets under every level of COMPATIBILITY, and what VALIDITY
//! refuses, by what the real registries say and by what the program makes of it.

use crate::harness::{
    NatsServer, Outcome, Registry, Subscriber, Target, Version, record, schema_as, state,
};

const VERSIONS: [Version; 2] = [Version::V3_3, Version::V3_0];

/// A schema of one property `id` and another.
fn object(properties: &str, more: &str) -> String {
    format!(r#"{{"type":"object","properties":{{{properties}}}{more}}}"#)
}

const CLOSED: &str = r#","additionalProperties":false"#;
const ID: &str = r#""id":{"type":["integer"]}"#;
const BOTH: &str = r#""id":{"type":["integer"]},"name":{"type":["string","null"]}"#;

/// A change of a schema, and whether it is compatible under BACKWARD, FORWARD and FULL.
struct Evolution {
    name: &'static str,
    before: String,
    after: String,
    allowed: [bool; 3],
}

/// One that is the same for open and closed schemas.
fn both(name: &'static str, before: &str, after: &str, allowed: [bool; 3]) -> Vec<Evolution> {
    each(name, before, after, [allowed, allowed])
}

/// One for an open schema, and one for a closed one.
fn each(
    name: &'static str,
    before: &str,
    after: &str,
    [open, closed]: [[bool; 3]; 2],
) -> Vec<Evolution> {
    let with = |more: &str, allowed| Evolution {
        name,
        before: object(before, more),
        after: object(after, more),
        allowed,
    };
    vec![with("", open), with(CLOSED, closed)]
}

/// The table of the spec (apicurio.md, 1.5), in the shapes that taps of the SDK give their schemas.
fn evolutions() -> Vec<Evolution> {
    let (no, backward, forward, all) = (
        [false; 3],
        [true, false, false],
        [false, true, false],
        [true; 3],
    );
    let nullable = r#""id":{"type":["integer","null"]}"#;
    let text = r#""id":{"type":["string","null"]}"#;
    let bare_text = r#""id":{"type":["string"]}"#;
    let short = r#""id":{"type":["string","null"],"maxLength":5}"#;
    let timed = r#""id":{"type":["string","null"],"format":"date-time"}"#;
    // Without a `$schema`, the registry reads drafts that have no such format.
    let dated = r#""id":{"type":["string","null"],"format":"date"}"#;
    let number = r#""id":{"type":["number"]}"#;
    let turned = r#""id":{"type":["null","integer"]}"#;
    let titled = r#""id":{"type":["integer"],"title":"t","description":"d"}"#;
    let mut table = Vec::new();
    table.extend(each("a column is added", ID, BOTH, [forward, backward]));
    table.extend(each("a column is dropped", BOTH, ID, [backward, forward]));
    table.extend(both("integer becomes number", ID, number, backward));
    table.extend(both("null is allowed", ID, nullable, backward));
    table.extend(both("null is no longer allowed", text, bare_text, forward));
    table.extend(both("a length is limited", text, short, forward));
    table.extend(both("a time is asked for", text, timed, forward));
    table.extend(both("a date is asked for", text, dated, all));
    table.extend(both("integer becomes string", ID, bare_text, no));
    table.extend(both("types are turned round", nullable, turned, all));
    table.extend(both("a title is added", ID, titled, all));
    for (more, closed) in [("", false), (CLOSED, true)] {
        table.push(Evolution {
            name: if closed {
                "a field of a closed schema is required"
            } else {
                "a field is required"
            },
            before: object(ID, more),
            after: object(ID, &format!(r#"{more},"required":["id"]"#)),
            allowed: forward,
        });
    }
    table.push(Evolution {
        name: "an open schema is closed",
        before: object(ID, ""),
        after: object(ID, CLOSED),
        allowed: forward,
    });
    table
}

#[track_caller]
fn run(registry: &Registry, group: &str, warn: bool, input: String) -> Outcome {
    let server = NatsServer::start();
    let mut target = Target::new().server(&server).registry(registry, group);
    if warn {
        target = target.setting("schema_on_error", "warn");
    }
    target.input(input).run()
}

/// A group with a rule, which has a schema already, since a rule cannot be without its group.
fn group_with_rule(registry: &Registry, group: &str, rule: &str, level: &str) {
    registry.create_group(group);
    registry.set_group_rule(group, rule, level);
}

#[test]
fn json_schemas_evolve_under_every_level_as_the_table_says() {
    let levels = [
        ("NONE", None),
        ("BACKWARD", Some(0)),
        ("BACKWARD_TRANSITIVE", Some(0)),
        ("FORWARD", Some(1)),
        ("FORWARD_TRANSITIVE", Some(1)),
        ("FULL", Some(2)),
        ("FULL_TRANSITIVE", Some(2)),
    ];
    let table = evolutions();
    let stream = |at: usize| format!("s{at:02}");
    for version in VERSIONS {
        let registry = Registry::shared(version);
        for (level, column) in levels {
            let group = format!("rules json {level}");
            group_with_rule(registry, &group, "COMPATIBILITY", level);
            let input = |schema: &dyn Fn(&Evolution) -> &str| {
                let lines = table.iter().enumerate();
                lines
                    .map(|(at, case)| schema_as(&stream(at), schema(case)))
                    .collect::<String>()
            };
            run(registry, &group, false, input(&|case| &case.before)).succeeds();
            let outcome = run(registry, &group, true, input(&|case| &case.after));
            outcome.succeeds();
            let mut wrong = Vec::new();
            for (at, case) in table.iter().enumerate() {
                let allowed = column.is_none_or(|column: usize| case.allowed[column]);
                let versions = registry.versions(&group, &stream(at)).len();
                let warning = format!("stream '{}' is published without ids", stream(at));
                let warned = outcome.stderr.contains(&warning);
                if (versions == 2) != allowed || warned == allowed {
                    let (before, after) = (&case.before, &case.after);
                    wrong.push(format!("{}: {before} to {after}", case.name));
                }
            }
            let what = format!("under {level} the table is right, which it is not in {wrong:#?}");
            outcome.check(wrong.is_empty(), &what);
        }
    }
}

/// Columns may come and go under every level: what JSON Schema cannot have.
#[test]
fn avro_schemas_evolve_under_every_level_as_the_table_says() {
    let cases = [
        (
            "a column is added",
            object(ID, ""),
            object(BOTH, ""),
            [true; 3],
        ),
        (
            "a column is dropped",
            object(BOTH, ""),
            object(ID, ""),
            [true; 3],
        ),
        (
            "integer becomes number",
            object(ID, ""),
            object(r#""id":{"type":["number"]}"#, ""),
            [true, false, false],
        ),
        (
            "integer becomes string",
            object(ID, ""),
            object(r#""id":{"type":["string"]}"#, ""),
            [false; 3],
        ),
    ];
    for version in VERSIONS {
        let registry = Registry::shared(version);
        for (column, level) in ["BACKWARD", "FORWARD", "FULL"].iter().enumerate() {
            let group = format!("rules avro {level}");
            group_with_rule(registry, &group, "COMPATIBILITY", level);
            for (at, (name, before, after, allowed)) in cases.iter().enumerate() {
                let stream = format!("s{at}");
                let server = NatsServer::start();
                let run = |schema: &str| {
                    let target = Target::new().server(&server).registry(registry, &group);
                    let avro = target.setting("payload_format", "avro");
                    avro.input(schema_as(&stream, schema)).run()
                };
                run(before).succeeds();
                let outcome = run(after);
                let versions = registry.versions(&group, &stream);
                outcome.check(versions[0].artifact_type == "AVRO", "it is Avro");
                outcome.check(
                    (versions.len() == 2) == allowed[column],
                    &format!("under {level}, {name}: allowed is {}", allowed[column]),
                );
                if allowed[column] {
                    outcome.succeeds();
                } else {
                    outcome.exits(1).error(&[&stream, "RuleViolationException"]);
                }
            }
        }
    }
}

#[test]
fn a_schema_that_is_refused_ends_the_run_behind_all_that_was_before_it() {
    for version in VERSIONS {
        let registry = Registry::shared(version);
        let group = "rules refused";
        group_with_rule(registry, group, "COMPATIBILITY", "BACKWARD");
        let server = NatsServer::start();
        let mut subscriber = Subscriber::on(&server);
        let two = r#""id":{"type":"string"},"no":{"type":"string"}"#;
        let first = object(r#""id":{"type":"integer"},"no":{"type":"integer"}"#, "");
        let input = schema_as("users", &first)
            + &schema_as("other", &first)
            + &record("users", r#"{"id":1}"#)
            + &state("1")
            + &schema_as("users", &object(two, ""))
            + &record("users", r#"{"id":"2"}"#)
            + &state("2")
            + &record("other", r#"{"id":3}"#)
            + &state("3");
        let outcome = Target::new()
            .server(&server)
            .registry(registry, group)
            .input(input)
            .run();
        // Line, stream and artifact, the rule and each of its causes.
        let parts = [
            "line 5",
            "stream users",
            "artifact 'users'",
            group,
            "by a rule",
            "/properties/id",
            "/properties/no",
        ];
        outcome.exits(1).error(&parts).prints("1\n");
        let messages = subscriber.messages();
        let texts: Vec<&str> = messages
            .iter()
            .filter(|message| message.subject == "users")
            .map(|message| message.text())
            .collect();
        assert_eq!(texts, [r#"{"id":1}"#]);
        assert_eq!(registry.versions(group, "users").len(), 1);
    }
}

/// Trap A of the spec.
#[test]
fn an_added_column_under_backward_gets_a_hint_and_closed_schemas_are_the_way_out() {
    for version in VERSIONS {
        let registry = Registry::shared(version);
        let group = "rules trap a";
        group_with_rule(registry, group, "COMPATIBILITY", "BACKWARD");
        let input = schema_as("users", &object(ID, "")) + &schema_as("users", &object(BOTH, ""));
        let outcome = run(registry, group, false, input.clone());
        outcome.exits(1).error(&["users", "schema_closed"]);
        let server = NatsServer::start();
        let target = Target::new().server(&server).registry(registry, group);
        let closed = target
            .setting("schema_closed", true)
            .setting("schema_topic_prefix", "closed-");
        closed.input(input).run().succeeds();
        assert_eq!(registry.versions(group, "closed-users").len(), 2);
    }
}

/// Trap B of the spec.
#[test]
fn a_draft_that_cannot_be_compared_gets_a_hint_and_draft_07_is_the_way_out() {
    let draft = r#","$schema":"https://json-schema.org/draft/2020-12/schema""#;
    for version in VERSIONS {
        let registry = Registry::shared(version);
        let group = "rules trap b";
        group_with_rule(registry, group, "COMPATIBILITY", "FORWARD");
        let input =
            schema_as("users", &object(ID, draft)) + &schema_as("users", &object(BOTH, draft));
        let before = registry.requests_about("rules%20trap%20b").len();
        let outcome = run(registry, group, false, input.clone());
        outcome
            .exits(1)
            .error(&["users", "schema_draft", "draft-07"]);
        let requests = registry.requests_about("rules%20trap%20b").len();
        assert_eq!(
            requests - before,
            2,
            "what fails for good is not tried again"
        );
        let server = NatsServer::start();
        let target = Target::new().server(&server).registry(registry, group);
        let other = target
            .setting("schema_draft", "draft-07")
            .setting("schema_topic_prefix", "other-");
        other.input(input).run().succeeds();
        assert_eq!(registry.versions(group, "other-users").len(), 2);
    }
}

#[test]
fn what_is_no_valid_schema_is_refused_where_validity_is_asked_for() {
    let cases = [
        (
            "an unknown type",
            r#"{"type":"object","properties":{"id":{"type":"strng"}}}"#,
            true,
        ),
        (
            "a bad pattern",
            r#"{"type":"object","properties":{"id":{"type":"string","pattern":"("}}}"#,
            true,
        ),
        (
            "a good one",
            r#"{"type":"object","properties":{"id":{"type":"string","pattern":"a"}}}"#,
            false,
        ),
        (
            "a draft that is not checked",
            r#"{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{"id":{"type":"strng"}}}"#,
            false,
        ),
    ];
    for version in VERSIONS {
        let registry = Registry::shared(version);
        for (level, checks) in [("FULL", true), ("SYNTAX_ONLY", false)] {
            let group = format!("rules valid {level}");
            group_with_rule(registry, &group, "VALIDITY", level);
            for (at, (name, schema, bad)) in cases.iter().enumerate() {
                let stream = format!("s{at}");
                let input = schema_as(&stream, schema) + &record(&stream, "{}") + &state("1");
                let outcome = run(registry, &group, false, input);
                if *bad && checks {
                    outcome
                        .exits(1)
                        .prints("")
                        .error(&[&stream, "RuleViolationException"]);
                } else {
                    outcome.succeeds().prints("1\n");
                }
                let versions = registry.versions(&group, &stream).len();
                outcome.check((versions == 0) == (*bad && checks), name);
            }
        }
    }
}
