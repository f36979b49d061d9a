//! The scripted HTTP server, the tunnel and the identity provider of the harness: they answer as they are told, and
//! tell what they were asked. Without the program.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{
    Answer, Authority, CLIENT_ID, CLIENT_SECRET, Clients, ConnectProxy, Gate, IdentityProvider,
    Registry, Request, ScriptedHttp, Version,
};

/// What comes back on one connection until it ends.
fn sent(port: u16, text: &str) -> String {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.write_all(text.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // A connection that is reset has ended, too.
    let _ = socket.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

/// Runs a script of Python with these arguments and gives what it prints.
fn python(script: &str, args: &[&str]) -> String {
    let output = Command::new("python3")
        .args(["-c", script])
        .args(args)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn answers_come_in_turn_and_requests_are_kept() {
    let server = ScriptedHttp::answering([
        Answer::json(503, &json!({"a": 1})).header("Retry-After", "7"),
        Answer::refusal(400, "RuleViolationException", "no"),
        Answer::status(204),
        Answer::body(200, "hello").cut_after(2),
    ]);
    assert_eq!(
        server.url(),
        format!("{}/apis/registry/v3", server.root_url())
    );
    let posts = "POST /a?b=%2F HTTP/1.1\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"c\r\n4\r\n\":2}\r\n0\r\n\r\n\
                 PUT /c HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhi\
                 GET /d HTTP/1.1\r\n\r\nGET /e HTTP/1.1\r\n\r\nGET /never HTTP/1.1\r\n\r\n";
    assert_eq!(
        sent(server.port(), posts),
        "HTTP/1.1 503 Scripted\r\nContent-Type: application/json\r\nRetry-After: 7\r\nContent-Length: 7\r\n\r\n{\"a\":1}\
         HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 400 Scripted\r\nContent-Type: application/json\r\nContent-Length: 59\r\n\r\n\
         {\"title\":\"no\",\"status\":400,\"name\":\"RuleViolationException\"}\
         HTTP/1.1 204 Scripted\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 Scripted\r\nContent-Length: 5\r\n\r\nhe"
    );
    // The last goes on.
    sent(server.port(), "GET /f HTTP/1.1\r\n\r\n");
    server.answer([Answer::raw("nonsense")]);
    assert_eq!(sent(server.port(), "GET /g HTTP/1.1\r\n\r\n"), "nonsense");
    server.answer([Answer::close()]);
    assert_eq!(sent(server.port(), "GET /h HTTP/1.1\r\n\r\n"), "");
    server.answer([Answer::body(200, "").then_close()]);
    let twice = "GET /i HTTP/1.1\r\n\r\n".repeat(2);
    assert_eq!(sent(server.port(), &twice).matches("200").count(), 1);

    let requests = server.wait_for(8);
    let shown: Vec<_> = requests
        .iter()
        .map(|r| (r.method.as_str(), r.path.as_str(), r.connection))
        .collect();
    assert_eq!(
        shown,
        [
            ("POST", "/a?b=%2F", 0),
            ("PUT", "/c", 0),
            ("GET", "/d", 0),
            ("GET", "/e", 0),
            ("GET", "/f", 1),
            ("GET", "/g", 2),
            ("GET", "/h", 3),
            ("GET", "/i", 4)
        ]
    );
    assert_eq!(requests[0].header("x"), Some("y"));
    assert_eq!(
        (requests[0].json(), requests[1].text()),
        (json!({"c": 2}), "hi".to_owned())
    );
    assert!(requests.is_sorted_by_key(|request| request.at));
    assert_eq!(server.connections(), 5);
}

#[test]
fn an_answer_waits_for_its_time_and_for_its_gate_and_may_never_come() {
    let gate = Gate::new();
    let slow = Answer::status(200)
        .after(Duration::from_millis(200))
        .then_close();
    let server = ScriptedHttp::answering([
        slow,
        Answer::status(200).behind(&gate).then_close(),
        Answer::silence(),
    ]);
    let start = Instant::now();
    sent(server.port(), "GET / HTTP/1.1\r\n\r\n");
    assert!(start.elapsed() >= Duration::from_millis(200));
    let port = server.port();
    let waiting = thread::spawn(move || sent(port, "GET / HTTP/1.1\r\n\r\n"));
    server.wait_for(2);
    let mut silent = TcpStream::connect(("127.0.0.1", port)).unwrap();
    silent.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    server.wait_for(3);
    assert!(!waiting.is_finished());
    gate.open();
    assert!(waiting.join().unwrap().contains("200"));
    silent
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    assert!(silent.read(&mut [0; 10]).is_err());
    drop(server);
    silent.set_read_timeout(None).unwrap();
    assert_eq!(silent.read(&mut [0; 10]).unwrap_or(0), 0);
}

#[test]
fn a_registration_is_answered_with_made_up_ids_or_by_a_real_registry() {
    let registry = Registry::shared(Version::V3_3);
    let real = registry.port();
    let server = ScriptedHttp::judging(move |request: &Request| {
        if request.connection == 0 {
            Answer::registered(5, 9).then_close()
        } else {
            Answer::relayed(real).then_close()
        }
    });
    let content = json!({"content": "{\"type\":\"object\"}", "contentType": "application/json"});
    let body =
        json!({"artifactId": "a", "artifactType": "JSON", "firstVersion": {"content": content}});
    let body = body.to_string();
    let request = format!(
        "POST /apis/registry/v3/groups/rig%20relay/artifacts HTTP/1.1\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = sent(server.port(), &request);
    for part in [
        "\"globalId\":5",
        "\"contentId\":9",
        "\"artifactId\":\"a\"",
        "\"JSON\"",
    ] {
        assert!(answer.contains(part), "{answer}");
    }
    assert_eq!(registry.versions("rig relay", "a"), []);
    let answer = sent(server.port(), &request);
    let versions = registry.versions("rig relay", "a");
    assert!(
        answer.contains(&format!("\"globalId\":{}", versions[0].global_id)),
        "{answer}"
    );
}

const GET: &str = "import ssl, sys, urllib.request as u\n\
                   context = ssl.create_default_context(cafile=sys.argv[2])\n\
                   if sys.argv[3:]: context.load_cert_chain(sys.argv[3], sys.argv[4])\n\
                   u.install_opener(u.build_opener(u.ProxyHandler({}), u.HTTPSHandler(context=context)))\n\
                   try: print(u.urlopen(sys.argv[1], timeout=20).status)\n\
                   except Exception as error: print('refused')";

#[test]
fn over_tls_a_certificate_may_or_must_be_shown() {
    let (authority, stranger) = (Authority::new("one"), Authority::new("another"));
    let (server_certificate, client, other) =
        (authority.server(), authority.client(), stranger.client());
    let files = |certificate: &crate::harness::Certificate| {
        let (cert, key) = certificate.files();
        [cert.display().to_string(), key.display().to_string()]
    };
    let (client, other) = (files(&client), files(&other));
    for (clients, nobody, certified) in [
        (Clients::Unknown, "200\n", false),
        (Clients::MayShow(&authority), "200\n", true),
        (Clients::MustShow(&authority), "refused\n", true),
    ] {
        let server = ScriptedHttp::over_tls(&server_certificate, &clients, |_| {
            Answer::body(200, "x")
                .header("Connection", "close")
                .then_close()
        });
        let get = |files: &[String]| {
            let mut args = vec![server.root_url(), authority.file()];
            args.extend_from_slice(files);
            python(GET, &args.iter().map(String::as_str).collect::<Vec<_>>())
        };
        assert_eq!(get(&[]), nobody);
        assert_eq!(get(&client), "200\n");
        assert_eq!(server.requests().last().unwrap().certified, certified);
        if certified {
            assert_eq!(get(&other), "refused\n");
        }
    }
}

#[test]
fn tunnels_lead_where_they_should_for_those_who_may() {
    let server = ScriptedHttp::answering([Answer::body(200, "here").then_close()]);
    let connect = |proxy: &ConnectProxy, target: &str, login: &str| {
        let text = format!("CONNECT {target} HTTP/1.1\r\n{login}\r\nGET / HTTP/1.1\r\n\r\n");
        sent(proxy.port(), &text)
    };
    let target = format!("127.0.0.1:{}", server.port());
    let open = ConnectProxy::start();
    assert!(open.url().ends_with(&open.port().to_string()));
    let answer = connect(&open, &target, "");
    assert!(
        answer.starts_with("HTTP/1.1 200 Tunnelled\r\n\r\nHTTP/1.1 200"),
        "{answer}"
    );
    assert!(connect(&open, "127.0.0.1:1", "").contains(" 502 "));
    assert!(sent(open.port(), "GET / HTTP/1.1\r\n\r\n").contains(" 405 "));
    assert_eq!(open.targets(), [target.as_str(), "127.0.0.1:1"]);

    let closed = ConnectProxy::for_user("me", "secret");
    assert!(connect(&closed, &target, "").contains(" 407 "));
    let login = "Proxy-Authorization: Basic bWU6c2VjcmV0\r\n";
    assert!(connect(&closed, &target, login).ends_with("here"));

    let leading = ConnectProxy::leading_to(server.port());
    assert!(connect(&leading, "registry.test:443", "").ends_with("here"));
    assert_eq!(leading.targets(), ["registry.test:443"]);
}

const ASK: &str = "import base64, json, sys, urllib.error, urllib.parse, urllib.request as u\n\
                   url, name, secret, basic = sys.argv[1:]\n\
                   form, headers = {'grant_type': 'client_credentials'}, {}\n\
                   if basic: headers['Authorization'] = 'Basic ' + base64.b64encode(f'{name}:{secret}'.encode()).decode()\n\
                   else: form.update(client_id=name, client_secret=secret)\n\
                   data = urllib.parse.urlencode(form).encode()\n\
                   try: answer = json.load(u.urlopen(u.Request(url, data, headers)))\n\
                   except urllib.error.HTTPError as error: answer = {'status': error.code}\n\
                   print(json.dumps(answer))";

#[test]
fn the_provider_gives_tokens_to_its_client_only() {
    let provider = IdentityProvider::start();
    provider.set_lifetime(2);
    provider.set_role("sr-readonly");
    let url = provider.token_url();
    let ask = |secret: &str, basic: &str| {
        let answer = python(ASK, &[&url, CLIENT_ID, secret, basic]);
        serde_json::from_str::<serde_json::Value>(&answer).unwrap_or_else(|_| panic!("{answer}"))
    };
    assert_eq!(ask(CLIENT_SECRET, "")["expires_in"], 2);
    assert_eq!(ask(CLIENT_SECRET, "1")["token_type"], "Bearer");
    assert_eq!(ask("wrong", "")["status"], 401);
    provider.answer_next([Answer::status(503)]);
    assert_eq!(ask(CLIENT_SECRET, "")["status"], 503);
    assert!(ask(CLIENT_SECRET, "")["access_token"].is_string());
    assert_eq!((provider.given(), provider.requests().len()), (3, 5));

    let authority = Authority::new("the provider's");
    let secure = IdentityProvider::over_tls(&authority.server(), &Clients::Unknown);
    let keys = secure.url() + "/keys";
    assert_eq!(python(GET, &[&keys, &authority.file()]), "200\n");
}
