//! The answers of a scripted HTTP server: `Answer::json(503, …).header("Retry-After", "1")`, silence, a body cut short,
//! or what a real server says.

use std::fmt::Write as _;
use std::io::{BufReader, Read, Write};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::Request;
use super::http::{Call, Headers, call};

#[derive(Clone)]
pub struct Answer {
    what: What,
    headers: Headers,
    delay: Duration,
    gate: Option<Gate>,
    cut: Option<usize>,
    last: bool,
}

#[derive(Clone)]
enum What {
    Reply(u16, Vec<u8>),
    Registered { global_id: i64, content_id: i64 },
    Relayed(u16),
    Raw(Vec<u8>),
    Silence,
    Close,
}

/// Answers wait behind it until it is opened.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let open = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(open, |open| !*open).unwrap());
    }
}

impl Answer {
    /// A body of any kind.
    pub fn body(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::of(What::Reply(status, body.into()))
    }

    pub fn json(status: u16, body: &Value) -> Self {
        Self::body(status, body.to_string()).header("Content-Type", "application/json")
    }

    /// No body.
    pub fn status(status: u16) -> Self {
        Self::body(status, "")
    }

    /// What a registry of version 3 says of a request that it has refused.
    pub fn refusal(status: u16, name: &str, title: &str) -> Self {
        Self::json(
            status,
            &json!({"title": title, "status": status, "name": name}),
        )
    }

    /// What a registry of version 3 says to a registration, with these ids.
    pub fn registered(global_id: i64, content_id: i64) -> Self {
        let what = What::Registered {
            global_id,
            content_id,
        };
        Self::of(what).header("Content-Type", "application/json")
    }

    /// What the server on this port of this machine says to the same request.
    pub fn relayed(port: u16) -> Self {
        Self::of(What::Relayed(port))
    }

    /// These bytes, which need not be HTTP, and the end of the connection.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self::of(What::Raw(bytes.into()))
    }

    /// Nothing, for as long as the client waits.
    pub fn silence() -> Self {
        Self::of(What::Silence)
    }

    /// The end of the connection.
    pub fn close() -> Self {
        Self::of(What::Close)
    }

    fn of(what: What) -> Self {
        Self {
            what,
            headers: Vec::new(),
            delay: Duration::ZERO,
            gate: None,
            cut: None,
            last: false,
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Only so long after the request.
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Only when the gate is open.
    pub fn behind(mut self, gate: &Gate) -> Self {
        self.gate = Some(gate.clone());
        self
    }

    /// The connection ends behind so many bytes of the body, though its length was told whole.
    pub fn cut_after(mut self, bytes: usize) -> Self {
        self.cut = Some(bytes);
        self
    }

    /// The connection ends behind this answer, though the client was not told.
    pub fn then_close(mut self) -> Self {
        self.last = true;
        self
    }

    /// False when the connection must end.
    pub(super) fn send<S: Read + Write>(
        &self,
        request: &Request,
        stream: &mut BufReader<S>,
    ) -> bool {
        thread::sleep(self.delay);
        if let Some(gate) = &self.gate {
            gate.pass();
        }
        let (status, mut headers, body) = match &self.what {
            What::Reply(status, body) => (*status, Vec::new(), body.clone()),
            What::Registered {
                global_id,
                content_id,
            } => {
                let body = registered(request, *global_id, *content_id);
                (200, Vec::new(), body.to_string().into_bytes())
            }
            What::Relayed(port) => match relay(*port, request) {
                Some(reply) => reply,
                None => return false,
            },
            What::Raw(bytes) => {
                let _ = stream.get_mut().write_all(bytes);
                let _ = stream.get_mut().flush();
                return false;
            }
            What::Silence => {
                // Ends when the client does.
                let _ = std::io::copy(stream, &mut std::io::sink());
                return false;
            }
            What::Close => return false,
        };
        headers.extend(self.headers.clone());
        let mut head = format!("HTTP/1.1 {status} Scripted\r\n");
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let _ = write!(head, "Content-Length: {}\r\n\r\n", body.len());
        let body = &body[..self.cut.unwrap_or(body.len()).min(body.len())];
        let sent = stream
            .get_mut()
            .write_all(&[head.as_bytes(), body].concat());
        let sent = sent.and_then(|()| stream.get_mut().flush());
        sent.is_ok() && self.cut.is_none() && !self.last
    }
}

fn registered(request: &Request, global_id: i64, content_id: i64) -> Value {
    let asked = request.json();
    let group = request
        .path
        .split('/')
        .skip_while(|word| *word != "groups")
        .nth(1);
    let (artifact, kind) = (&asked["artifactId"], &asked["artifactType"]);
    json!({
        "artifact": {"groupId": group, "artifactId": artifact, "artifactType": kind},
        "version": {
            "version": "1", "globalId": global_id, "contentId": content_id, "state": "ENABLED",
            "groupId": group, "artifactId": artifact, "artifactType": kind,
        },
    })
}

/// Status, headers and body of a real server, or nothing when it does not answer.
fn relay(port: u16, request: &Request) -> Option<(u16, Headers, Vec<u8>)> {
    // What is about one connection only, or about the body that was read whole.
    let own = |name: &str| {
        [
            "content-length",
            "transfer-encoding",
            "connection",
            "expect",
            "host",
        ]
        .contains(&name.to_ascii_lowercase().as_str())
    };
    let headers = request.headers.iter();
    let headers: Vec<(&str, &str)> = headers
        .filter(|(name, _)| !own(name))
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let asked = Call {
        method: &request.method,
        path: &request.path,
        headers: &headers,
        body: &request.body,
    };
    let reply = call(port, &asked).ok()?;
    let headers = reply
        .content
        .headers
        .into_iter()
        .filter(|(name, _)| !own(name));
    Some((reply.status, headers.collect(), reply.content.body))
}
