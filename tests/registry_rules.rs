//! Schemas that a registry's rules refuse: what the program says of it, and what it had published before. What the
//! levels of COMPATIBILITY make of each change is in `registry_evolution.rs`.

use crate::harness::{
    NatsServer, Outcome, Registry, Subscriber, Target, Version, record, schema_as, state,
};

const VERSIONS: [Version; 2] = [Version::V3_3, Version::V3_0];

/// A schema of one property `id` and another.
fn object(properties: &str, more: &str) -> String {
    format!(r#"{{"type":"object","properties":{{{properties}}}{more}}}"#)
}

const ID: &str = r#""id":{"type":["integer"]}"#;
const BOTH: &str = r#""id":{"type":["integer"]},"name":{"type":["string","null"]}"#;

#[track_caller]
fn run(registry: &Registry, group: &str, input: String) -> Outcome {
    let server = NatsServer::start();
    let target = Target::new().server(&server).registry(registry, group);
    target.input(input).run()
}

fn group_with_rule(registry: &Registry, group: &str, rule: &str, level: &str) {
    registry.create_group(group);
    registry.set_group_rule(group, rule, level);
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
        let outcome = run(registry, group, input.clone());
        outcome.exits(1).error(&["users", "schema_closed"]);
        let server = NatsServer::start();
        let target = Target::new().server(&server).registry(registry, group);
        let closed = target
            .setting("schema_closed", true)
            .setting("schema_topic_prefix", "closed-");
        closed.input(input).run().succeeds();
        assert_eq!(registry.versions(group, "closed-users").len(), 2);
        // To close what is open is a change that breaks BACKWARD itself.
        let target = Target::new().server(&server).registry(registry, group);
        let late = target.setting("schema_closed", true);
        let outcome = late.input(schema_as("users", &object(ID, ""))).run();
        outcome.exits(1).error(&["users", "by a rule"]);
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
        let outcome = run(registry, group, input.clone());
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
        let draft_07 = || {
            let target = Target::new().server(&server).registry(registry, group);
            target.setting("schema_draft", "draft-07").input(&*input)
        };
        draft_07()
            .setting("schema_topic_prefix", "other-")
            .run()
            .succeeds();
        assert_eq!(registry.versions(group, "other-users").len(), 2);
        // What is there already stays in the way until it is disabled.
        draft_07().run().exits(1).error(&["users", "disabled"]);
        registry.set_state(group, "users", "1", "DISABLED");
        draft_07().run().succeeds();
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
                let outcome = run(registry, &group, input);
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
