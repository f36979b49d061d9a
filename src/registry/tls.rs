//! Certificates for calls to a registry, and what a failure of TLS means. It opens no connection.
//!
//! Everything is checked here: a key that is not its certificate's would be a panic of `ureq` at the first call, and
//! certificates that cannot be read it would leave out.

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, CertificateError, RootCertStore};

use super::http::Failure;
use crate::error::{Error, Kind};
use crate::secret::Secret;

/// The certificates that a server's may come from. None where those that are bundled must serve.
pub(super) fn trusted(ca: Option<&str>) -> Result<Vec<CertificateDer<'static>>, Error> {
    let Some(pem) = ca else {
        return Ok(rustls_native_certs::load_native_certs().certs);
    };
    let certificates = parse_certificates("schema_registry_ca", pem)?;
    let mut store = RootCertStore::empty();
    for certificate in &certificates {
        store
            .add(certificate.clone())
            .map_err(|error| config_error("schema_registry_ca", &error.to_string()))?;
    }
    Ok(certificates)
}

/// Our own certificate, with those that it comes from. Fails where the key is not its own.
pub(super) fn own_chain(cert: &str, key: &Secret) -> Result<Vec<CertificateDer<'static>>, Error> {
    let chain = parse_certificates("schema_registry_cert", cert)?;
    let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes()).map_err(|_| unread_key())?;
    let provider = ring::default_provider();
    CertifiedKey::from_der(chain.clone(), key, &provider).map_err(|error| {
        match error {
            rustls::Error::InconsistentKeys(_) => config_error(
                "schema_registry_key",
                "it is not the key of the certificate in schema_registry_cert",
            ),
            rustls::Error::InvalidCertificate(_) => {
                config_error("schema_registry_cert", &error.to_string())
            }
            // Its own words may quote the key.
            _ => config_error(
                "schema_registry_key",
                "it holds no key of a kind that is known",
            ),
        }
    })?;
    Ok(chain)
}

pub(super) fn unread_key() -> Error {
    config_error("schema_registry_key", "it holds no private key in PEM form")
}

/// What a failure of TLS means.
pub(super) fn judge(error: &rustls::Error) -> Failure {
    let lasting = |what: &str, hint: &str| {
        Failure::Lasting(Error::new(Kind::Refused, format!("TLS: {what}")).cause(hint))
    };
    match error {
        rustls::Error::InvalidCertificate(why) => match why {
            CertificateError::UnknownIssuer => lasting(
                "the server's certificate comes from nobody who is trusted",
                "setting schema_registry_ca names the certificates that are",
            ),
            // What names it has instead is the server's to say, and may be any text.
            CertificateError::NotValidForNameContext { expected, .. } => lasting(
                &format!(
                    "the server's certificate is not for '{}'",
                    expected.to_str()
                ),
                "the address must have a name that the certificate is for",
            ),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => lasting(
                "the server's certificate has expired",
                "the server needs a new one",
            ),
            other => lasting("the server's certificate is not valid", &other.to_string()),
        },
        rustls::Error::AlertReceived(
            alert @ (AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::AccessDenied
            | AlertDescription::HandshakeFailure),
        ) => lasting(
            "the server does not take our certificate, or wants one (settings schema_registry_cert and schema_registry_key)",
            &format!("{alert:?}"),
        ),
        rustls::Error::InvalidMessage(_) => lasting(
            "the server does not speak TLS here",
            "is it an http:// address?",
        ),
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)
        | rustls::Error::PeerIncompatible(_) => lasting(
            "the server speaks no version of it that we do",
            &error.to_string(),
        ),
        other => Failure::Passing(format!("TLS: {other}")),
    }
}

fn parse_certificates(setting: &str, pem: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let certificates =
        certificates.map_err(|_| config_error(setting, "a certificate in it is damaged"))?;
    if certificates.is_empty() {
        return Err(config_error(setting, "it holds no certificate in PEM form"));
    }
    Ok(certificates)
}

fn config_error(setting: &str, why: &str) -> Error {
    Error::new(Kind::Config, format!("setting {setting} cannot be used")).cause(why)
}
