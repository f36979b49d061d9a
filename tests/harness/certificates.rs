//! Certificates of a test's own: authorities, and what they sign for servers and clients.
//!
//! They are made anew for each test and kept in a folder that goes with it. What is wrong with a certificate,
//! such as its name or its age, is for the test to say.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

use super::TempDir;

/// Who signs certificates.
pub struct Authority {
    dir: TempDir,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, as texts and as files.
pub struct Certificate {
    pub cert: String,
    /// PKCS#8.
    pub key: String,
    key_der: Vec<u8>,
    cert_file: PathBuf,
    key_file: PathBuf,
    ca_file: PathBuf,
}

impl Authority {
    /// Two of them are strangers to each other if their names differ.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let dir = TempDir::new();
        fs::write(dir.path().join("ca.pem"), &pem).unwrap();
        Self {
            dir,
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// Its own certificate, which `tls_ca` takes.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The path of its own certificate.
    pub fn file(&self) -> String {
        self.dir.path().join("ca.pem").display().to_string()
    }

    /// For a server of this machine, by each of its names.
    pub fn server(&self) -> Certificate {
        self.server_named(&["127.0.0.1", "::1", "localhost"])
    }

    /// For a server of these names and addresses.
    pub fn server_named(&self, names: &[&str]) -> Certificate {
        self.sign("server", |params| name_server(params, names))
    }

    /// For a server of this machine, some years too late.
    pub fn expired_server(&self) -> Certificate {
        self.sign("expired", |params| {
            name_server(params, &["127.0.0.1", "localhost"]);
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        })
    }

    /// For a client.
    pub fn client(&self) -> Certificate {
        self.sign("client", |params| {
            params
                .distinguished_name
                .push(DnType::CommonName, "a client");
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        })
    }

    fn sign(&self, file: &str, describe: impl FnOnce(&mut CertificateParams)) -> Certificate {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::ExplicitNoCa;
        describe(&mut params);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap().pem();
        let path = |end: &str| self.dir.path().join(format!("{file}.{end}"));
        let (cert_file, key_file) = (path("pem"), path("key"));
        fs::write(&cert_file, &cert).unwrap();
        fs::write(&key_file, key.serialize_pem()).unwrap();
        Certificate {
            cert,
            key: key.serialize_pem(),
            key_der: key.serialize_der(),
            cert_file,
            key_file,
            ca_file: self.dir.path().join("ca.pem"),
        }
    }
}

fn name_server(params: &mut CertificateParams, names: &[&str]) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    params.subject_alt_names = CertificateParams::new(names).unwrap().subject_alt_names;
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        // Between the servers of a cluster either may be the client.
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
}

impl Certificate {
    /// The paths of the certificate and of its key.
    pub fn files(&self) -> (&Path, &Path) {
        (&self.cert_file, &self.key_file)
    }

    /// The `tls` block of a nats-server that has this certificate, with these further lines inside.
    pub fn tls(&self, more: &str) -> String {
        format!(
            "tls: {{cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\"\n{more}\n}}\n",
            self.cert_file.display(),
            self.key_file.display(),
            self.ca_file.display()
        )
    }

    /// A server's configuration that also takes a subscriber without TLS.
    pub fn lenient(&self) -> String {
        format!("{}allow_non_tls: true\n", self.tls(""))
    }

    /// The key as SEC1 has it, which is what `openssl ecparam -genkey` prints.
    pub fn sec1(&self) -> String {
        // PKCS#8 ends with it: an OCTET STRING of less than 256 bytes whose content is a SEQUENCE of version 1.
        let mark = [0x02, 0x01, 0x01, 0x04, 0x20];
        let at = self
            .key_der
            .windows(mark.len())
            .position(|bytes| bytes == mark);
        let content = &self.key_der[at.expect("a P-256 key")..];
        let length = u8::try_from(content.len()).unwrap();
        assert!(length < 128, "the short form of a length");
        let der = [&[0x30, length], content].concat();
        format!(
            "-----BEGIN EC PRIVATE KEY-----\n{}\n-----END EC PRIVATE KEY-----\n",
            base64(&der)
        )
    }
}

/// With padding.
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut group = [0; 3];
        group[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit)) & 63;
            let is_there = digit <= chunk.len();
            text.push(if is_there {
                char::from(DIGITS[index as usize])
            } else {
                '='
            });
        }
    }
    text
}
