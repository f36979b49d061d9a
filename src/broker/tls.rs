//! TLS as the settings want it: which certificates are trusted, who we are, and what a failure means. It opens no
//! connection.

use std::io;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore,
    SignatureScheme,
};

use crate::certificates::{
    config_error, describe_certificate, pair_error, parse_certificates, parse_key,
};
use crate::error::{Error, Kind};
use crate::settings::Tls;

/// How connections are encrypted.
pub(super) struct TlsPolicy {
    settings: Tls,
    /// Made at once where the settings speak of TLS, so that what is wrong with them is found; else only for a server
    /// that has TLS, since it takes milliseconds to read the system's certificates.
    config: OnceLock<Arc<ClientConfig>>,
    server_name: Option<ServerName<'static>>,
    /// The handshake comes before the server's INFO.
    pub(super) is_first: bool,
    /// The settings speak of TLS: a server without it is none that is meant.
    pub(super) is_asked_for: bool,
}

impl TlsPolicy {
    /// Fails with `Config` where a certificate or key cannot be used.
    pub(super) fn compile(tls: &Tls) -> Result<Self, Error> {
        let server_name = tls.server_name.clone().map(|name| {
            ServerName::try_from(name)
                .map_err(|_| config_error("tls_server_name", "it is no name of a server"))
        });
        let policy = Self {
            settings: tls.clone(),
            config: OnceLock::new(),
            server_name: server_name.transpose()?,
            is_first: tls.first,
            is_asked_for: tls.first
                || tls.insecure
                || tls.ca.is_some()
                || tls.cert.is_some()
                || tls.server_name.is_some(),
        };
        if policy.is_asked_for {
            policy.config()?;
        }
        Ok(policy)
    }

    fn config(&self) -> Result<Arc<ClientConfig>, Error> {
        if let Some(config) = self.config.get() {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(compile_config(&self.settings)?);
        Ok(Arc::clone(self.config.get_or_init(|| config)))
    }

    /// A session that has still to shake hands, with a server whose certificate must have this name.
    pub(super) fn session(&self, host: &str) -> Result<ClientConnection, Error> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.to_owned()).map_err(|_| {
                config_error(
                    "nats_url",
                    "no certificate can be for such a name of a server",
                )
            })?,
        };
        ClientConnection::new(self.config()?, name)
            .map_err(|error| Error::new(Kind::Internal, "TLS cannot be set up").cause(error))
    }
}

fn compile_config(tls: &Tls) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(Kind::Internal, "TLS cannot be set up").cause(error))?;
    let builder = if tls.insecure {
        log::warn!("certificates of NATS servers are not checked (setting tls_insecure)");
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unchecked(provider)))
    } else {
        builder.with_root_certificates(roots(tls)?)
    };
    let (Some(cert), Some(key)) = (&tls.cert, &tls.key) else {
        return Ok(builder.with_no_client_auth());
    };
    let key = parse_key("tls_key", key)?;
    builder
        .with_client_auth_cert(parse_certificates("tls_cert", cert)?, key)
        .map_err(|error| pair_error("tls_cert", "tls_key", &error))
}

fn roots(tls: &Tls) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    if let Some(ca) = &tls.ca {
        for certificate in parse_certificates("tls_ca", ca)? {
            let added = roots.add(certificate);
            added.map_err(|error| config_error("tls_ca", error))?;
        }
    } else {
        // A container may have none of its own.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    Ok(roots)
}

/// What a failure of TLS with a server means: `Refused` where another try would fail as well.
pub(super) fn describe_failure(server: &str, error: &rustls::Error) -> Error {
    let refused = |what: &str, hint: &str| {
        Error::new(Kind::Refused, format!("TLS with {server}: {what}")).cause(hint)
    };
    match error {
        rustls::Error::InvalidCertificate(why) => {
            let name_hint = "setting tls_server_name says which name is meant";
            let (what, hint) = describe_certificate(why, "tls_ca", name_hint);
            refused(&what, &hint)
        }
        rustls::Error::AlertReceived(
            alert @ (AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::AccessDenied
            | AlertDescription::HandshakeFailure),
        ) => refused(
            "the server does not take our certificate, or wants one (settings tls_cert and tls_key)",
            &format!("{alert:?}"),
        ),
        rustls::Error::InvalidMessage(_) => refused(
            "the server does not speak TLS here",
            "use nats://, or leave tls_first out",
        ),
        other => Error::new(Kind::Unavailable, format!("TLS with {server} failed")).cause(other),
    }
}

/// The failure of TLS inside an error of reading or writing, if that is what it is.
pub(super) fn inner_failure(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// Takes any certificate, but whoever presents it must have its key.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
