//! Certificates for calls to a registry, and what a failure of TLS means. It opens no connection.
//!
//! Everything is checked here: a key that is not its certificate's would be a panic of `ureq` at the first call, and
//! certificates that cannot be read it would leave out.

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, RootCertStore};

use super::http::Failure;
use crate::certificates::{
    config_error, describe_certificate, pair_error, parse_certificates, parse_key,
};
use crate::error::{Error, Kind};
use crate::secret::Secret;

const CA: &str = "schema_registry_ca";
const CERT: &str = "schema_registry_cert";
pub(super) const KEY: &str = "schema_registry_key";

/// The certificates that a server's may come from. None where those that are bundled must serve.
pub(super) fn trusted(ca: Option<&str>) -> Result<Vec<CertificateDer<'static>>, Error> {
    let Some(pem) = ca else {
        return Ok(rustls_native_certs::load_native_certs().certs);
    };
    let certificates = parse_certificates(CA, pem)?;
    let mut store = RootCertStore::empty();
    for certificate in &certificates {
        store
            .add(certificate.clone())
            .map_err(|error| config_error(CA, error))?;
    }
    Ok(certificates)
}

/// Our own certificate, with those that it comes from. Fails where the key is not its own.
pub(super) fn own_chain(cert: &str, key: &Secret) -> Result<Vec<CertificateDer<'static>>, Error> {
    let chain = parse_certificates(CERT, cert)?;
    let key = parse_key(KEY, key)?;
    let provider = ring::default_provider();
    CertifiedKey::from_der(chain.clone(), key, &provider)
        .map_err(|error| pair_error(CERT, KEY, &error))?;
    Ok(chain)
}

/// What a failure of TLS means.
pub(super) fn judge(error: &rustls::Error) -> Failure {
    let lasting = |what: &str, hint: &str| {
        Failure::Lasting(Error::new(Kind::Refused, format!("TLS: {what}")).cause(hint))
    };
    match error {
        rustls::Error::InvalidCertificate(why) => {
            let name_hint = "the address must have a name that the certificate is for";
            let (what, hint) = describe_certificate(why, CA, name_hint);
            lasting(&what, &hint)
        }
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
