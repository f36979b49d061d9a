//! HTTP/1.1 as the harness speaks it: requests to a registry, and requests that a scripted server is sent.
//!
//! One connection for each call, which is read to its end. It follows nothing, repeats nothing and knows no TLS.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::ops::Deref;
use std::time::Duration;

use serde_json::Value;

use super::PATIENCE;

/// Names and values, in their order.
pub type Headers = Vec<(String, String)>;

/// An answer, whatever its status.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub content: Content,
}

impl Deref for Reply {
    type Target = Content;

    fn deref(&self) -> &Content {
        &self.content
    }
}

/// What a request and an answer have in common.
#[derive(Clone, Debug)]
pub struct Content {
    pub headers: Headers,
    pub body: Vec<u8>,
}

impl Content {
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Null when it is no JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// What is asked for.
pub struct Call<'a> {
    pub method: &'a str,
    /// With its query, percent-encoded.
    pub path: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a [u8],
}

/// Asks a server on this port of this machine.
pub fn call(port: u16, call: &Call) -> io::Result<Reply> {
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(Duration::from_secs(10)))?;
    let mut head = format!("{} {} HTTP/1.1\r\n", call.method, call.path);
    for (name, value) in call.headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    if header_of(call.headers, "host").is_none() {
        let _ = write!(head, "Host: 127.0.0.1:{port}\r\n");
    }
    let length = call.body.len();
    let _ = write!(
        head,
        "Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    socket.write_all(&[head.as_bytes(), call.body].concat())?;
    let mut reader = BufReader::new(socket);
    let (first, headers) = read_head(&mut reader)?.ok_or(ErrorKind::UnexpectedEof)?;
    let status = first.split(' ').nth(1).and_then(|word| word.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no status in {first:?}")))?;
    let mut body = Vec::new();
    if let Some(measured) = read_body(&mut reader, &headers)? {
        body = measured;
    } else {
        reader.read_to_end(&mut body)?;
    }
    Ok(Reply {
        status,
        content: Content { headers, body },
    })
}

/// The first line and the headers, or nothing when the connection ended before them.
pub fn read_head(reader: &mut impl BufRead) -> io::Result<Option<(String, Headers)>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return match lines.len() {
                0 => Ok(None),
                _ => Err(ErrorKind::UnexpectedEof.into()),
            };
        }
        let line = line.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            break;
        }
        lines.push(line.to_owned());
    }
    let mut lines = lines.into_iter();
    let first = lines.next().unwrap_or_default();
    let headers = lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_owned(), value.trim().to_owned()))
    });
    Ok(Some((first, headers.collect())))
}

/// The body as its headers measure it; nothing when they don't.
pub fn read_body(reader: &mut impl BufRead, headers: &Headers) -> io::Result<Option<Vec<u8>>> {
    if header(headers, "transfer-encoding").is_some_and(|value| value == "chunked") {
        return read_chunks(reader).map(Some);
    }
    let Some(length) = header(headers, "content-length") else {
        return Ok(None);
    };
    let length = length.parse().map_err(io::Error::other)?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(body))
}

fn read_chunks(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let length = usize::from_str_radix(digits, 16).map_err(io::Error::other)?;
        let start = body.len();
        body.resize(start + length + "\r\n".len(), 0);
        reader.read_exact(&mut body[start..])?;
        body.truncate(start + length);
        if length == 0 {
            return Ok(body);
        }
    }
}

/// The value of a header, whatever the case of its name.
pub fn header<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    let found = headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

fn header_of<'a>(headers: &[(&str, &'a str)], name: &str) -> Option<&'a str> {
    let found = headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
    found.map(|(_, value)| *value)
}

/// A segment of a path or a value of a query.
pub fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
