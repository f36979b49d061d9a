//! A BATCH message's manifest: which files, and how they are packed. It opens none of them.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::value::{fields, unescape};
use crate::error::{Error, Kind};

/// The files of one BATCH message, in order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) files: Vec<PathBuf>,
    pub(crate) gzip: bool,
}

impl Batch {
    /// Parses the `encoding` and `manifest` of a BATCH message. With a `root` (`batch_config.storage.root`)
    /// only the name of each file counts, and it is looked for there. Fails with [`Kind::Input`].
    pub(crate) fn parse(
        encoding: &str,
        manifest: &str,
        root: Option<&Path>,
    ) -> Result<Self, Error> {
        let mut format = None;
        let mut gzip = false;
        if !encoding.starts_with('{') {
            return Err(input("a BATCH encoding must be an object", "encoding"));
        }
        for (key, value) in fields(encoding) {
            match &*unescape(key) {
                "format" => format = Some(value),
                // Any other compression is read as none, as in the SDK.
                "compression" => gzip = value == "\"gzip\"",
                other => {
                    let field = format!("encoding.{other}");
                    return Err(input("unknown key in a BATCH encoding", &field));
                }
            }
        }
        if format != Some("\"jsonl\"") {
            return Err(input(
                "the only BATCH format that is read is jsonl",
                "encoding.format",
            ));
        }
        let files: Vec<Value> = serde_json::from_str(manifest)
            .map_err(|_| input("a BATCH manifest must be an array of file URLs", "manifest"))?;
        let files = files
            .iter()
            .map(|url| file_path(url.as_str().unwrap_or_default(), root))
            .collect::<Result<_, _>>()?;
        Ok(Self { files, gzip })
    }
}

/// The path that a manifest's entry names: `file:///abs` or `/abs`.
fn file_path(url: &str, root: Option<&Path>) -> Result<PathBuf, Error> {
    let path = Path::new(url.strip_prefix("file://").unwrap_or(url));
    match (root, path.file_name()) {
        (Some(root), Some(name)) => Ok(root.join(name)),
        (None, Some(_)) if path.is_absolute() => Ok(path.to_owned()),
        _ => Err(input(
            "a BATCH file must be given as file:///path or /path",
            "manifest",
        )),
    }
}

fn input(what: &str, field: &str) -> Error {
    Error::new(Kind::Input, what).field(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(
        encoding: &str,
        manifest: &str,
        root: Option<&str>,
        expected: Result<(&[&str], bool), &str>,
    ) {
        let batch = Batch::parse(encoding, manifest, root.map(Path::new));
        match (batch, expected) {
            (Ok(batch), Ok((files, gzip))) => {
                assert_eq!(
                    batch.files,
                    files.iter().map(PathBuf::from).collect::<Vec<_>>()
                );
                assert_eq!(batch.gzip, gzip);
            }
            (Err(error), Err(text)) => assert_eq!(error.to_string(), text),
            (batch, _) => panic!("{batch:?}"),
        }
    }

    #[test]
    fn manifests_name_local_files() {
        let plain = r#"{"format":"jsonl"}"#;
        let gzip = r#"{"format":"jsonl","compression":"gzip"}"#;
        check(
            plain,
            r#"["file:///a/b","/c"]"#,
            None,
            Ok((&["/a/b", "/c"], false)),
        );
        check(
            gzip,
            r#"["file:///a/b.gz"]"#,
            Some("/r"),
            Ok((&["/r/b.gz"], true)),
        );
        check(
            plain,
            r#"["s3://bucket/x/b"]"#,
            Some("/r"),
            Ok((&["/r/b"], false)),
        );
        check(plain, "[]", None, Ok((&[], false)));
    }

    #[test]
    fn bad_manifests_name_their_field() {
        let plain = r#"{"format":"jsonl"}"#;
        let no_file = "a BATCH file must be given as file:///path or /path (field manifest)";
        check(plain, r#"["a"]"#, None, Err(no_file));
        check(plain, r#"["s3://bucket/b"]"#, None, Err(no_file));
        check(plain, "[1]", None, Err(no_file));
        check(
            plain,
            "{}",
            None,
            Err("a BATCH manifest must be an array of file URLs (field manifest)"),
        );
        check(
            "1",
            "[]",
            None,
            Err("a BATCH encoding must be an object (field encoding)"),
        );
        let format = "the only BATCH format that is read is jsonl (field encoding.format)";
        check(r#"{"format":"parquet"}"#, "[]", None, Err(format));
        check("{}", "[]", None, Err(format));
        let unknown = r#"{"format":"jsonl","x":1}"#;
        check(
            unknown,
            "[]",
            None,
            Err("unknown key in a BATCH encoding (field encoding.x)"),
        );
    }
}
