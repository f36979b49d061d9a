//! A raw JetStream client: a socket of its own, requests in JSON, and everything that a stream holds.
//!
//! It knows nothing of the program or of its client library, so what it reads back is what the server has.
//! A request is repeated while servers restart or elect a leader; reading a stream is not.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::subscriber::value_of;
use super::{NatsServer, PATIENCE};

/// How long one attempt at a request may take.
const ATTEMPT: Duration = Duration::from_secs(4);

/// One message as a stream holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub sequence: u64,
    pub subject: String,
    /// The header block, `NATS/1.0` line and all, when there is one.
    pub headers: Option<String>,
    pub payload: Vec<u8>,
}

impl Stored {
    /// The payload as text.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).expect("the payload is UTF-8")
    }

    /// The value of a header, by its exact name.
    pub fn header(&self, name: &str) -> Option<&str> {
        value_of(self.headers.as_deref(), name)
    }
}

pub struct JetStream {
    ports: Vec<u16>,
    /// Further options of CONNECT, with their comma.
    options: String,
    /// `$JS.API`, or that of a domain.
    prefix: String,
    inbox: String,
    requests: u64,
    link: Option<Link>,
}

/// One connection.
struct Link {
    reader: BufReader<TcpStream>,
    socket: TcpStream,
}

/// One message as it came over a connection.
struct Arrival {
    subject: String,
    reply: Option<String>,
    headers: Option<String>,
    payload: Vec<u8>,
}

impl Arrival {
    /// The number of a reply that is nothing but a status, such as 503.
    fn status(&self) -> Option<&str> {
        let block = self.headers.as_deref()?;
        block.strip_prefix("NATS/1.0 ")?.get(..3)
    }
}

impl JetStream {
    /// The JetStream of this server.
    pub fn on(server: &NatsServer) -> Self {
        Self::connect(vec![server.port()], "")
    }

    /// The same with these further options of CONNECT, such as `"user":"u","pass":"p"`.
    pub fn with_login(server: &NatsServer, options: &str) -> Self {
        Self::connect(vec![server.port()], options)
    }

    /// The JetStream of a cluster, by whichever of its servers is there.
    pub fn at(ports: Vec<u16>) -> Self {
        Self::connect(ports, "")
    }

    /// Asks this domain.
    pub fn domain(mut self, domain: &str) -> Self {
        self.prefix = format!("$JS.{domain}.API");
        self
    }

    fn connect(ports: Vec<u16>, options: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let comma = if options.is_empty() { "" } else { "," };
        Self {
            ports,
            options: format!("{comma}{options}"),
            prefix: "$JS.API".to_owned(),
            inbox: format!("_INBOX.harness{}x{number}", std::process::id()),
            requests: 0,
            link: None,
        }
    }

    /// Creates a stream; what is not said is nats-server's own default, so it is file-backed.
    #[track_caller]
    pub fn create(&mut self, config: &Value) -> Value {
        let name = config["name"].as_str().expect("a stream has a name");
        self.api(&format!("STREAM.CREATE.{name}"), config)
    }

    /// Creates a stream of these subjects with these further fields.
    #[track_caller]
    pub fn stream(&mut self, name: &str, subjects: &[&str], more: Value) -> Value {
        let mut config = json!({"name": name, "subjects": subjects});
        merge(&mut config, more);
        self.create(&config)
    }

    /// Changes these fields of a stream.
    #[track_caller]
    pub fn update(&mut self, name: &str, changes: Value) -> Value {
        let mut config = self.info(name)["config"].take();
        merge(&mut config, changes);
        self.api(&format!("STREAM.UPDATE.{name}"), &config)
    }

    #[track_caller]
    pub fn delete(&mut self, name: &str) {
        self.api(&format!("STREAM.DELETE.{name}"), &json!({}));
    }

    #[track_caller]
    pub fn purge(&mut self, name: &str) {
        self.api(&format!("STREAM.PURGE.{name}"), &json!({}));
    }

    /// What the server says of a stream: `config`, `state`, `cluster`.
    #[track_caller]
    pub fn info(&mut self, name: &str) -> Value {
        self.api(&format!("STREAM.INFO.{name}"), &json!({}))
    }

    /// The same, or the server's error.
    #[track_caller]
    pub fn try_info(&mut self, name: &str) -> Result<Value, Value> {
        self.try_api(&format!("STREAM.INFO.{name}"), &json!({}))
    }

    /// How many messages a stream holds.
    #[track_caller]
    pub fn count(&mut self, name: &str) -> u64 {
        self.info(name)["state"]["messages"].as_u64().unwrap()
    }

    /// A durable consumer with this name, which gives a stream of interest retention its interest.
    #[track_caller]
    pub fn consumer(&mut self, stream: &str, name: &str) {
        let config = json!({"durable_name": name, "ack_policy": "explicit"});
        self.api(
            &format!("CONSUMER.CREATE.{stream}.{name}"),
            &json!({"stream_name": stream, "config": config}),
        );
    }

    /// Everything that a stream holds, in its order.
    #[track_caller]
    pub fn messages(&mut self, name: &str) -> Vec<Stored> {
        let mut all = Vec::new();
        self.each(name, |message| all.push(message));
        all
    }

    /// Hands everything that a stream holds to the closure, in its order.
    #[track_caller]
    pub fn each(&mut self, name: &str, handle: impl FnMut(Stored)) {
        self.each_from(name, 1, handle);
    }

    /// The same from this sequence on.
    #[track_caller]
    pub fn each_from(&mut self, name: &str, sequence: u64, mut handle: impl FnMut(Stored)) {
        let config = json!({
            "ack_policy": "none", "deliver_policy": "by_start_sequence", "opt_start_seq": sequence,
            "mem_storage": true, "num_replicas": 1, "inactive_threshold": 60_000_000_000_u64,
        });
        let body = json!({"stream_name": name, "config": config});
        // The leader knows all that was acknowledged. A consumer may be at a replica that is a moment behind.
        let last = self.info(name)["state"]["last_seq"].as_u64().unwrap();
        let start = Instant::now();
        let (consumer, mut missing) = loop {
            let made = self.api(&format!("CONSUMER.CREATE.{name}"), &body);
            let consumer = made["name"].as_str().unwrap().to_owned();
            let pending = made["num_pending"].as_u64().unwrap();
            let deleted = self.info(name)["state"]["num_deleted"].as_u64();
            let first = self.info(name)["state"]["first_seq"].as_u64().unwrap();
            let expected = (last + 1).saturating_sub(first.max(sequence));
            if pending + deleted.unwrap_or_default() >= expected || start.elapsed() > PATIENCE {
                break (consumer, pending);
            }
            self.api(&format!("CONSUMER.DELETE.{name}.{consumer}"), &json!({}));
        };
        let next = format!("{}.CONSUMER.MSG.NEXT.{name}.{consumer}", self.prefix);
        let mut asked: u64 = 0;
        while missing > 0 {
            if asked == 0 {
                asked = missing.min(5000);
                let body =
                    json!({"batch": asked, "max_bytes": 1 << 25, "expires": 5_000_000_000_u64});
                self.publish_with_reply(&next, &body.to_string())
                    .expect("the server takes a request for messages");
            }
            let link = self.link.as_mut().expect("there is a connection");
            let arrival = link
                .receive()
                .unwrap_or_else(|why| panic!("reading {name} with {missing} to come: {why}"));
            match arrival.reply.as_deref().and_then(acknowledged_sequence) {
                Some(sequence) => {
                    missing -= 1;
                    asked -= 1;
                    handle(Stored {
                        sequence,
                        subject: arrival.subject,
                        headers: arrival.headers,
                        payload: arrival.payload,
                    });
                }
                // The end of a batch before its number was reached: by its size, or by its time.
                None => asked = 0,
            }
        }
        self.api(&format!("CONSUMER.DELETE.{name}.{consumer}"), &json!({}));
    }

    /// The newest value of every key of a bucket, delete markers and all.
    #[track_caller]
    pub fn kv_entries(&mut self, bucket: &str) -> BTreeMap<String, Stored> {
        let before = format!("$KV.{bucket}.");
        let mut entries = BTreeMap::new();
        self.each(&format!("KV_{bucket}"), |message| {
            let key = message.subject.strip_prefix(&before);
            let key = key.unwrap_or_else(|| panic!("{} is no key of {bucket}", message.subject));
            entries.insert(key.to_owned(), message);
        });
        entries
    }

    /// The value of a key as every client asks for it: directly. Nothing when there is none.
    #[track_caller]
    pub fn kv_get(&mut self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        let subject = format!("{}.DIRECT.GET.KV_{bucket}.$KV.{bucket}.{key}", self.prefix);
        let arrival = self.request(&subject, "");
        (arrival.status() != Some("404")).then_some(arrival.payload)
    }

    /// Publishes one message, and gives the acknowledgement.
    #[track_caller]
    pub fn publish(&mut self, subject: &str, payload: &str) -> Value {
        let arrival = self.request(subject, payload);
        serde_json::from_slice(&arrival.payload).expect("an acknowledgement is JSON")
    }

    /// Asks the API, which must not refuse.
    #[track_caller]
    pub fn api(&mut self, verb: &str, body: &Value) -> Value {
        match self.try_api(verb, body) {
            Ok(answer) => answer,
            Err(error) => panic!("{verb} with {body} is refused: {error}"),
        }
    }

    /// Asks the API: its answer, or its error with `code`, `err_code` and `description`.
    #[track_caller]
    pub fn try_api(&mut self, verb: &str, body: &Value) -> Result<Value, Value> {
        // Of a cluster without a leader, and of one whose leader is not ready.
        const NOT_NOW: [u64; 3] = [10008, 10009, 10118];
        let subject = format!("{}.{verb}", self.prefix);
        let start = Instant::now();
        loop {
            let arrival = self.request(&subject, &body.to_string());
            let mut answer: Value =
                serde_json::from_slice(&arrival.payload).expect("the API answers in JSON");
            let error = answer["error"].take();
            if error.is_null() {
                return Ok(answer);
            }
            let wait = error["err_code"]
                .as_u64()
                .is_some_and(|code| NOT_NOW.contains(&code));
            if !wait || start.elapsed() > PATIENCE {
                return Err(error);
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Asks until there is an answer.
    #[track_caller]
    fn request(&mut self, subject: &str, payload: &str) -> Arrival {
        let start = Instant::now();
        loop {
            let why = match self.ask(subject, payload) {
                Ok(arrival) if arrival.status() == Some("503") => "nobody answers".to_owned(),
                Ok(arrival) => return arrival,
                Err(why) => {
                    // What comes late must not be taken for the next answer.
                    self.link = None;
                    why
                }
            };
            assert!(
                start.elapsed() < PATIENCE,
                "{subject} was asked in vain: {why}"
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn ask(&mut self, subject: &str, payload: &str) -> Result<Arrival, String> {
        let inbox = self.publish_with_reply(subject, payload)?;
        let link = self.link.as_mut().expect("there is a connection");
        let start = Instant::now();
        while start.elapsed() < ATTEMPT {
            let arrival = link.receive()?;
            if arrival.subject == inbox {
                return Ok(arrival);
            }
        }
        Err(format!("no answer within {ATTEMPT:?}"))
    }

    /// Publishes with an inbox of its own as the reply subject, which is given.
    fn publish_with_reply(&mut self, subject: &str, payload: &str) -> Result<String, String> {
        if self.link.is_none() {
            self.link = Some(self.open()?);
        }
        self.requests += 1;
        let inbox = format!("{}.{}", self.inbox, self.requests);
        let size = payload.len();
        let message = format!("PUB {subject} {inbox} {size}\r\n{payload}\r\n");
        let link = self.link.as_mut().expect("there is a connection");
        link.write(&message)?;
        Ok(inbox)
    }

    /// A connection to the first server that takes one.
    fn open(&mut self) -> Result<Link, String> {
        let mut why = "there is no server".to_owned();
        for port in &self.ports {
            match Link::open(*port, &self.options, &self.inbox) {
                Ok(link) => return Ok(link),
                Err(error) => why = error,
            }
        }
        Err(why)
    }
}

impl Link {
    fn open(port: u16, options: &str, inbox: &str) -> Result<Self, String> {
        let socket = TcpStream::connect(("127.0.0.1", port)).map_err(text)?;
        socket.set_nodelay(true).map_err(text)?;
        socket.set_read_timeout(Some(ATTEMPT)).map_err(text)?;
        let reader = BufReader::with_capacity(1 << 16, socket.try_clone().map_err(text)?);
        let mut link = Self { reader, socket };
        let connect =
            format!(r#"CONNECT {{"verbose":false,"headers":true,"no_responders":true{options}}}"#);
        link.write(&format!("{connect}\r\nSUB {inbox}.* 1\r\n"))?;
        Ok(link)
    }

    fn write(&mut self, line: &str) -> Result<(), String> {
        self.socket.write_all(line.as_bytes()).map_err(text)
    }

    /// The next message.
    fn receive(&mut self) -> Result<Arrival, String> {
        loop {
            let mut line = Vec::new();
            let read = self.reader.read_until(b'\n', &mut line).map_err(text)?;
            if read == 0 {
                return Err("end of the connection".to_owned());
            }
            let line = String::from_utf8(line).map_err(text)?;
            let words: Vec<&str> = line.trim_end_matches(['\r', '\n']).split(' ').collect();
            match words[..] {
                ["MSG", subject, _, size] => return self.take(subject, None, "0", size),
                ["MSG", subject, _, reply, size] => {
                    return self.take(subject, Some(reply), "0", size);
                }
                ["HMSG", subject, _, header, size] => {
                    return self.take(subject, None, header, size);
                }
                ["HMSG", subject, _, reply, header, size] => {
                    return self.take(subject, Some(reply), header, size);
                }
                ["PING"] => self.write("PONG\r\n")?,
                ["PONG"] | ["INFO", ..] => {}
                _ => return Err(format!("unexpected line {line:?}")),
            }
        }
    }

    fn take(
        &mut self,
        subject: &str,
        reply: Option<&str>,
        header: &str,
        size: &str,
    ) -> Result<Arrival, String> {
        let (header, size): (usize, usize) =
            (header.parse().map_err(text)?, size.parse().map_err(text)?);
        let mut bytes = vec![0; size + 2];
        self.reader.read_exact(&mut bytes).map_err(text)?;
        bytes.truncate(size);
        let payload = bytes.split_off(header);
        let headers = (header > 0).then(|| String::from_utf8_lossy(&bytes).into_owned());
        Ok(Arrival {
            subject: subject.to_owned(),
            reply: reply.map(str::to_owned),
            headers,
            payload,
        })
    }
}

/// The stream's sequence in the reply subject of a delivered message, whose old form is
/// `$JS.ACK.stream.consumer.delivered.sequence.…` and whose new one has a domain and an account before the stream.
fn acknowledged_sequence(reply: &str) -> Option<u64> {
    let tokens: Vec<&str> = reply.strip_prefix("$JS.ACK.")?.split('.').collect();
    let at = if tokens.len() > 7 { 5 } else { 3 };
    tokens.get(at)?.parse().ok()
}

/// Puts these fields into an object.
fn merge(object: &mut Value, more: Value) {
    if let Value::Object(more) = more {
        for (key, value) in more {
            object[key] = value;
        }
    }
}

// As `map_err` wants it.
#[allow(clippy::needless_pass_by_value)]
fn text(error: impl ToString) -> String {
    error.to_string()
}
