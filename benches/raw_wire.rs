//! The limit that the program is measured against: `raw_wire HOST:PORT PREFIX < INPUT` prints seconds.
//!
//! It publishes what the program publishes (the same subjects and payload bytes) without doing any of
//! its work: every message is encoded before the clock starts. The clock runs from the established
//! connection to the PONG that follows the last message.
//!
//! It finds stream and record by the fixed text around them in the lines of `make_input`; it can read
//! no other input.
#![allow(clippy::print_stdout)] // Its output is for scripts/bench.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Instant;

/// Bytes per write: large enough that system calls do not count.
const WRITE_BYTES: usize = 1 << 20;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(prefix)) = (arguments.next(), arguments.next()) else {
        return Err(io::Error::other("raw_wire HOST:PORT PREFIX < INPUT"));
    };
    let mut messages = Vec::new();
    for line in io::stdin().lock().lines() {
        encode(&mut messages, &prefix, &line?);
    }

    let mut socket = TcpStream::connect(address)?;
    let mut replies = BufReader::new(socket.try_clone()?).lines();
    socket.write_all(
        b"CONNECT {\"verbose\":false,\"pedantic\":false,\"name\":\"raw_wire\"}\r\nPING\r\n",
    )?;
    wait_for_pong(&mut replies)?;

    let start = Instant::now();
    for chunk in messages.chunks(WRITE_BYTES) {
        socket.write_all(chunk)?;
    }
    socket.write_all(b"PING\r\n")?;
    wait_for_pong(&mut replies)?;
    println!("{}", start.elapsed().as_secs_f64());
    Ok(())
}

/// Appends the PUB for a RECORD line; other lines are not published.
fn encode(messages: &mut Vec<u8>, prefix: &str, line: &str) {
    let record = line
        .strip_prefix(r#"{"type": "RECORD", "stream": ""#)
        .and_then(|rest| rest.split_once(r#"", "record": "#))
        .and_then(|(stream, rest)| Some((stream, rest.rsplit_once(r#", "time_extracted""#)?.0)));
    if let Some((stream, payload)) = record {
        write!(
            messages,
            "PUB {prefix}{stream} {}\r\n{payload}\r\n",
            payload.len()
        )
        .expect("writing to memory cannot fail");
    }
}

fn wait_for_pong(replies: &mut impl Iterator<Item = io::Result<String>>) -> io::Result<()> {
    for reply in replies {
        let reply = reply?;
        if reply == "PONG" {
            return Ok(());
        }
        if reply.starts_with("-ERR") {
            return Err(io::Error::other(reply));
        }
    }
    Err(io::Error::from(io::ErrorKind::UnexpectedEof))
}
