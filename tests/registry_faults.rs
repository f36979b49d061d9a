//! Real registries that are down, killed or asked by many at once: nothing is lost, nothing waits but the streams that
//! must, and every wait ends. One that stands still is in `registry_network.rs`, slow ones are in `registry_waits.rs`,
//! odd answers in `registry_answers.rs`.

use std::time::Duration;

use crate::harness::{
    Message, NatsServer, Registry, Running, Subscriber, Target, Version, heavy, record, schema_as,
    state,
};

const VERSIONS: [Version; 3] = [Version::V3_3, Version::V3_0, Version::V2_6];

/// More than a registry takes to start on a busy machine.
const LONG: u32 = 240;

fn schema_with(stream: &str, field: &str) -> String {
    let schema = format!(r#"{{"type":"object","properties":{{"{field}":{{"type":"integer"}}}}}}"#);
    schema_as(stream, &schema)
}

fn subjects(messages: &[Message]) -> Vec<&str> {
    messages
        .iter()
        .map(|message| message.subject.as_str())
        .collect()
}

#[test]
fn sixteen_processes_register_the_same_new_schemas_and_agree_on_their_ids() {
    const PROCESSES: usize = 16;
    const STREAMS: usize = 5;
    let _turn = heavy();
    let server = NatsServer::start();
    let stream = |number: usize| format!("s{number}");
    for version in VERSIONS {
        let registry = Registry::shared(version);
        let group = "faults sixteen";
        // First the group and the artifacts are new, then one more version of each.
        for (round, field) in ["a", "b"].iter().enumerate() {
            let mut subscriber = Subscriber::on(&server);
            let mut input = String::new();
            for number in 0..STREAMS {
                input += &(schema_with(&stream(number), field) + &record(&stream(number), "{}"));
            }
            input += &state("1");
            let start = || {
                let target = Target::new().server(&server).registry(registry, group);
                target.input(&*input).start()
            };
            let runs: Vec<Running> = (0..PROCESSES).map(|_| start()).collect();
            for run in runs {
                run.wait().succeeds().prints("1\n");
            }
            let messages = subscriber.messages();
            assert_eq!(messages.len(), PROCESSES * STREAMS);
            for number in 0..STREAMS {
                let versions = registry.versions(group, &stream(number));
                let content_id = versions.last().unwrap().content_id;
                let same = versions
                    .iter()
                    .filter(|version| version.content_id == content_id);
                let global_ids: Vec<String> = same.map(|v| v.global_id.to_string()).collect();
                // A registry makes duplicates of a version now and then; their content is one.
                assert_eq!(
                    versions.len() - global_ids.len() > 0,
                    round > 0,
                    "{versions:?}"
                );
                let sent = messages.iter().filter(|m| m.subject == stream(number));
                for message in sent {
                    let header = |name| message.header(name).unwrap_or_default().to_owned();
                    assert_eq!(header("apicurio.value.contentId"), content_id.to_string());
                    assert!(
                        global_ids.contains(&header("apicurio.value.globalId")),
                        "{message:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_registry_that_is_down_is_waited_for_as_long_as_the_setting_says() {
    let registry = Registry::start(Version::V3_3, &[]);
    registry.kill();
    let server = NatsServer::start();
    let mut subscriber = Subscriber::on(&server);
    let input = schema_with("users", "id") + &record("users", r#"{"id":1}"#) + &state("1");
    let target = |seconds: u32| {
        let target = Target::new().server(&server).registry(&registry, "g");
        target.setting("schema_registry_timeout_seconds", seconds)
    };
    let outcome = target(2).input(&*input).run();
    let parts = ["'users'", "group 'g'", "schema_registry_timeout_seconds"];
    outcome.exits(75).prints("").error(&parts);
    outcome.check(outcome.took < Duration::from_secs(10), "it ends in time");
    assert_eq!(subscriber.messages(), []);

    let run = target(LONG).env("TARGET_NATS_LOGLEVEL", "DEBUG");
    let run = run.deadline(Duration::from_secs(LONG.into()));
    let mut run = run.input(input).start();
    run.wait_for_log("is tried again");
    registry.start_again();
    run.wait().succeeds().prints("1\n");
    assert_eq!(subscriber.messages().len(), 1);
    assert_eq!(registry.versions("g", "users").len(), 1);
}

#[test]
fn while_a_registry_is_killed_and_started_again_only_new_schemas_wait() {
    for version in [Version::V3_3, Version::V3_0] {
        let registry = Registry::start(version, &[]);
        let server = NatsServer::start();
        let mut subscriber = Subscriber::on(&server);
        let mut run = Target::new()
            .server(&server)
            .registry(&registry, "g")
            .setting("schema_registry_timeout_seconds", LONG)
            .deadline(Duration::from_secs(LONG.into()))
            .spawn();
        run.send(schema_with("old", "id") + &record("old", r#"{"id":1}"#) + &state("1"));
        run.wait_for_line("1");
        registry.kill();
        run.send(record("old", r#"{"id":2}"#) + &state("2"));
        run.send(schema_with("new", "id") + &record("new", r#"{"id":3}"#) + &state("3"));
        run.send(record("old", r#"{"id":4}"#) + &state("4"));
        run.wait_for_line("2");
        subscriber.wait_for(3);
        subscriber.settle();
        assert_eq!(subjects(&subscriber.messages()), ["old"; 3]);
        assert_eq!(run.last_line().as_deref(), Some("2"));
        registry.start_again();
        run.wait_for_line("4");
        // What it knows already it does not ask for again.
        run.send(schema_with("old", "id") + &record("old", r#"{"id":5}"#) + &state("5"));
        run.end_input();
        run.wait().succeeds().prints_last("5");
        subscriber.settle();
        assert_eq!(
            subjects(&subscriber.messages()),
            ["old", "old", "old", "new", "old"]
        );
        let versions = registry.versions("g", "new");
        assert_eq!(versions.len(), 1);
    }
}
