//! Encrypted connections to a registry and to a token endpoint: which certificates are taken and shown. Against real
//! registries, but for client certificates, which none of them can be made to demand.

use std::io::Write;
use std::net::TcpListener;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    Answer, Authority, CLIENT_ID, CLIENT_SECRET, Certificate, Clients, IdentityProvider,
    NatsServer, Outcome, Registry, ScriptedHttp, Target, Version, record, schema, state,
};

fn target(server: &NatsServer, url: &str) -> Target {
    Target::new()
        .server(server)
        .registry_at(url, "tls")
        .setting("schema_registry_timeout_seconds", 20)
        .input(schema("users", &["id"]) + &record("users", r#"{"id":1}"#) + &state("1"))
}

/// One record with its schema.
fn run(url: &str, settings: &[(&str, Value)]) -> Outcome {
    let server = NatsServer::start();
    target(&server, url).settings(settings).run()
}

#[track_caller]
fn succeeds(outcome: &Outcome) {
    outcome.succeeds().prints("1\n");
}

#[track_caller]
fn fails(outcome: &Outcome, code: i32, parts: &[&str]) {
    outcome.exits(code).prints("").error(parts);
    outcome.does_not_log("panicked");
}

fn ca(authority: &Authority) -> (&'static str, Value) {
    ("schema_registry_ca", json!(authority.pem()))
}

fn shown(certificate: &Certificate) -> [(&'static str, Value); 2] {
    [
        ("schema_registry_cert", json!(certificate.cert)),
        ("schema_registry_key", json!(certificate.key)),
    ]
}

fn over_tls(version: Version) -> &'static (Authority, Registry) {
    static SHARED: [OnceLock<(Authority, Registry)>; 2] = [const { OnceLock::new() }; 2];
    SHARED[version as usize].get_or_init(|| {
        let authority = Authority::new("the registry's");
        let registry = Registry::with_tls(version, &authority.server());
        (authority, registry)
    })
}

/// A scripted registry with this certificate.
fn scripted(certificate: &Certificate, clients: &Clients) -> ScriptedHttp {
    ScriptedHttp::over_tls(certificate, clients, |_| Answer::registered(7, 5))
}

#[test]
fn a_registry_of_a_private_authority_is_trusted_where_that_is_named() {
    for version in [Version::V3_3, Version::V3_0] {
        let (authority, registry) = over_tls(version);
        let url = registry.tls_url();
        succeeds(&run(&url, &[ca(authority)]));
        let by_file = ("schema_registry_ca_file", json!(authority.file()));
        succeeds(&run(&url, &[by_file]));
        // One among others.
        let stranger = Authority::new("another");
        let both = format!("{}{}", stranger.pem(), authority.pem());
        succeeds(&run(&url, &[("schema_registry_ca", json!(both))]));
        let server = NatsServer::start();
        let by_system = target(&server, &url).env("SSL_CERT_FILE", authority.file());
        succeeds(&by_system.run());
        assert_eq!(registry.versions("tls", "users").len(), 1);

        let hints = ["users", "nobody who is trusted", "schema_registry_ca"];
        fails(&run(&url, &[]), 1, &hints);
        fails(&run(&url, &[ca(&stranger)]), 1, &hints);
    }
}

#[test]
fn a_registry_by_another_name_or_with_an_old_certificate_is_refused() {
    let authority = Authority::new("the registry's");
    let other_name = authority.server_named(&["registry.example"]);
    let cases = [
        (other_name, "is not for '127.0.0.1'"),
        (authority.expired_server(), "has expired"),
    ];
    for (certificate, part) in cases {
        let registry = scripted(&certificate, &Clients::Unknown);
        let outcome = run(&registry.url(), &[ca(&authority)]);
        fails(&outcome, 1, &["users", part]);
        assert_eq!(registry.requests().len(), 0);
        assert_eq!(registry.connections(), 1, "it is not tried again");
    }
}

#[test]
fn a_server_without_tls_and_one_that_says_nothing_are_told_apart() {
    let authority = Authority::new("nobody's");
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", plain.local_addr().unwrap());
    thread::spawn(move || {
        let (mut socket, _) = plain.accept().unwrap();
        let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        let _ = std::io::copy(&mut socket, &mut std::io::sink());
    });
    let outcome = run(&url, &[ca(&authority)]);
    fails(&outcome, 1, &["users", "does not speak TLS"]);

    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", silent.local_addr().unwrap());
    let timeout = ("schema_registry_timeout_seconds", json!(2));
    let outcome = run(&url, &[ca(&authority), timeout]);
    fails(&outcome, 75, &["users", "no answer came in time"]);
    outcome.check(outcome.took < Duration::from_secs(20), "it does not hang");
}

#[test]
fn our_certificate_is_shown_to_a_registry_that_demands_one() {
    let (authority, clients, stranger) = (
        Authority::new("the registry's"),
        Authority::new("the clients'"),
        Authority::new("another"),
    );
    let registry = scripted(&authority.server(), &Clients::MustShow(&clients));
    let client = clients.client();
    let trust = [ca(&authority)];
    succeeds(&run(
        &registry.url(),
        &[&trust[..], &shown(&client)].concat(),
    ));
    // The older form of a key, by file.
    let server = NatsServer::start();
    let outcome = target(&server, &registry.url())
        .setting("schema_registry_ca", authority.pem())
        .setting("schema_registry_cert_file", "client.pem")
        .setting("schema_registry_key_file", "client.key")
        .file("client.pem", &client.cert)
        .file("client.key", client.sec1())
        .run();
    succeeds(&outcome);
    let requests = registry.requests();
    assert!(requests.iter().all(|request| request.certified));
    assert_eq!(requests.len(), 2);

    let hints = ["users", "schema_registry_cert", "schema_registry_key"];
    for _ in 0..5 {
        fails(&run(&registry.url(), &trust), 1, &hints);
    }
    let unknown = [&trust[..], &shown(&stranger.client())].concat();
    fails(&run(&registry.url(), &unknown), 1, &hints);
    assert_eq!(registry.requests().len(), 2);
}

#[test]
fn certificates_that_cannot_be_used_are_refused_before_anybody_is_asked() {
    let authority = Authority::new("the registry's");
    let registry = scripted(&authority.server(), &Clients::Unknown);
    let (one, other) = (authority.client(), authority.client());
    let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let pair = |cert: &str, key: &str| {
        vec![
            ca(&authority),
            ("schema_registry_cert", json!(cert)),
            ("schema_registry_key", json!(key)),
        ]
    };
    let cases = [
        (pair(&one.cert, &other.key), "schema_registry_key"),
        (pair(&one.cert, &one.cert), "schema_registry_key"),
        (pair(&one.key, &one.key), "schema_registry_cert"),
        (pair(damaged, &one.key), "schema_registry_cert"),
        (
            vec![("schema_registry_ca", json!(damaged))],
            "schema_registry_ca",
        ),
        (
            vec![("schema_registry_ca", json!(one.key))],
            "schema_registry_ca",
        ),
        (pair(&one.cert, "")[..2].to_vec(), "schema_registry_key"),
    ];
    for (settings, part) in cases {
        let outcome = run(&registry.url(), &settings);
        fails(&outcome, 2, &[part]);
        let secret = one.key.lines().nth(1).unwrap();
        outcome.does_not_log(secret);
    }
    assert_eq!(registry.connections(), 0);
    let plain = run("http://127.0.0.1:1", &[ca(&authority)]);
    fails(&plain, 2, &["schema_registry_ca", "https://"]);
}

#[test]
fn a_token_endpoint_is_trusted_by_the_same_authority_and_sees_no_certificate_of_ours() {
    let (authority, clients) = (Authority::new("both's"), Authority::new("the clients'"));
    let may_show = Clients::MayShow(&clients);
    let provider = IdentityProvider::over_tls(&authority.server(), &may_show);
    let must_show = Clients::MustShow(&clients);
    let registry = scripted(&authority.server(), &must_show);
    let client = [
        ("schema_registry_oauth_url", json!(provider.token_url())),
        ("schema_registry_oauth_client_id", json!(CLIENT_ID)),
        ("schema_registry_oauth_client_secret", json!(CLIENT_SECRET)),
    ];
    let certificate = shown(&clients.client());
    let settings = [&client[..], &certificate, &[ca(&authority)]].concat();
    succeeds(&run(&registry.url(), &settings));
    let (tokens, registrations) = (provider.requests(), registry.requests());
    assert_eq!((tokens.len(), registrations.len()), (1, 1));
    assert!(!tokens[0].certified && registrations[0].certified);
    let login = registrations[0].header("authorization").unwrap();
    assert!(login.starts_with("Bearer "));

    // Nobody but the endpoint needs the authority.
    let plain = ScriptedHttp::answering([Answer::registered(7, 5)]);
    let settings = [&client[..], &[ca(&authority)]].concat();
    succeeds(&run(&plain.url(), &settings));
    let outcome = run(&plain.url(), &client);
    fails(&outcome, 1, &["token endpoint", "nobody who is trusted"]);
    assert_eq!(plain.requests().len(), 1);
}
