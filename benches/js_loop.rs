//! The limit that the program is measured against under JetStream. It prints seconds:
//!
//! - `js_loop HOST:PORT PREFIX pipelined WINDOW [ids] [kv] < INPUT`
//! - `js_loop HOST:PORT PREFIX fast FLOW OUTSTANDING [ids] [kv] < INPUT`
//!
//! It publishes what the program publishes (the same subjects and payload bytes, replies and ids of the same
//! length) without doing any of its work: every message is encoded before the clock starts, and of an
//! acknowledgement is read only whether it is one. The clock runs from the first message to the last
//! acknowledgement. Anything else than an acknowledgement ends it: it sends nothing a second time.
#![allow(clippy::print_stdout)] // Its output is for scripts/bench.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

mod wire;

const USAGE: &str =
    "js_loop HOST:PORT PREFIX pipelined WINDOW|fast FLOW OUTSTANDING [ids] [kv] < INPUT";

/// The most bytes of one write: what has become allowed meanwhile goes out with the next one.
const WRITE_BYTES: usize = 1 << 18;

/// How messages are acknowledged.
#[derive(Clone, Copy)]
enum Feed {
    Pipelined { window: usize },
    Fast { flow: usize, outstanding: usize },
}

/// Messages as they go to the wire.
#[derive(Default)]
struct Messages {
    bytes: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let usage = || io::Error::other(USAGE);
    let number = |text: &str| text.parse().map_err(|_| usage());
    let (address, prefix, feed, flags) = match *arguments {
        [address, prefix, "pipelined", window, ref flags @ ..] => {
            let window = number(window)?;
            (address, prefix, Feed::Pipelined { window }, flags)
        }
        [address, prefix, "fast", flow, outstanding, ref flags @ ..] => {
            let (flow, outstanding) = (number(flow)?, number(outstanding)?);
            (address, prefix, Feed::Fast { flow, outstanding }, flags)
        }
        _ => return Err(usage()),
    };
    if flags.iter().any(|flag| !["ids", "kv"].contains(flag)) {
        return Err(usage());
    }
    let unique = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_err(io::Error::other)?;
    let inbox = format!("_INBOX.{:032x}", unique.as_nanos());
    let input = io::read_to_string(io::stdin())?;
    let messages = encode(&input, prefix, &inbox, feed, flags)?;

    let (mut socket, mut replies) = wire::connect(address)?;
    write!(socket, "SUB {inbox}.> 1\r\n")?;
    wire::wait_for_pong(&mut socket, &mut replies)?;

    let count = messages.ends.len();
    let allowed = Arc::new(AtomicUsize::new(match feed {
        Feed::Pipelined { window } => window.min(count),
        Feed::Fast { .. } => 1,
    }));
    let start = Instant::now();
    let shared = Arc::clone(&allowed);
    let writer = thread::spawn(move || write_messages(&mut socket, &messages, &shared));
    read_acknowledgements(&mut replies, feed, count, &allowed, writer.thread())?;
    println!("{}", start.elapsed().as_secs_f64());
    Ok(())
}

fn encode(
    input: &str,
    prefix: &str,
    inbox: &str,
    feed: Feed,
    flags: &[&str],
) -> io::Result<Messages> {
    let records: Vec<_> = input.lines().filter_map(wire::parse_record).collect();
    let (ids, kv) = (flags.contains(&"ids"), flags.contains(&"kv"));
    let run = inbox.trim_start_matches("_INBOX.");
    let mut messages = Messages::default();
    for (index, (stream, record)) in records.iter().enumerate() {
        let number = index + 1;
        let mut subject = format!("{prefix}{stream}");
        if kv {
            let key = record
                .strip_prefix(r#"{"id": "#)
                .and_then(|rest| rest.split_once(','))
                .ok_or_else(|| io::Error::other("a record without an id"))?;
            subject = format!("{subject}.{}", key.0);
        }
        let reply = match feed {
            Feed::Pipelined { .. } => format!("{inbox}.0.{number}"),
            Feed::Fast { flow, .. } => {
                let operation = match number {
                    1 => 0,
                    last if last == records.len() => 2,
                    _ => 1,
                };
                format!("{inbox}.0-{run}-1.{flow}.fail.{number}.{operation}.$FI")
            }
        };
        let bytes = record.len();
        let out = &mut messages.bytes;
        if ids {
            let headers = format!("NATS/1.0\r\nNats-Msg-Id:{run}-{number}\r\n\r\n");
            let (head, all) = (headers.len(), headers.len() + bytes);
            write!(
                out,
                "HPUB {subject} {reply} {head} {all}\r\n{headers}{record}\r\n"
            )?;
        } else {
            write!(out, "PUB {subject} {reply} {bytes}\r\n{record}\r\n")?;
        }
        messages.ends.push(out.len());
    }
    Ok(messages)
}

fn write_messages(socket: &mut TcpStream, messages: &Messages, allowed: &AtomicUsize) {
    let (mut sent, mut written) = (0, 0);
    while sent < messages.ends.len() {
        let most = allowed.load(Ordering::Acquire);
        if most <= sent {
            thread::park();
            continue;
        }
        let within = |end: &usize| *end <= written + WRITE_BYTES;
        sent += messages.ends[sent..most].partition_point(within).max(1);
        // The reader says why a connection is gone.
        if socket
            .write_all(&messages.bytes[written..messages.ends[sent - 1]])
            .is_err()
        {
            return;
        }
        written = messages.ends[sent - 1];
    }
}

/// Returns when everything is acknowledged.
fn read_acknowledgements(
    replies: &mut BufReader<TcpStream>,
    feed: Feed,
    count: usize,
    allowed: &AtomicUsize,
    writer: &Thread,
) -> io::Result<()> {
    let mut acknowledged = 0;
    let mut line = Vec::new();
    while acknowledged < count {
        line.clear();
        if replies.read_until(b'\n', &mut line)? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        // Of a long run; the server asks again before it gives up.
        if line.starts_with(b"MSG ") || line == b"PING\r\n" {
            continue;
        }
        let unexpected = || io::Error::other(String::from_utf8_lossy(&line).into_owned());
        let most = match feed {
            Feed::Pipelined { window } => {
                if !line.starts_with(br#"{"stream":"#) || line.ends_with(b"true}\r\n") {
                    return Err(unexpected());
                }
                acknowledged += 1;
                acknowledged + window
            }
            Feed::Fast { outstanding, .. } => {
                let text = str::from_utf8(&line).map_err(|_| unexpected())?;
                if text.starts_with(r#"{"type":"ack""#) {
                    let stored = field(text, r#""seq":"#).ok_or_else(unexpected)?;
                    stored + outstanding * field(text, r#""msgs":"#).ok_or_else(unexpected)?
                } else {
                    acknowledged = field(text, r#""count":"#).ok_or_else(unexpected)?;
                    if acknowledged < count {
                        return Err(unexpected());
                    }
                    count
                }
            }
        };
        // One waking for all that has come at once.
        if replies.buffer().is_empty() || matches!(feed, Feed::Fast { .. }) {
            allowed.store(most.min(count), Ordering::Release);
            writer.unpark();
        }
    }
    Ok(())
}

fn field(text: &str, name: &str) -> Option<usize> {
    let rest = text.split_once(name)?.1;
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    rest[..end].parse().ok()
}
