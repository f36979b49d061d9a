//! [`Artifact`]: what the registry keeps of one stream's schema, and the id under which it does.

use std::fmt::Write;

use crate::error::{Error, Kind, shorten};

/// What marks an id that is encoded. A name that begins so is encoded as well, so that no two names meet.
const ENCODED: &str = "=u=";
/// The registry fails with an internal error at longer ones (spec apicurio.md, 1.1).
const MAX_ID_BYTES: usize = 512;

/// The kinds of schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ArtifactType {
    Json,
    Avro,
}

impl ArtifactType {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Avro => "AVRO",
        }
    }
}

/// A schema to be registered.
#[derive(Clone, Debug)]
pub(crate) struct Artifact {
    /// The Singer stream, for what is said of it.
    pub(crate) stream: Box<str>,
    pub(super) id: String,
    pub(super) kind: ArtifactType,
    /// The schema, in a form that is the same whenever the schema is.
    pub(super) text: String,
}

impl Artifact {
    /// Fails with `Refused` where the name makes an id that no registry keeps.
    pub(super) fn new(
        prefix: &str,
        stream: &str,
        kind: ArtifactType,
        text: String,
    ) -> Result<Self, Error> {
        let id = encode_id(&format!("{prefix}{stream}"));
        if id.len() > MAX_ID_BYTES {
            let what = format!(
                "the id of the schema's artifact would have {} characters, and the registry takes {MAX_ID_BYTES}",
                id.len()
            );
            return Err(Error::new(Kind::Refused, what).stream(stream));
        }
        Ok(Self {
            stream: stream.into(),
            id,
            kind,
            text,
        })
    }

    /// The id, cut to what a log line holds.
    pub(super) fn short_id(&self) -> String {
        shorten(&self.id)
    }
}

/// The id for a name: the name itself where the registry takes it, so that what the Python target registered is found
/// again, and where no header or path loses a part of it, as they do of blanks at its ends and of dots. Else `=u=` and the name with `=HH` for each byte that an id cannot have.
fn encode_id(name: &str) -> String {
    let is_legal = |byte: u8| (byte.is_ascii_graphic() || byte == b' ') && byte != b'%';
    let is_lost_on_the_way = name.trim() != name || matches!(name, "" | "." | "..");
    if name.bytes().all(is_legal) && !is_lost_on_the_way && !name.starts_with(ENCODED) {
        return name.to_owned();
    }
    let mut id = ENCODED.to_owned();
    for byte in name.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' && byte != b'=' {
            id.push(byte.into());
        } else {
            write!(id, "={byte:02X}").expect("writing to memory cannot fail");
        }
    }
    id
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::testing::Random;

    #[test]
    fn a_legal_name_is_its_own_id() {
        for name in [
            "users",
            "public-users",
            "a b",
            "a/b?c#d:e",
            "=",
            "a=u=b",
            "A",
            "...",
        ] {
            assert_eq!(encode_id(name), name);
        }
    }

    #[test]
    fn other_names_are_encoded() {
        for (name, id) in [
            ("é", "=u==C3=A9"),
            ("50%", "=u=50=25"),
            ("a\nb=c", "=u=a=0Ab=3Dc"),
            ("=u=x", "=u==3Du=3Dx"),
            (" ", "=u==20"),
            ("a b ", "=u=a=20b=20"),
            ("..", "=u=.."),
        ] {
            assert_eq!(encode_id(name), id);
        }
    }

    #[test]
    fn ids_can_be_read_back_and_never_meet() {
        let decode = |id: &str| -> String {
            let Some(rest) = id.strip_prefix(ENCODED) else {
                return id.to_owned();
            };
            let mut parts = rest.split('=');
            let mut bytes = parts.next().unwrap().as_bytes().to_vec();
            for part in parts {
                bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
                bytes.extend(&part.as_bytes()[2..]);
            }
            String::from_utf8(bytes).unwrap()
        };
        let mut random = Random::new("artifact ids");
        let mut names = HashMap::new();
        for _ in 0..20_000 {
            let letters = ["=", "u", "é", "%", " ", "C3", "a"];
            let name: String = (0..random.below(6))
                .map(|_| letters[random.below(letters.len())])
                .collect();
            let id = encode_id(&name);
            assert!(id.is_ascii() && !id.contains('%') && !id.trim().is_empty());
            assert_eq!(decode(&id), name);
            assert_eq!(
                names
                    .insert(id, name.clone())
                    .unwrap_or_else(|| name.clone()),
                name
            );
        }
    }

    #[test]
    fn an_id_that_is_too_long_is_refused() {
        let make = |length: usize| {
            Artifact::new("p", &"x".repeat(length), ArtifactType::Json, String::new())
        };
        assert!(make(511).is_ok());
        assert_eq!(make(512).unwrap_err().kind(), Kind::Refused);
    }
}
