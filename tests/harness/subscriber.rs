//! A raw subscriber: a socket, `SUB >` and a thread that parses what the server sends.
//!
//! It knows nothing of the program or of its client library. What a server has processed before
//! `settle` is asked for has arrived when `settle` returns: the server answers a PING after the messages
//! that it queued before it. Messages are kept, or handed to a closure where there are too many.
//!
//! Who subscribes to everything also gets what the program asks of JetStream, and by being there keeps a server
//! without JetStream from saying that nobody answers. So the subscriber says that instead.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use super::{NatsServer, PATIENCE, wait_until};

/// One message as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub subject: String,
    /// The header block, `NATS/1.0` line and all, when it was sent with HPUB.
    pub headers: Option<String>,
    pub payload: Vec<u8>,
}

impl Message {
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

/// The value of a header in a block of them.
pub fn value_of<'a>(headers: Option<&'a str>, name: &str) -> Option<&'a str> {
    let lines = headers?.split("\r\n");
    let mut named = lines.filter_map(|line| line.split_once(':'));
    named
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.trim())
}

type Handler = Box<dyn FnMut(&Message) + Send>;

#[derive(Default)]
struct Shared {
    inbox: Mutex<Inbox>,
    changed: Condvar,
}

#[derive(Default)]
struct Inbox {
    kept: Vec<Message>,
    count: usize,
    pongs: usize,
    closed: Option<String>,
}

pub struct Subscriber {
    shared: Arc<Shared>,
    socket: TcpStream,
    pings: usize,
}

impl Subscriber {
    /// Subscribed to everything on this server, keeping all that arrives.
    pub fn on(server: &NatsServer) -> Self {
        Self::connect(server.port(), ">", "", None)
    }

    /// Subscribed to this subject only.
    pub fn to(server: &NatsServer, subject: &str) -> Self {
        Self::connect(server.port(), subject, "", None)
    }

    /// Subscribed to everything with these further options of CONNECT, such as `"user":"u","pass":"p"`.
    pub fn with_login(server: &NatsServer, options: &str) -> Self {
        Self::connect(server.port(), ">", options, None)
    }

    /// Hands each message to the closure instead of keeping it.
    pub fn each(server: &NatsServer, handle: impl FnMut(&Message) + Send + 'static) -> Self {
        Self::connect(server.port(), ">", "", Some(Box::new(handle)))
    }

    fn connect(port: u16, subject: &str, options: &str, handle: Option<Handler>) -> Self {
        let socket = TcpStream::connect(("127.0.0.1", port)).expect("the server takes connections");
        socket.set_nodelay(true).unwrap();
        let shared = Arc::new(Shared::default());
        let reader = BufReader::with_capacity(1 << 16, socket.try_clone().unwrap());
        let parser = Parser {
            reader,
            socket: socket.try_clone().unwrap(),
            shared: Arc::clone(&shared),
            handle,
            jetstream: false,
        };
        thread::spawn(move || parser.run());
        let mut subscriber = Self {
            shared,
            socket,
            pings: 0,
        };
        let comma = if options.is_empty() { "" } else { "," };
        let connect =
            format!(r#"CONNECT {{"verbose":false,"echo":false,"headers":true{comma}{options}}}"#);
        subscriber.write(&format!("{connect}\r\nSUB {subject} 1\r\n"));
        subscriber.settle();
        subscriber
    }

    /// Returns when everything that the server had processed before this call has arrived.
    #[track_caller]
    pub fn settle(&mut self) {
        self.pings += 1;
        let pings = self.pings;
        self.write("PING\r\n");
        self.wait("the server answers a PING of the subscriber", |inbox| {
            inbox.pongs >= pings
        });
    }

    /// Takes in what a server that was killed had sent before it died.
    pub fn drain(self) {
        let shared = &self.shared;
        wait_until(
            "the subscriber has seen the end of its server",
            PATIENCE,
            || shared.inbox.lock().unwrap().closed.is_some(),
        );
    }

    /// Settles, and gives all messages so far.
    #[track_caller]
    pub fn messages(&mut self) -> Vec<Message> {
        self.settle();
        self.inbox().kept.clone()
    }

    /// How many messages have arrived by now.
    pub fn count(&self) -> usize {
        self.inbox().count
    }

    /// Waits until at least so many messages have arrived.
    #[track_caller]
    pub fn wait_for(&self, count: usize) {
        self.wait(&format!("{count} messages arrive"), |inbox| {
            inbox.count >= count
        });
    }

    #[track_caller]
    fn wait(&self, what: &str, done: impl Fn(&Inbox) -> bool) {
        let start = Instant::now();
        let mut inbox = self.inbox();
        while !done(&inbox) {
            if let Some(why) = &inbox.closed {
                panic!("the subscriber lost its server before {what}: {why}");
            }
            let count = inbox.count;
            assert!(
                start.elapsed() < PATIENCE,
                "in vain waited until {what}; {count} messages came"
            );
            inbox = self
                .shared
                .changed
                .wait_timeout(inbox, Duration::from_millis(200))
                .unwrap()
                .0;
        }
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.shared.inbox.lock().unwrap()
    }

    #[track_caller]
    fn write(&mut self, text: &str) {
        self.socket
            .write_all(text.as_bytes())
            .expect("the subscriber's server takes what it writes");
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }
}

struct Parser {
    reader: BufReader<TcpStream>,
    socket: TcpStream,
    shared: Arc<Shared>,
    handle: Option<Handler>,
    /// Whether the server says that it has JetStream.
    jetstream: bool,
}

impl Parser {
    fn run(mut self) {
        let why = loop {
            if let Err(why) = self.step() {
                break why;
            }
        };
        self.shared.inbox.lock().unwrap().closed = Some(why);
        self.shared.changed.notify_all();
    }

    /// Reads one operation of the server's.
    fn step(&mut self) -> Result<(), String> {
        let mut line = Vec::new();
        let read = self
            .reader
            .read_until(b'\n', &mut line)
            .map_err(|error| error.to_string())?;
        if read == 0 {
            return Err("end of the connection".to_owned());
        }
        let line = String::from_utf8(line).map_err(|error| error.to_string())?;
        // Only the line's end is cut: a subject may hold odd white space of Unicode's.
        let line = line.trim_end_matches(['\r', '\n']);
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["MSG", subject, _, size] | ["HMSG", subject, _, _, size]
                if subject.starts_with("_INBOX.") =>
            {
                self.skip(parse(size)?)
            }
            ["MSG", subject, _, size] => self.take(subject, 0, parse(size)?),
            ["HMSG", subject, _, header, size] => self.take(subject, parse(header)?, parse(size)?),
            ["PING"] => self
                .socket
                .write_all(b"PONG\r\n")
                .map_err(|error| error.to_string()),
            ["PONG"] => {
                self.shared.inbox.lock().unwrap().pongs += 1;
                self.shared.changed.notify_all();
                Ok(())
            }
            ["INFO", ..] => {
                self.jetstream |= line.contains(r#""jetstream":true"#);
                Ok(())
            }
            ["MSG", subject, _, reply, size] if subject.starts_with("$JS.") => {
                let reply = reply.to_owned();
                self.skip(parse(size)?)?;
                self.say_that_nobody_answers(&reply)
            }
            // Other messages with a reply subject come here too: the program sends none to whom nothing captures.
            _ => Err(format!("unexpected line {line:?}")),
        }
    }

    fn skip(&mut self, size: usize) -> Result<(), String> {
        self.reader
            .read_exact(&mut vec![0; size + 2])
            .map_err(|error| error.to_string())
    }

    fn say_that_nobody_answers(&mut self, reply: &str) -> Result<(), String> {
        if self.jetstream {
            return Ok(());
        }
        let status = "NATS/1.0 503\r\n\r\n";
        let size = status.len();
        self.socket
            .write_all(format!("HPUB {reply} {size} {size}\r\n{status}\r\n").as_bytes())
            .map_err(|error| error.to_string())
    }

    fn take(&mut self, subject: &str, header: usize, size: usize) -> Result<(), String> {
        let mut bytes = vec![0; size + 2];
        self.reader
            .read_exact(&mut bytes)
            .map_err(|error| error.to_string())?;
        if !bytes.ends_with(b"\r\n") {
            return Err(format!("a message on {subject} does not end with its size"));
        }
        bytes.truncate(size);
        let payload = bytes.split_off(header);
        let headers = (header > 0).then(|| String::from_utf8_lossy(&bytes).into_owned());
        let message = Message {
            subject: subject.to_owned(),
            headers,
            payload,
        };
        if let Some(handle) = &mut self.handle {
            handle(&message);
        }
        let mut inbox = self.shared.inbox.lock().unwrap();
        inbox.count += 1;
        if self.handle.is_none() {
            inbox.kept.push(message);
        }
        drop(inbox);
        // A waiter looks again by itself; waking it for each message of a burst would cost more than the rest.
        if self.reader.buffer().is_empty() {
            self.shared.changed.notify_all();
        }
        Ok(())
    }
}

fn parse(number: &str) -> Result<usize, String> {
    number.parse().map_err(|_| format!("no number: {number:?}"))
}
