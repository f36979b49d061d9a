//! What the bare loops share: the records of `make_input`'s lines, and the first words with a server.
//!
//! Stream and record are found by the fixed text around them; no other input can be read.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;

/// The stream and the record of a RECORD line; other lines are not published.
pub fn parse_record(line: &str) -> Option<(&str, &str)> {
    let rest = line.strip_prefix(r#"{"type": "RECORD", "stream": ""#)?;
    let (stream, rest) = rest.split_once(r#"", "record": "#)?;
    Some((stream, rest.rsplit_once(r#", "time_extracted""#)?.0))
}

/// An established connection, to write to and to read from.
pub fn connect(address: &str) -> io::Result<(TcpStream, BufReader<TcpStream>)> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    let mut replies = BufReader::with_capacity(1 << 18, socket.try_clone()?);
    socket.write_all(
        b"CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\"name\":\"bare loop\"}\r\n",
    )?;
    wait_for_pong(&mut socket, &mut replies)?;
    Ok((socket, replies))
}

/// Sends a PING and waits for its PONG.
pub fn wait_for_pong(socket: &mut TcpStream, replies: &mut impl BufRead) -> io::Result<()> {
    socket.write_all(b"PING\r\n")?;
    let mut line = String::new();
    loop {
        line.clear();
        if replies.read_line(&mut line)? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        if line == "PONG\r\n" {
            return Ok(());
        }
        if line.starts_with("-ERR") {
            return Err(io::Error::other(line));
        }
    }
}
