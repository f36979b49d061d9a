//! The schema registry, on real ones of three versions: what is registered under which name, what is found again,
//! and which ids the messages carry. What rules refuse is in `registry_rules.rs`, what fails in `registry_faults.rs`.

use serde_json::json;

use crate::harness::{
    Message, NatsServer, Outcome, Registered, Registry, Target, Version, publish_with, record,
    schema_as, state,
};

const VERSIONS: [Version; 3] = [Version::V3_3, Version::V3_0, Version::V2_6];

/// As the tap says it, and as it is registered.
const TOLD: &str = r#"{ "type": "object", "properties": {"name": {"type": ["string", "null"]}, "id": {"type":"integer"}} }"#;
const KEPT: &str =
    r#"{"properties":{"id":{"type":"integer"},"name":{"type":["string","null"]}},"type":"object"}"#;

/// Runs it on a server of its own: the outcome, and everything that arrived.
#[track_caller]
fn run(
    registry: &Registry,
    group: &str,
    settings: impl FnOnce(Target) -> Target,
    input: impl Into<Vec<u8>>,
) -> (Outcome, Vec<Message>) {
    publish_with(|target| settings(target.registry(registry, group)), input)
}

/// Each message has both ids of this version.
#[track_caller]
fn carry(outcome: &Outcome, messages: &[Message], ids: &Registered) {
    for message in messages {
        let content_id = message.header("apicurio.value.contentId");
        let global_id = message.header("apicurio.value.globalId");
        outcome.check(
            content_id == Some(&ids.content_id.to_string())
                && global_id == Some(&ids.global_id.to_string()),
            &format!("{message:?} carries the ids of {ids:?}"),
        );
    }
}

#[test]
fn a_schema_is_registered_once_and_its_messages_carry_its_ids() {
    // Content of its own: what another test has registered has an old contentId, which may be any globalId.
    let own = |text: &str| text.replace(r#""name""#, r#""once""#);
    let (told_text, kept) = (own(TOLD), own(KEPT));
    for version in VERSIONS {
        let registry = Registry::shared(version);
        let group = "registry once";
        let changed = told_text.replace(r#""integer""#, r#"["integer","null"]"#);
        let told = schema_as("users", &told_text);
        let input = told.clone()
            + &record("users", r#"{"id":1}"#)
            + &told
            + &record("users", r#"{"id":2}"#)
            + &state("2")
            + &schema_as("users", &changed)
            + &record("users", r#"{"id":null}"#)
            + &told
            + &record("users", r#"{"id":4}"#)
            + &state("4");
        let (outcome, messages) = run(registry, group, |target| target, input);
        outcome.succeeds().prints_last("4");
        let versions = registry.versions(group, "users");
        assert_eq!(versions.len(), 2, "{versions:?}");
        assert_ne!(versions[0].content_id, versions[0].global_id);
        assert_eq!(registry.content(versions[0].content_id), kept);
        let kept_then = kept.replace(r#""integer""#, r#"["integer","null"]"#);
        assert_eq!(registry.content(versions[1].content_id), kept_then);
        assert_eq!(
            (&*versions[0].artifact_type, &*versions[0].state),
            ("JSON", "ENABLED")
        );
        let texts: Vec<&str> = messages.iter().map(Message::text).collect();
        assert_eq!(
            texts,
            [
                r#"{"id":1}"#,
                r#"{"id":2}"#,
                r#"{"id":null}"#,
                r#"{"id":4}"#
            ]
        );
        for (message, version) in messages.iter().zip([0, 0, 1, 0]) {
            carry(&outcome, std::slice::from_ref(message), &versions[version]);
        }

        // What was registered in this run is not asked for again.
        let requests = registry.requests_about("/registry%20once/");
        assert_eq!(requests.len(), 2, "{requests:?}");
        for request in &requests {
            assert_eq!((&*request.method, request.status), ("POST", 200));
            assert!(request.agent.starts_with("target-nats/"), "{request:?}");
        }
    }
}

#[test]
fn another_run_finds_the_version_again_whatever_the_order_of_the_keys() {
    for version in VERSIONS {
        let registry = Registry::shared(version);
        let group = "registry again";
        let other = r#"{"properties":{"id":{"type":"integer"},"name":{"type":["string","null"]}},"type":"object"}"#;
        for told in [TOLD, other, TOLD] {
            let input = schema_as("users", told) + &record("users", r#"{"id":1}"#);
            let (outcome, messages) = run(registry, group, |target| target, input);
            outcome.succeeds();
            let versions = registry.versions(group, "users");
            assert_eq!((versions.len(), messages.len()), (1, 1), "{versions:?}");
            carry(&outcome, &messages, &versions[0]);
        }
    }
}

/// The Python target sends the tap's schema as `json.dumps` prints it, under the prefix and the stream's name.
#[test]
fn what_the_python_target_registered_is_found_again() {
    let dumped = r#"{"type": "object", "properties": {"name": {"type": ["string", "null"], "title": "Gr\u00f6\u00dfe"}, "price": {"type": "number", "multipleOf": 0.10}, "at": {"format": "date-time", "type": ["string", "null"]}}, "$schema": "https://json-schema.org/draft/2020-12/schema"}"#;
    for version in [Version::V3_3, Version::V3_0] {
        let registry = Registry::shared(version);
        for group in ["registry peer", "default"] {
            let artifact = "raw-public-sizes";
            let path = format!(
                "/groups/{}/artifacts?canonical=true&ifExists=FIND_OR_CREATE_VERSION",
                group.replace(' ', "%20")
            );
            let content = json!({"content": dumped, "contentType": "application/json"});
            let body = json!({"artifactId": artifact, "artifactType": "JSON", "firstVersion": {"content": content}});
            assert_eq!(registry.post(&path, &body).0, 200);
            let before = registry.versions(group, artifact);
            assert_eq!(before.len(), 1);
            let told = dumped.replace(r"\u00f6\u00df", "öß").replace(": ", ":");
            let input =
                schema_as("public-sizes", &told) + &record("public-sizes", r#"{"price":0.1}"#);
            let prefix = |target: Target| target.setting("schema_topic_prefix", "raw-");
            let (outcome, messages) = run(registry, group, prefix, input);
            outcome.succeeds();
            assert_eq!(registry.versions(group, artifact), before);
            carry(&outcome, &messages, &before[0]);
        }
    }
}

#[test]
fn every_form_of_the_base_url_leads_to_the_same_version() {
    for version in VERSIONS {
        let registry = Registry::shared(version);
        let root = registry.root_url();
        let mut urls = vec![
            registry.v2_url(),
            registry.v2_url() + "/",
            registry.ccompat_url(7),
        ];
        if version != Version::V2_6 {
            urls.extend([
                root.clone(),
                root.clone() + "/",
                registry.url(),
                registry.url() + "//",
            ]);
        }
        if version == Version::V3_3 {
            urls.push(registry.ccompat_url(8) + "/");
        }
        for url in urls {
            let is_confluent = url.contains("ccompat");
            let input = schema_as("users", TOLD) + &record("users", r#"{"id":1}"#);
            let at = |target: Target| target.registry_at(&url, "registry bases");
            let (outcome, messages) = run(registry, "", at, input);
            outcome.succeeds();
            let versions = registry.versions("registry bases", "users");
            outcome.check(
                versions.len() == 1,
                &format!("at {url} there is one of {versions:?}"),
            );
            outcome.check(messages.len() == 1, "it is published");
            if is_confluent {
                let content_id = versions[0].content_id.to_string();
                assert_eq!(
                    messages[0].header("apicurio.value.contentId"),
                    Some(&*content_id)
                );
                // That API does not tell it.
                assert_eq!(messages[0].header("apicurio.value.globalId"), None);
            } else {
                carry(&outcome, &messages, &versions[0]);
            }
        }
    }
}

#[test]
fn a_wrong_base_url_ends_the_run_and_says_so() {
    let cases = [
        (Version::V3_3, "/apis/registry/v4"),
        (Version::V3_3, "/apis/ccompat/v9"),
        (Version::V3_3, "/apis/registry/v3/groups"),
        (Version::V3_0, "/apis/registry"),
        (Version::V2_6, "/apis/registry/v3"),
        (Version::V2_6, ""),
    ];
    for (version, path) in cases {
        let registry = Registry::shared(version);
        let url = registry.root_url() + path;
        let input = schema_as("users", TOLD) + &record("users", r#"{"id":1}"#) + &state("1");
        let at = |target: Target| target.registry_at(&url, "registry nowhere");
        let (outcome, messages) = run(registry, "", at, input);
        outcome
            .exits(1)
            .prints("")
            .error(&["'users'", "registry nowhere", "schema_registry_url"]);
        outcome.check(
            messages.is_empty(),
            &format!("nothing is published at {url}"),
        );
        assert_eq!(registry.artifacts("registry nowhere"), [""; 0]);
    }
}

#[test]
fn the_default_group_is_neither_made_nor_asked_for() {
    for version in VERSIONS {
        let registry = Registry::shared(version);
        let before = registry.requests().len();
        let input = schema_as("registry_default", TOLD) + &record("registry_default", "{}");
        let (outcome, messages) = run(registry, "default", |target| target, input);
        outcome.succeeds();
        let versions = registry.versions("default", "registry_default");
        assert_eq!(versions.len(), 1);
        carry(&outcome, &messages, &versions[0]);
        let mut requests = registry.requests().split_off(before);
        requests.retain(|request| request.path.contains("/groups"));
        let ours = |path: &str| {
            path.contains("/groups/default/artifacts?") || path.contains("/registry%20")
        };
        assert!(
            requests.iter().all(|request| ours(&request.path)),
            "{requests:?}"
        );
    }
}

#[test]
fn a_group_with_any_name_is_made_by_the_first_registration() {
    for version in [Version::V3_3, Version::V3_0] {
        let registry = Registry::shared(version);
        for group in ["registry/a b?c#d", "registry+&=;'\""] {
            let input = schema_as("a/b c", TOLD) + &record("a/b c", r#"{"id":1}"#);
            let encode = |target: Target| target.setting("subject_invalid", "encode");
            let (outcome, _) = run(registry, group, encode, input);
            outcome.succeeds();
            assert_eq!(registry.artifacts(group), ["a/b c"], "{group}");
        }
    }
}

#[test]
fn names_that_no_registry_keeps_are_encoded_and_found_again() {
    for version in VERSIONS {
        let registry = Registry::shared(version);
        let group = "registry names";
        let names = ["größe", "50%", "a=u=b", "=u=c"];
        let mut input = String::new();
        for name in names {
            input += &(schema_as(name, TOLD) + &record(name, r#"{"id":1}"#));
        }
        for _ in 0..2 {
            let (outcome, messages) = run(registry, group, |target| target, &*input);
            outcome.succeeds();
            assert_eq!(messages.len(), names.len());
            let ids = ["=u=50=25", "=u==3Du=3Dc", "=u=gr=C3=B6=C3=9Fe", "a=u=b"];
            assert_eq!(registry.artifacts(group), ids);
            for id in ids {
                assert_eq!(registry.versions(group, id).len(), 1, "{id}");
            }
        }
    }
}

#[test]
fn a_group_is_made_where_the_registry_makes_none_by_itself() {
    let flag = "-Dapicurio.storage.enable-automatic-group-creation=false";
    let registry = Registry::start(Version::V3_3, &[flag]);
    for round in 1..=2 {
        let mut input = String::new();
        for stream in 0..10 {
            let name = format!("s{stream}");
            input += &(schema_as(&name, TOLD) + &record(&name, r#"{"id":1}"#));
        }
        let (outcome, messages) = run(&registry, "made", |target| target, input);
        outcome.succeeds();
        assert_eq!(messages.len(), 10, "in round {round}");
        assert_eq!(registry.artifacts("made").len(), 10);
    }
}

#[test]
fn a_lookup_finds_what_is_there_and_registers_nothing() {
    let lookup = |target: Target| target.setting("schema_mode", "lookup");
    for version in VERSIONS {
        let registry = Registry::shared(version);
        let group = "registry lookup";
        let there = registry.register(group, "users", "JSON", KEPT);
        registry.register(group, "users", "JSON", r#"{"type":"object"}"#);
        let mut urls = vec![registry.v2_url(), registry.ccompat_url(7)];
        if version != Version::V2_6 {
            urls.push(registry.url());
        }
        for url in urls {
            let at = |target: Target| lookup(target).registry_at(&url, group);
            let input = schema_as("users", TOLD) + &record("users", r#"{"id":1}"#) + &state("1");
            let (outcome, messages) = run(registry, "", at, input);
            outcome.succeeds().prints("1\n");
            let content_id = there.content_id.to_string();
            let header = messages[0].header("apicurio.value.contentId");
            outcome.check(
                header == Some(&content_id),
                &format!("the id is found at {url}"),
            );
            for (stream, told) in [
                ("users", r#"{"type":"object","properties":{}}"#),
                ("none", TOLD),
            ] {
                let input = schema_as(stream, told) + &record(stream, "{}") + &state("1");
                let (outcome, messages) = run(registry, "", at, input);
                let parts = [stream, "schema_mode lookup"];
                outcome.exits(1).prints("").error(&parts);
                outcome.check(messages.is_empty(), "nothing is published");
            }
        }
        assert_eq!(registry.versions(group, "users").len(), 2);
        assert_eq!(registry.artifacts(group), ["users"]);
    }
}

#[test]
fn in_a_registry_that_is_read_only_schemas_are_found_all_the_same() {
    for version in [Version::V3_3, Version::V3_0] {
        let registry = Registry::start(version, &[]);
        let there = registry.register("g", "users", "JSON", KEPT);
        registry.set_read_only(true);
        let input = schema_as("users", TOLD) + &record("users", r#"{"id":1}"#) + &state("1");
        let (outcome, messages) = run(&registry, "g", |target| target, input.clone());
        outcome.succeeds().prints("1\n");
        carry(&outcome, &messages, &there);
        let input = input + &schema_as("new", TOLD) + &record("new", r#"{"id":1}"#) + &state("2");
        let soon = |target: Target| target.setting("schema_registry_timeout_seconds", 10);
        let (outcome, messages) = run(&registry, "g", soon, input);
        outcome
            .exits(75)
            .prints("1\n")
            .error(&["'new'", "ReadOnlyStorageException"]);
        carry(&outcome, &messages, &there);
    }
}

#[test]
fn an_artifact_of_another_type_is_not_taken_for_ours() {
    for version in VERSIONS {
        let registry = Registry::shared(version);
        let avro = r#"{"type":"record","name":"users","fields":[]}"#;
        registry.register("registry type", "users", "AVRO", avro);
        let input = schema_as("users", TOLD) + &record("users", r#"{"id":1}"#) + &state("1");
        let (outcome, messages) = run(registry, "registry type", |target| target, input);
        outcome
            .exits(1)
            .prints("")
            .error(&["'users'", "AVRO", "schema_topic_prefix"]);
        outcome.check(messages.is_empty(), "nothing is published");
    }
    // Confluent's API says nothing of it by itself.
    for version in [Version::V3_3, Version::V3_0, Version::V2_6] {
        let registry = Registry::shared(version);
        let input = || schema_as("typed", TOLD) + &record("typed", r#"{"id":1}"#);
        let run = |format: &str| {
            let server = NatsServer::start();
            Target::new()
                .server(&server)
                .registry_at(&registry.ccompat_url(7), "default")
                .setting("payload_format", format)
                .input(input())
                .run()
        };
        run("json").succeeds();
        run("avro").exits(1).error(&["'typed'", "JSON", "AVRO"]);
        run("json").succeeds();
    }
}

#[test]
fn a_version_that_is_disabled_is_used_and_said_once() {
    for version in [Version::V3_3, Version::V3_0] {
        let registry = Registry::shared(version);
        let group = "registry state";
        let there = registry.register(group, "users", "JSON", KEPT);
        registry.set_state(group, "users", "1", "DISABLED");
        let input = schema_as("users", TOLD) + &record("users", r#"{"id":1}"#);
        let (outcome, messages) = run(registry, group, |target| target, input.repeat(2));
        outcome.succeeds().logs_once(&["'users'", "DISABLED"]);
        carry(&outcome, &messages, &there);
    }
}

#[test]
fn messages_carry_no_ids_where_they_should_not() {
    let registry = Registry::shared(Version::V3_3);
    let input = schema_as("users", TOLD) + &record("users", r#"{"id":1}"#);
    let plain = |target: Target| target.setting("schema_headers", false);
    let (outcome, messages) = run(registry, "registry plain", plain, input.clone());
    outcome.succeeds();
    assert_eq!(
        (messages[0].text(), &messages[0].headers),
        (r#"{"id":1}"#, &None)
    );
    assert_eq!(registry.artifacts("registry plain"), ["users"]);
    let headed = |target: Target| target.setting("headers", json!({"from": "{stream}"}));
    let (outcome, messages) = run(registry, "registry plain", headed, input);
    outcome.succeeds();
    assert_eq!(messages[0].header("from"), Some("users"));
    carry(
        &outcome,
        &messages,
        &registry.versions("registry plain", "users")[0],
    );
}

#[test]
fn five_hundred_streams_are_registered_each_once() {
    for version in VERSIONS {
        let registry = Registry::shared(version);
        let group = "registry many";
        let mut input = String::new();
        let mut records = String::new();
        for stream in 0..500 {
            let name = format!("stream_{stream:03}");
            let field =
                format!(r#"{{"type":"object","properties":{{"f{stream}":{{"type":"integer"}}}}}}"#);
            input += &schema_as(&name, &field);
            records += &record(&name, &format!(r#"{{"f{stream}":1}}"#));
        }
        input += &(records.clone() + &state("1") + &records + &state("2"));
        let (outcome, messages) = run(registry, group, |target| target, input);
        outcome.succeeds().prints_last("2");
        assert_eq!(messages.len(), 1000);
        assert_eq!(registry.artifacts(group).len(), 500);
        let requests = registry.requests_about("/registry%20many/");
        assert_eq!(requests.len(), 500);
        for name in ["stream_000", "stream_250", "stream_499"] {
            let versions = registry.versions(group, name);
            assert_eq!(versions.len(), 1);
            let messages: Vec<Message> = messages
                .iter()
                .filter(|m| m.subject == name)
                .cloned()
                .collect();
            assert_eq!(messages.len(), 2);
            carry(&outcome, &messages, &versions[0]);
        }
    }
}
