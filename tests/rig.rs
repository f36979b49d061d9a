//! The real registries of the harness and the readers in other languages: what they claim to start, to tell and to
//! read. Without the program.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    Authority, CLIENT_ID, IdentityProvider, JetStream, NatsServer, PATIENCE, Reader, Registry,
    Version, alike, fastavro_cases, framed, java_reads, wait_until,
};

const VERSIONS: [Version; 3] = [Version::V3_3, Version::V3_0, Version::V2_6];

const SCHEMA: &str = r#"{"type":"object","properties":{"rig":{"type":"integer"}}}"#;

/// Four kinds of fields, and one record of it.
const AVRO: &str = r#"{"type":"record","name":"users","namespace":"rig","fields":[
    {"name":"id","type":"long"},{"name":"name","type":["null","string"],"default":null},
    {"name":"seen_at","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null},
    {"name":"price","type":["null",{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}],"default":null}]}"#;
const PAYLOAD: &[u8] = b"\x0e\x02\x06Ada\x02\x80\x80\x89\x82\xe2\xf5\x86\x06\x02\x02\x78";

#[test]
fn each_version_registers_and_finds_again_and_its_two_ids_differ() {
    for version in VERSIONS {
        let registry = Registry::shared(version);
        let (status, info) = registry.get("/system/info");
        assert_eq!((status, &info["version"]), (200, &json!(version.number())));
        let group = "rig first/";
        let first = registry.register(group, "users", "JSON", SCHEMA);
        assert_eq!(first.version, "1");
        assert_eq!((&*first.artifact_type, &*first.state), ("JSON", "ENABLED"));
        assert_ne!(first.content_id, first.global_id);
        assert_eq!(registry.register(group, "users", "JSON", SCHEMA), first);
        assert_eq!(registry.content(first.content_id), SCHEMA);
        let second = SCHEMA.replace("integer", "string");
        let second = registry.register(group, "users", "JSON", &second);
        assert_eq!(registry.versions(group, "users"), [first, second]);
        assert_eq!(registry.versions(group, "nobody"), []);
        registry.register(group, "orders", "AVRO", AVRO);
        assert_eq!(registry.artifacts(group), ["orders", "users"]);
        assert_eq!(registry.artifacts("rig nothing"), [""; 0]);

        // Both other APIs are there.
        let subjects = "/apis/ccompat/v7/subjects";
        assert_eq!(registry.get(subjects).0, 200);
        assert!(registry.ccompat_url(7).ends_with("/apis/ccompat/v7"));
        let path = registry.v2_url();
        let path = path.strip_prefix(&registry.root_url()).unwrap();
        assert_eq!(registry.get(&format!("{path}/system/info")).0, 200);
    }
}

#[test]
fn the_requests_of_others_are_told_in_their_order() {
    for version in VERSIONS {
        let registry = Registry::shared(version);
        let agent = [("User-Agent", "rig/1 (a test)")];
        registry.call("GET", "/groups/rig%20log%2F/artifacts?limit=1", b"", &agent);
        registry.call("POST", "/groups/rig%20log%2F/none", b"{}", &agent);
        registry.get("/groups/rig%20log%2F/artifacts");
        let api = if version == Version::V2_6 { "v2" } else { "v3" };
        let requests = registry.requests_about("/rig%20log%2F/");
        let shown: Vec<String> = requests
            .iter()
            .map(|r| format!("{} {} {}", r.method, r.path, r.agent))
            .collect();
        let path = format!("/apis/registry/{api}/groups/rig%20log%2F");
        assert_eq!(
            shown,
            [
                format!("GET {path}/artifacts?limit=1 rig/1 (a test)"),
                format!("POST {path}/none rig/1 (a test)")
            ]
        );
        assert!(matches!(requests[1].status, 404 | 405), "{requests:?}");
    }
}

#[test]
fn rules_of_three_kinds_are_set_twice_and_refuse() {
    for version in [Version::V3_3, Version::V3_0] {
        let registry = Registry::start(version, &[]);
        let refused = if version == Version::V3_3 { 400 } else { 409 };
        registry.set_global_rule("VALIDITY", "FULL");
        registry.set_global_rule("VALIDITY", "SYNTAX_ONLY");
        assert_eq!(registry.try_register("g", "a", "JSON", "{").status, refused);
        registry.create_group("g2");
        registry.set_group_rule("g2", "VALIDITY", "NONE");
        assert_eq!(registry.try_register("g2", "a", "JSON", "{").status, 200);
        registry.register("g", "users", "JSON", SCHEMA);
        registry.set_rule("g", "users", "COMPATIBILITY", "FULL");
        let changed = SCHEMA.replace("integer", "string");
        let reply = registry.try_register("g", "users", "JSON", &changed);
        assert_eq!(reply.status, refused);
        assert_eq!(reply.json()["name"], "RuleViolationException");
        assert_eq!(reply.header("CONTENT-type"), Some("application/json"));
        registry.set_state("g", "users", "1", "DISABLED");
        assert_eq!(registry.versions("g", "users")[0].state, "DISABLED");
        registry.set_property("apicurio.rest.deletion.artifact.enabled", "true");
        let users = "/groups/g/artifacts/users";
        assert_eq!(registry.call("DELETE", users, b"", &[]).status, 204);
        registry.set_read_only(true);
        let reply = registry.try_register("g", "users", "JSON", SCHEMA);
        assert_eq!(reply.json()["name"], "ReadOnlyStorageException");
        registry.set_read_only(false);
        registry.register("g", "users", "JSON", SCHEMA);
    }
}

#[test]
fn a_registry_of_ones_own_survives_its_end_and_stands_still_when_stopped() {
    for version in [Version::V3_3, Version::V2_6] {
        let registry = Registry::start(version, &[]);
        let first = registry.register("g", "a", "JSON", SCHEMA);
        let port = registry.port();
        registry.kill();
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
        registry.start_again();
        assert_eq!(
            (registry.port(), registry.versions("g", "a")),
            (port, vec![first])
        );
        registry.stop();
        let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.write_all(b"GET /apis HTTP/1.0\r\n\r\n").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        assert!(socket.read(&mut [0; 10]).is_err());
        registry.cont();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        assert!(socket.read(&mut [0; 10]).is_ok());
        registry.end();
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
        assert!(registry.log_path().exists());
    }
}

#[test]
fn users_and_their_roles_are_told_apart() {
    let users = [
        ("bob", "se:cret", "sr-developer"),
        ("eve", "e", "sr-readonly"),
    ];
    for version in [Version::V3_3, Version::V3_0] {
        let registry = Registry::with_users(version, &users);
        registry.register("g", "a", "JSON", SCHEMA);
        let status = |login: Option<&str>| {
            let mut headers = vec![("Content-Type", "application/json")];
            headers.extend(login.map(|login| ("Authorization", login)));
            let body = br#"{"groupId":"h"}"#;
            registry
                .call_as_nobody("POST", "/groups", body, &headers)
                .status
        };
        assert_eq!(status(None), 401);
        // bob:wrong, bob:se:cret and eve:e
        assert_eq!(status(Some("Basic Ym9iOndyb25n")), 401);
        assert_eq!(status(Some("Basic ZXZlOmU=")), 403);
        assert_eq!(status(Some("Basic Ym9iOnNlOmNyZXQ=")), 200);
    }
}

#[test]
fn tokens_of_the_provider_are_checked() {
    for version in [Version::V3_3, Version::V3_0] {
        let provider = IdentityProvider::start();
        let registry = Registry::trusting(version, &provider);
        registry.register("g", "a", "JSON", SCHEMA);
        let status = |token: &str| {
            let login = format!("Bearer {token}");
            let headers = [
                ("Content-Type", "application/json"),
                ("Authorization", &login),
            ];
            let body = br#"{"groupId":"h"}"#;
            registry
                .call_as_nobody("POST", "/groups", body, &headers)
                .status
        };
        assert_eq!(status(&provider.token("sr-readonly", 60)), 403);
        assert_eq!(status(&provider.token("sr-developer", -5)), 401);
        assert_eq!(status("nonsense"), 401);
        assert_eq!(status(&provider.token("sr-developer", 60)), 200);
        assert_eq!(provider.given(), 0, "to {CLIENT_ID}");
    }
}

#[test]
fn a_registry_speaks_tls_too() {
    let authority = Authority::new("the registry's");
    let registry = Registry::with_tls(Version::V3_3, &authority.server());
    assert_ne!(registry.tls_port(), registry.port());
    assert_eq!(registry.get("/system/info").0, 200);
    let script = "import ssl, sys, urllib.request as u\n\
                  context = ssl.create_default_context(cafile=sys.argv[2])\n\
                  print(u.urlopen(sys.argv[1] + '/system/info', context=context).status)";
    let output = Command::new("python3")
        .args(["-c", script, &registry.tls_url(), &authority.file()])
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"200\n", "{output:?}");
}

#[test]
fn every_library_reads_what_is_framed_with_a_content_id_and_nothing_else() {
    for version in [Version::V3_3, Version::V3_0] {
        let registry = Registry::shared(version);
        let ids = registry.register("rig avro", "users", "AVRO", AVRO);
        let messages = [
            framed(ids.content_id, PAYLOAD),
            framed(2_000_000_000, PAYLOAD),
            b"{}".to_vec(),
        ];
        let (price, seen) = (json!({"decimal": "1.20"}), "2024-01-01T00:00:00+00:00");
        let record = json!({"id": 7, "name": "Ada", "seen_at": {"time": seen}, "price": price});
        for reader in [
            Reader::ApicurioAvro,
            Reader::ConfluentAvro,
            Reader::Fastavro,
        ] {
            let read = reader.read(registry, &messages);
            assert!(alike(&read[0], &record), "{reader:?}: {}", read[0]);
            assert!(read[1]["error"].is_string(), "{reader:?}: {}", read[1]);
            assert!(read[2]["error"].is_string(), "{reader:?}: {}", read[2]);
        }

        let ids = registry.register("rig avro", "plain", "JSON", SCHEMA);
        let messages = [r#"{"rig":1.0}"#, r#"{"rig":"x"}"#];
        let messages = messages.map(|text| framed(ids.content_id, text.as_bytes()));
        let read = Reader::ConfluentJson.read(registry, &messages);
        assert!(alike(&read[0], &json!({"rig": 1})), "{}", read[0]);
        assert!(read[1]["error"].is_string(), "{}", read[1]);
    }
}

#[test]
fn fastavro_reads_cases_of_many_schemas_raw() {
    let schema: Value = serde_json::from_str(AVRO).unwrap();
    let cases = [
        (schema.clone(), PAYLOAD.to_vec()),
        (json!("long"), vec![0x0e]),
        (json!("long"), vec![0x0e, 0]),
        (schema, vec![0x0e]),
    ];
    let read = fastavro_cases(&cases);
    let seen = 1_704_067_200_000_000_i64;
    let record = json!({"id": 7, "name": "Ada", "seen_at": seen, "price": {"bytes": "78"}});
    assert_eq!(read[0], json!({"record": record, "again": true}));
    assert_eq!(read[1], json!({"record": 7, "again": true}));
    assert_eq!(read[2], json!({"record": 7, "again": false}));
    assert!(read[3]["error"].is_string(), "{}", read[3]);
}

#[test]
fn the_java_consumer_reads_a_stream_in_its_order() {
    let server = NatsServer::with_jetstream();
    let mut jetstream = JetStream::on(&server);
    jetstream.stream("S", &["s.*"], json!({}));
    for version in [Version::V3_3, Version::V3_0] {
        jetstream.purge("S");
        let registry = Registry::shared(version);
        let ids = registry.register("rig java", "users", "AVRO", AVRO);
        assert_ne!(ids.content_id, ids.global_id);
        let mut socket = TcpStream::connect(server.address()).unwrap();
        socket
            .write_all(b"CONNECT {\"verbose\":false}\r\n")
            .unwrap();
        let messages = [
            ("s.a", framed(ids.content_id, PAYLOAD)),
            ("s.b", b"{}".to_vec()),
            ("s.c", framed(ids.content_id, PAYLOAD)),
        ];
        for (subject, payload) in &messages {
            let head = format!("PUB {subject} {}\r\n", payload.len());
            socket
                .write_all(&[head.as_bytes(), payload, b"\r\n"].concat())
                .unwrap();
        }
        wait_until("all are stored", PATIENCE, || jetstream.count("S") == 3);
        let read = java_reads(&server, "S", registry, &[]);
        let seen = 1_704_067_200_000_000_i64;
        let record = json!({"id": 7, "name": "Ada", "seen_at": seen, "price": {"bytes": "78"}});
        assert_eq!(read[0], json!({"subject": "s.a", "record": record}));
        assert_eq!(read[1]["subject"], "s.b");
        assert!(
            read[1]["error"].as_str().unwrap().contains("magic"),
            "{}",
            read[1]
        );
        assert_eq!(read[2], json!({"subject": "s.c", "record": record}));
        let read = java_reads(
            &server,
            "S",
            registry,
            &["apicurio.registry.use-id=globalId"],
        );
        assert!(read[0]["error"].is_string(), "{}", read[0]);
    }
}

/// Java is no child of the thread that asks for it, and may outlive that; it must not outlive the process.
#[test]
fn a_registry_ends_with_the_process_that_started_it() {
    const PART: &str = "TARGET_NATS_RIG_PART";
    if std::env::var_os(PART).is_some() {
        let registry = Registry::start(Version::V3_0, &[]);
        let (pid, log) = (registry.pid(), registry.log_path());
        writeln!(std::io::stdout(), "at {pid} in {}", log.display()).unwrap();
        std::process::abort();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("rig::a_registry_ends_with_the_process_that_started_it")
        .env(PART, "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let told = text
        .lines()
        .find_map(|line| line.split_once("at ")?.1.split_once(" in "));
    let (pid, log) = told.unwrap_or_else(|| panic!("{output:?}"));
    wait_until("Java is gone", PATIENCE, || {
        !Path::new("/proc").join(pid).exists()
    });
    wait_until("its folder is gone", PATIENCE, || !Path::new(log).exists());
}
