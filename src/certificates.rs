//! Certificates and keys as settings give them, in PEM form, and what is wrong with ours or with a server's. It opens
//! no connection; NATS and the registry have settings of their own, whose names come in.

use std::fmt;

use rustls::CertificateError;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::{Error, Kind};
use crate::secret::Secret;

/// The certificates in the text of a setting, of which there must be one. Fails with `Config`.
pub(crate) fn parse_certificates(
    setting: &str,
    pem: &str,
) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let certificates =
        certificates.map_err(|_| config_error(setting, "a certificate in it is damaged"))?;
    if certificates.is_empty() {
        return Err(config_error(setting, "it holds no certificate in PEM form"));
    }
    Ok(certificates)
}

/// The private key in the text of a setting. Fails with `Config`.
pub(crate) fn parse_key(setting: &str, pem: &Secret) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_slice(pem.expose().as_bytes()).map_err(|_| unread_key(setting))
}

pub(crate) fn unread_key(setting: &str) -> Error {
    config_error(setting, "it holds no private key in PEM form")
}

/// What is wrong with our own certificate and its key, which these settings give.
pub(crate) fn pair_error(cert_setting: &str, key_setting: &str, error: &rustls::Error) -> Error {
    match error {
        rustls::Error::InconsistentKeys(_) => config_error(
            key_setting,
            format!("it is not the key of the certificate in {cert_setting}"),
        ),
        rustls::Error::InvalidCertificate(_) => config_error(cert_setting, error),
        // Its own words may quote the key.
        _ => config_error(key_setting, "it holds no key of a kind that is known"),
    }
}

pub(crate) fn config_error(setting: &str, why: impl fmt::Display) -> Error {
    Error::new(Kind::Config, format!("setting {setting} cannot be used")).cause(why)
}

/// What is wrong with a server's certificate, and what can be done about it. `name_hint` is that for a wrong name.
pub(crate) fn describe_certificate(
    why: &CertificateError,
    ca_setting: &str,
    name_hint: &str,
) -> (String, String) {
    match why {
        CertificateError::UnknownIssuer => (
            "the server's certificate comes from nobody who is trusted".to_owned(),
            format!("setting {ca_setting} names the certificates that are"),
        ),
        // What names it has instead is the server's to say, and may be any text.
        CertificateError::NotValidForNameContext { expected, .. } => (
            format!(
                "the server's certificate is not for '{}'",
                expected.to_str()
            ),
            name_hint.to_owned(),
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
            "the server's certificate has expired".to_owned(),
            "the server needs a new one".to_owned(),
        ),
        other => (
            "the server's certificate is not valid".to_owned(),
            other.to_string(),
        ),
    }
}
