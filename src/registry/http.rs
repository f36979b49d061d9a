//! HTTP, one call at a time: the only file that names `ureq`. It knows deadlines, certificates and proxies, and
//! nothing of registries.
//!
//! What of `ureq` would hurt is set here (spec apicurio.md, 3.3): it has no time-outs of its own, follows redirects
//! (a POST becomes a GET that succeeds), turns a status into an error without its body, and reads a login in the URL
//! without decoding it.

use std::time::{Duration, Instant};

use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Proxy};

use super::proxy::proxy_for;
use crate::error::{Error, Kind};
use crate::secret::Secret;

/// A host that does not even accept the connection is tried again sooner.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// What the answers that we read have less of by far.
const MAX_BODY_BYTES: u64 = 16 * 1024 * 1024;
/// More than the threads that register.
const IDLE_CONNECTIONS: usize = 16;

/// Makes calls to one base URL, over connections that are kept.
pub(super) struct Http {
    agent: Agent,
}

/// Whom we trust, and who we are, all in PEM form.
#[derive(Default)]
pub(super) struct Certificates<'a> {
    pub(super) ca: Option<&'a str>,
    pub(super) own: Option<(&'a str, &'a Secret)>,
}

/// What is sent. A header may hold a secret, so it has no `Debug`.
pub(super) struct Request<'a> {
    /// With everything in it percent-encoded.
    pub(super) url: &'a str,
    pub(super) headers: &'a [(&'a str, &'a str)],
    /// Content type and content of a POST; without it, the request is a GET.
    pub(super) body: Option<(&'a str, &'a [u8])>,
}

/// What came back, whatever its status.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// Where the answer asks for patience: the seconds of `Retry-After`.
    pub(super) retry_after: Option<Duration>,
    /// Where a redirect points.
    pub(super) location: Option<String>,
    pub(super) content_type: String,
    pub(super) body: Vec<u8>,
}

/// Why no answer came.
#[derive(Debug)]
pub(super) enum Failure {
    /// The next try may do better.
    Passing(String),
    Lasting(Error),
}

impl Http {
    /// An agent for calls to this URL. Fails with `Config` where a certificate or the proxy cannot be used.
    pub(super) fn new(url: &str, certificates: &Certificates<'_>) -> Result<Self, Error> {
        let is_https = url.starts_with("https:");
        let proxy = proxy_for(url, &|name| std::env::var(name).ok())
            .map(|(variable, address)| {
                Proxy::new(&address).map_err(|_| {
                    let what = format!("the proxy in {variable} cannot be used");
                    Error::new(Kind::Config, what).cause("it is no URL of an HTTP proxy")
                })
            })
            .transpose()?;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(proxy)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .max_idle_connections(IDLE_CONNECTIONS)
            .max_idle_connections_per_host(IDLE_CONNECTIONS)
            .user_agent(concat!("target-nats/", env!("CARGO_PKG_VERSION")));
        let config = if is_https {
            config.tls_config(tls_config(certificates)?)
        } else {
            config
        };
        Ok(Self {
            agent: config.build().new_agent(),
        })
    }

    /// Sends a request, and reads the answer to its end, within the time.
    pub(super) fn call(&self, request: &Request<'_>, deadline: Instant) -> Result<Reply, Failure> {
        let timeout = deadline.saturating_duration_since(Instant::now());
        if timeout.is_zero() {
            return Err(Failure::Passing("no time is left".to_owned()));
        }
        let headers = request.headers.iter();
        let outcome = match request.body {
            None => {
                let get = self.agent.get(request.url).config();
                let get = get.timeout_global(Some(timeout)).build();
                headers
                    .fold(get, |get, (name, value)| get.header(*name, *value))
                    .call()
            }
            Some((content_type, body)) => {
                let post = self.agent.post(request.url).config();
                let post = post.timeout_global(Some(timeout)).build();
                headers
                    .fold(post, |post, (name, value)| post.header(*name, *value))
                    .content_type(content_type)
                    .send(body)
            }
        };
        let mut response = outcome.map_err(|error| judge(&error))?;
        let text = |name: &str| {
            let value = response.headers().get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let seconds = text("retry-after").and_then(|text| text.trim().parse().ok());
        Ok(Reply {
            status: response.status().as_u16(),
            retry_after: seconds.map(Duration::from_secs),
            location: text("location"),
            content_type: text("content-type").unwrap_or_default(),
            // Read to its end, or the connection would not be used again.
            body: (response.body_mut().with_config().limit(MAX_BODY_BYTES))
                .read_to_vec()
                .map_err(|error| judge(&error))?,
        })
    }
}

fn judge(error: &ureq::Error) -> Failure {
    let lasting = |what: &str| Failure::Lasting(Error::new(Kind::Refused, what).cause(error));
    match error {
        ureq::Error::Rustls(rustls) => lasting(describe_tls(rustls)),
        // A handshake's failure may come inside an error of reading.
        ureq::Error::Io(io) => match io.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(rustls) => lasting(describe_tls(rustls)),
            None => Failure::Passing(io.to_string()),
        },
        ureq::Error::Tls(_) => lasting("TLS with the server failed"),
        ureq::Error::Http(_) | ureq::Error::BadUri(_) => {
            // What it says may repeat a header's value.
            Failure::Lasting(Error::new(
                Kind::Config,
                "the request cannot be sent: an address or a login holds a character that HTTP does not allow",
            ))
        }
        ureq::Error::BodyExceedsLimit(_) => lasting("the answer is too long"),
        ureq::Error::Timeout(_) => Failure::Passing("no answer came in time".to_owned()),
        ureq::Error::ConnectProxyFailed(_) => Failure::Passing(format!("the proxy: {error}")),
        other => Failure::Passing(other.to_string()),
    }
}

fn describe_tls(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer) => {
            "the server's certificate comes from nobody who is trusted (setting schema_registry_ca names the certificates that are)"
        }
        rustls::Error::InvalidCertificate(_) => "the server's certificate is not valid",
        rustls::Error::AlertReceived(_) => {
            "the server ended TLS; it may want a certificate (settings schema_registry_cert and schema_registry_key)"
        }
        _ => "TLS with the server failed",
    }
}

fn tls_config(certificates: &Certificates<'_>) -> Result<TlsConfig, Error> {
    let roots = match certificates.ca {
        Some(pem) => parse_certificates("schema_registry_ca", pem)?,
        // A container may have none of its own: then those that are bundled serve.
        None => rustls_native_certs::load_native_certs()
            .certs
            .iter()
            .map(|certificate| Certificate::from_der(certificate).to_owned())
            .collect(),
    };
    let config = TlsConfig::builder().root_certs(if roots.is_empty() {
        RootCerts::WebPki
    } else {
        RootCerts::from(roots)
    });
    let Some((cert, key)) = certificates.own else {
        return Ok(config.build());
    };
    let chain = parse_certificates("schema_registry_cert", cert)?;
    let key = PrivateKey::from_pem(key.expose().as_bytes())
        .map_err(|_| config_error("schema_registry_key", "it holds no private key in PEM form"))?;
    Ok(config
        .client_cert(Some(ClientCert::new_with_certs(&chain, key)))
        .build())
}

fn parse_certificates(setting: &str, pem: &str) -> Result<Vec<Certificate<'static>>, Error> {
    let mut certificates = Vec::new();
    for item in parse_pem(pem.as_bytes()) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(_) => return Err(config_error(setting, "a certificate in it is damaged")),
        }
    }
    if certificates.is_empty() {
        return Err(config_error(setting, "it holds no certificate in PEM form"));
    }
    Ok(certificates)
}

fn config_error(setting: &str, why: &str) -> Error {
    Error::new(Kind::Config, format!("setting {setting} cannot be used")).cause(why)
}
