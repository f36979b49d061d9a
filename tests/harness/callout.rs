//! An auth callout: a service that a server asks of each login, as the test's own closure answers.
//!
//! It speaks to the server over a socket of its own, under the one login that the server knows by itself.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use nkeys::KeyPair;
use serde_json::{Value, json};

use super::NatsServer;
use super::operator::{now, sign_for};

/// What the service says of a login.
pub enum Verdict {
    /// The user is let in, for so many seconds or for good.
    Admit(Option<i64>),
    Refuse(&'static str),
    /// No answer at all.
    Silence,
}

/// A server that leaves every login to the service beside it.
pub struct Callout {
    pub server: NatsServer,
    asked: Arc<AtomicUsize>,
}

impl Callout {
    /// `judge` is given the options of the client's CONNECT.
    pub fn start(mut judge: impl FnMut(&Value) -> Verdict + Send + 'static) -> Self {
        let issuer = KeyPair::new_account();
        let server = NatsServer::with(&format!(
            "accounts {{ AUTH: {{ users: [ {{ user: service, password: service }} ] }}, APP: {{}} }}\n\
             authorization {{ timeout: 1, auth_callout {{ issuer: {}, account: AUTH, auth_users: [ service ] }} }}\n",
            issuer.public_key()
        ));
        let mut socket = TcpStream::connect(server.address()).unwrap();
        let mut reader = BufReader::new(socket.try_clone().unwrap());
        let connect =
            r#"CONNECT {"user":"service","pass":"service","verbose":false,"headers":true}"#;
        write!(socket, "{connect}\r\nSUB $SYS.REQ.USER.AUTH 1\r\nPING\r\n").unwrap();
        let mut line = String::new();
        while line != "PONG\r\n" {
            line.clear();
            assert_ne!(reader.read_line(&mut line).unwrap(), 0, "the service is in");
        }
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        thread::spawn(move || {
            while let Some((reply, request)) = next_request(&mut reader, &mut socket) {
                count.fetch_add(1, Ordering::SeqCst);
                let nats = &claims(&request)["nats"];
                let Some(answer) = answer(&issuer, nats, &judge(&nats["connect_opts"])) else {
                    continue;
                };
                // A server that has ended needs no answer.
                let _ = write!(socket, "PUB {reply} {}\r\n{answer}\r\n", answer.len());
            }
        });
        Self { server, asked }
    }

    /// How many logins the service was asked about.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// The reply subject and the JWT of the next request, until the server ends.
fn next_request(reader: &mut impl BufRead, socket: &mut TcpStream) -> Option<(String, String)> {
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["PING"] => socket.write_all(b"PONG\r\n").ok()?,
            ["MSG", _, _, reply, length] => {
                let mut payload = vec![0; length.parse::<usize>().unwrap() + "\r\n".len()];
                reader.read_exact(&mut payload).ok()?;
                let text = String::from_utf8(payload).unwrap();
                return Some(((*reply).to_owned(), text.trim_end().to_owned()));
            }
            _ => {}
        }
    }
}

fn answer(issuer: &KeyPair, request: &Value, verdict: &Verdict) -> Option<String> {
    let user = request["user_nkey"].as_str().unwrap();
    let server = request["server_id"]["id"].as_str();
    let mut nats = json!({"type": "authorization_response", "version": 2});
    match verdict {
        Verdict::Admit(seconds) => {
            let user_claims = json!({
                "type": "user", "version": 2, "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1,
            });
            let expiry = seconds.map(|seconds| now() + seconds);
            nats["jwt"] = sign_for(issuer, user, Some("APP"), expiry, &user_claims).into();
        }
        Verdict::Refuse(reason) => nats["error"] = (*reason).into(),
        Verdict::Silence => return None,
    }
    Some(sign_for(issuer, user, server, None, &nats))
}

/// The claims of a JWT, which is not checked.
fn claims(jwt: &str) -> Value {
    let text = jwt.split('.').nth(1).unwrap();
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for byte in text.bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' => 62,
            _ => 63,
        };
        bits = (bits << 6 | u32::from(six)) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).unwrap());
        }
    }
    serde_json::from_slice(&bytes).unwrap()
}
