//! The limit that the program is measured against: `raw_wire HOST:PORT PREFIX < INPUT` prints seconds.
//!
//! It publishes what the program publishes (the same subjects and payload bytes) without doing any of
//! its work: every message is encoded before the clock starts. The clock runs from the established
//! connection to the PONG that follows the last message.
#![allow(clippy::print_stdout)] // Its output is for scripts/bench.

use std::io::{self, Write};
use std::time::Instant;

mod wire;

/// Bytes per write: large enough that system calls do not count.
const WRITE_BYTES: usize = 1 << 20;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(prefix)) = (arguments.next(), arguments.next()) else {
        return Err(io::Error::other("raw_wire HOST:PORT PREFIX < INPUT"));
    };
    let mut messages = Vec::new();
    for line in io::stdin().lines() {
        if let Some((stream, record)) = wire::parse_record(&line?) {
            let bytes = record.len();
            write!(messages, "PUB {prefix}{stream} {bytes}\r\n{record}\r\n")?;
        }
    }

    let (mut socket, mut replies) = wire::connect(&address)?;
    let start = Instant::now();
    for chunk in messages.chunks(WRITE_BYTES) {
        socket.write_all(chunk)?;
    }
    wire::wait_for_pong(&mut socket, &mut replies)?;
    println!("{}", start.elapsed().as_secs_f64());
    Ok(())
}
