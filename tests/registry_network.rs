//! The way to a registry: proxies from the environment, redirects that are not followed, servers that never end their
//! answer. Real registries but where none can be made to do so.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::harness::{
    Answer, Authority, CLIENT_ID, CLIENT_SECRET, ConnectProxy, IdentityProvider, NatsServer,
    Outcome, PATIENCE, Registry, ScriptedHttp, Target, Version, free_port, record, schema, state,
    wait_until,
};

fn target(server: &NatsServer, url: &str, group: &str) -> Target {
    Target::new()
        .server(server)
        .registry_at(url, group)
        .setting("schema_registry_timeout_seconds", 20)
        .env("TARGET_NATS_LOGLEVEL", "TRACE")
        .input(schema("users", &["id"]) + &record("users", r#"{"id":1}"#) + &state("1"))
}

/// One record with its schema, in this environment.
fn run(url: &str, group: &str, environment: &[(&str, &str)]) -> Outcome {
    let server = NatsServer::start();
    let set = |target: Target, (name, value): &(&str, &str)| target.env(name, value);
    environment
        .iter()
        .fold(target(&server, url, group), set)
        .run()
}

#[track_caller]
fn succeeds(outcome: &Outcome) {
    outcome
        .succeeds()
        .prints("1\n")
        .does_not_log("m4rk3r")
        .does_not_log("bTRyazN");
}

#[track_caller]
fn fails(outcome: &Outcome, code: i32, parts: &[&str]) {
    outcome
        .exits(code)
        .prints("")
        .error(parts)
        .does_not_log("m4rk3r")
        .does_not_log("bTRyazN")
        .does_not_log("panicked");
}

fn address(registry: &Registry) -> String {
    format!("127.0.0.1:{}", registry.port())
}

#[test]
fn a_proxy_is_taken_from_the_variable_of_the_scheme() {
    let registry = Registry::shared(Version::V3_3);
    let url = registry.url();
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        let proxy = ConnectProxy::start();
        // The same without a scheme.
        for value in [proxy.url(), format!("127.0.0.1:{}", proxy.port())] {
            succeeds(&run(&url, "proxy", &[(name, &value)]));
        }
        assert_eq!(proxy.targets(), [address(registry), address(registry)]);
    }
    let proxy = ConnectProxy::start();
    let value = proxy.url();
    for name in ["https_proxy", "HTTPS_PROXY"] {
        succeeds(&run(&url, "proxy", &[(name, &value)]));
    }
    for exception in ["127.0.0.1", "*", "x, 127.0.0.1", &address(registry)] {
        for name in ["NO_PROXY", "no_proxy"] {
            let environment = [("all_proxy", value.as_str()), (name, exception)];
            succeeds(&run(&url, "proxy", &environment));
        }
    }
    assert_eq!(proxy.targets(), [""; 0]);
    assert_eq!(registry.versions("proxy", "users").len(), 1);
}

#[test]
fn a_proxys_login_is_decoded_and_sent_and_a_wrong_one_ends_the_run() {
    let registry = Registry::shared(Version::V3_0);
    let proxy = ConnectProxy::for_user("us@er", "m4rk3r:/%");
    let url = |login: &str| format!("http://{login}@127.0.0.1:{}", proxy.port());
    let right = url("us%40er:m4rk3r%3A%2F%25");
    succeeds(&run(
        &registry.url(),
        "proxy-login",
        &[("http_proxy", &right)],
    ));
    assert_eq!(proxy.targets(), [address(registry)]);
    for value in [url("us%40er:m4rk3r"), proxy.url()] {
        let outcome = run(&registry.url(), "proxy-login", &[("http_proxy", &value)]);
        fails(&outcome, 1, &["users", "the proxy", "login"]);
    }
    assert_eq!(proxy.targets().len(), 3, "it is not tried again");
}

#[test]
fn a_name_that_only_the_proxy_knows_is_reached() {
    let registry = Registry::shared(Version::V3_3);
    let proxy = ConnectProxy::leading_to(registry.port());
    let environment = [("http_proxy", proxy.url())];
    let environment = environment
        .each_ref()
        .map(|(name, url)| (*name, url.as_str()));
    let url = "http://registry.invalid:8080";
    succeeds(&run(url, "proxy-name", &environment));
    assert_eq!(proxy.targets(), ["registry.invalid:8080"]);
    assert_eq!(registry.artifacts("proxy-name"), ["users"]);
}

#[test]
fn tls_and_the_token_endpoint_go_through_their_proxies() {
    let authority = Authority::new("the registry's");
    let registry = Registry::with_tls(Version::V3_3, &authority.server());
    let provider = IdentityProvider::start();
    let (https, http) = (ConnectProxy::start(), ConnectProxy::start());
    let server = NatsServer::start();
    let outcome = target(&server, &registry.tls_url(), "proxy-tls")
        .setting("schema_registry_ca", authority.pem())
        .setting("schema_registry_oauth_url", provider.token_url())
        .setting("schema_registry_oauth_client_id", CLIENT_ID)
        .setting("schema_registry_oauth_client_secret", CLIENT_SECRET)
        .env("HTTPS_PROXY", https.url())
        .env("HTTP_PROXY", http.url())
        .run();
    succeeds(&outcome);
    let tls_address = format!("127.0.0.1:{}", registry.tls_port());
    assert_eq!(https.targets(), [tls_address]);
    let endpoint = provider.url().replace("http://", "");
    assert_eq!(http.targets(), [endpoint]);
}

#[test]
fn a_proxy_that_is_none_or_is_gone_is_named() {
    let registry = Registry::shared(Version::V3_3);
    let url = registry.url();
    for value in [
        "socks5://m4rk3r:x@127.0.0.1:1",
        "ftp://m4rk3r",
        "http://",
        "m4rk3r m4rk3r",
    ] {
        let outcome = run(&url, "proxy-none", &[("ALL_PROXY", value)]);
        fails(&outcome, 2, &["proxy in ALL_PROXY"]);
    }
    let server = NatsServer::start();
    let gone = target(&server, &url, "proxy-none")
        .setting("schema_registry_timeout_seconds", 1)
        .env("http_proxy", "http://u:m4rk3r@127.0.0.1:1")
        .run();
    fails(&gone, 75, &["users", "proxy in http_proxy"]);

    // One that cannot reach the registry.
    let proxy = ConnectProxy::start();
    let nobody = target(&server, "http://127.0.0.1:1", "proxy-none")
        .setting("schema_registry_timeout_seconds", 1)
        .env("http_proxy", proxy.url())
        .run();
    fails(&nobody, 75, &["users", "the proxy", "502"]);
    // And one that does not want to.
    let closed = ScriptedHttp::answering([Answer::status(403)]);
    let outcome = run(&url, "proxy-none", &[("http_proxy", &closed.root_url())]);
    fails(&outcome, 1, &["users", "the proxy", "403", "NO_PROXY"]);
    assert_eq!(closed.requests().len(), 1);
    assert_eq!(registry.artifacts("proxy-none"), [""; 0]);
}

#[test]
fn a_registry_that_redirects_to_tls_is_an_error_that_says_where_to() {
    let authority = Authority::new("the registry's");
    let certificate = authority.server();
    let (cert, key) = certificate.files();
    let port = free_port();
    let flags = [
        format!("-Dquarkus.http.ssl.certificate.files={}", cert.display()),
        format!("-Dquarkus.http.ssl.certificate.key-files={}", key.display()),
        format!("-Dquarkus.http.ssl-port={port}"),
        "-Dquarkus.http.insecure-requests=redirect".to_owned(),
    ];
    for version in [Version::V3_3, Version::V3_0] {
        let registry = Registry::start(version, &flags.each_ref().map(String::as_str));
        wait_until("the TLS port is open", PATIENCE, || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        let right = format!("https://127.0.0.1:{port}/apis/registry/v3");
        let outcome = run(&registry.url(), "redirect", &[]);
        fails(
            &outcome,
            1,
            &["users", "301", &right, "schema_registry_url"],
        );
        let server = NatsServer::start();
        let target = target(&server, &right, "redirect");
        succeeds(&target.setting("schema_registry_ca", authority.pem()).run());
    }
}

#[test]
fn no_redirect_is_followed_and_no_login_in_it_is_shown() {
    let elsewhere = ScriptedHttp::answering([Answer::registered(7, 5)]);
    for status in [301, 302, 303, 307, 308] {
        let port = elsewhere.port();
        let location = format!("http://u:m4rk3r@127.0.0.1:{port}/moved?m4rk3r#m4rk3r");
        let registry =
            ScriptedHttp::answering([Answer::status(status).header("Location", &location)]);
        let outcome = run(&registry.url(), "redirect", &[]);
        let right = format!("to http://127.0.0.1:{port}/moved.");
        fails(&outcome, 1, &["users", &status.to_string(), &right]);
        assert_eq!(registry.requests().len(), 1);
    }
    assert_eq!(elsewhere.requests().len(), 0);
}

/// A server that reads what comes, says this, and keeps the connection.
fn stalling(said: &'static [u8], drop_by_drop: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        while let Ok((mut socket, _)) = listener.accept() {
            thread::spawn(move || {
                let mut reading = socket.try_clone().unwrap();
                let reader = thread::spawn(move || {
                    let _ = std::io::copy(&mut reading, &mut std::io::sink());
                });
                let _ = socket.write_all(said);
                while drop_by_drop && !reader.is_finished() && socket.write_all(b" ").is_ok() {
                    thread::sleep(Duration::from_millis(50));
                }
                let _ = reader.join();
            });
        }
    });
    format!("http://{address}")
}

#[test]
fn a_registry_that_does_not_end_its_answer_ends_the_run_in_time() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{\"version\":";
    let servers = [
        stalling(b"", false),
        stalling(b"HTTP/1.1 200 OK\r\nContent-Le", false),
        stalling(head, false),
        stalling(head, true),
        stalling(b"HTTP/1.1 100 Continue\r\n\r\n", false),
    ];
    for url in servers {
        let server = NatsServer::start();
        let outcome = target(&server, &url, "silence")
            .setting("schema_registry_timeout_seconds", 2)
            .run();
        fails(&outcome, 75, &["users", "schema_registry_timeout_seconds"]);
        outcome.check(
            outcome.took < Duration::from_secs(20),
            "it ends about when its time is over",
        );
    }
}

#[test]
fn a_registry_that_stands_still_ends_the_run_and_one_that_wakes_does_not() {
    for version in [Version::V3_3, Version::V3_0] {
        let registry = Registry::start(version, &[]);
        registry.stop();
        let server = NatsServer::start();
        let short = target(&server, &registry.url(), "stopped")
            .setting("schema_registry_timeout_seconds", 2)
            .run();
        fails(&short, 75, &["users", "no answer came in time"]);
        let mut long = target(&server, &registry.url(), "stopped")
            .setting("schema_registry_timeout_seconds", 24)
            .start();
        long.wait_for_log("tried again");
        registry.cont();
        succeeds(&long.wait());
        // What it was asked in its sleep it does when it wakes, perhaps all at once.
        let versions = registry.versions("stopped", "users");
        assert!(!versions.is_empty());
        assert!(
            versions
                .iter()
                .all(|one| one.content_id == versions[0].content_id)
        );
    }
}

#[test]
fn a_body_that_is_cut_short_is_asked_for_again() {
    let whole = json!({"version": {"version": "1"}});
    let cut = Answer::json(200, &whole).cut_after(9);
    let registry = ScriptedHttp::answering([cut, Answer::close(), Answer::registered(7, 5)]);
    succeeds(&run(&registry.url(), "cut", &[]));
    assert_eq!(registry.requests().len(), 3);
}
