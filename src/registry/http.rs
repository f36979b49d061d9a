//! HTTP, one call at a time: the only file that names `ureq`. It knows deadlines and proxies, and nothing of
//! registries; certificates are checked in `tls.rs`.
//!
//! What of `ureq` would hurt is set here (spec apicurio.md, 3.3): it has no time-outs of its own, follows redirects
//! (a POST becomes a GET that succeeds), turns a status into an error without its body, and reads a login in the URL
//! without decoding it.

use std::time::{Duration, Instant};

use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::{Agent, Proxy, ProxyProtocol};

use super::proxy::proxy_for;
use super::tls;
use crate::certificates::unread_key;
use crate::error::{Error, Kind};
use crate::secret::Secret;

/// A host that does not even accept the connection is tried again sooner.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// What the answers that we read have less of by far.
const MAX_BODY_BYTES: u64 = 16 * 1024 * 1024;
/// What an answer may ask for, as a time that can be added to any other.
const MOST_PATIENCE_SECONDS: u64 = 86_400;
/// More than the threads that register.
const IDLE_CONNECTIONS: usize = 16;

/// Makes calls to one base URL, over connections that are kept.
pub(super) struct Http {
    agent: Agent,
    /// The variable that names the proxy, where there is one.
    proxy: Option<&'static str>,
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

impl Reply {
    /// Where a redirect points, without a login or a query in it, which are nobody's business.
    pub(super) fn redirect_target(&self) -> String {
        let location = self.location.as_deref().unwrap_or_default();
        let location = location.split(['?', '#']).next().unwrap_or_default();
        match location.split_once("://") {
            Some((scheme, rest)) => {
                let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
                format!("{scheme}://{host}")
            }
            None => location.to_owned(),
        }
    }
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
        let named = proxy_for(url, &|name| std::env::var(name).ok());
        let variable = named.as_ref().map(|(variable, _)| *variable);
        let proxy = named
            .map(|(variable, address)| parse_proxy(variable, &address))
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
            proxy: variable,
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
        let mut response = outcome.map_err(|error| self.judge(&error))?;
        let text = |name: &str| {
            let value = response.headers().get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let seconds = text("retry-after").and_then(|text| text.trim().parse().ok());
        Ok(Reply {
            status: response.status().as_u16(),
            retry_after: seconds
                .map(|seconds: u64| Duration::from_secs(seconds.min(MOST_PATIENCE_SECONDS))),
            location: text("location"),
            content_type: text("content-type").unwrap_or_default(),
            // Read to its end, or the connection would not be used again.
            body: (response.body_mut().with_config().limit(MAX_BODY_BYTES))
                .read_to_vec()
                .map_err(|error| self.judge(&error))?,
        })
    }

    fn judge(&self, error: &ureq::Error) -> Failure {
        match (judge(error), self.proxy) {
            (Failure::Passing(why), Some(variable)) => {
                Failure::Passing(format!("{why} (by way of the proxy in {variable})"))
            }
            (failure, _) => failure,
        }
    }
}

fn judge(error: &ureq::Error) -> Failure {
    match error {
        ureq::Error::Rustls(rustls) => tls::judge(rustls),
        // A handshake's failure may come inside an error of reading.
        ureq::Error::Io(io) => match io.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(rustls) => tls::judge(rustls),
            None => Failure::Passing(io.to_string()),
        },
        ureq::Error::Tls(what) => {
            let what = format!("TLS with the server failed: {what}");
            Failure::Lasting(Error::new(Kind::Refused, what))
        }
        ureq::Error::Http(_) | ureq::Error::BadUri(_) => {
            // What it says may repeat a header's value.
            Failure::Lasting(Error::new(
                Kind::Config,
                "the request cannot be sent: an address or a login holds a character that HTTP does not allow",
            ))
        }
        ureq::Error::BodyExceedsLimit(_) => {
            Failure::Lasting(Error::new(Kind::Refused, "the answer is too long"))
        }
        ureq::Error::Timeout(_) => Failure::Passing("no answer came in time".to_owned()),
        ureq::Error::ConnectProxyFailed(reason) => judge_proxy(reason),
        other => Failure::Passing(other.to_string()),
    }
}

/// What a proxy's answer means, from the text that `ureq` makes of it: `proxy server responded 407/407`.
fn judge_proxy(reason: &str) -> Failure {
    let status = reason
        .strip_prefix("proxy server responded ")
        .and_then(|rest| rest.split('/').next()?.parse::<u16>().ok());
    let refused =
        |what: &str, hint: &str| Failure::Lasting(Error::new(Kind::Refused, what).cause(hint));
    match status {
        Some(407) => refused(
            "the proxy does not accept the login, or wants one",
            "user and password go into the proxy's URL in the environment, percent-encoded",
        ),
        Some(408 | 425 | 429) => Failure::Passing(format!("the proxy: {reason}")),
        Some(status @ 300..500) => refused(
            "the proxy does not connect us to the server",
            &format!("status {status}; NO_PROXY names the hosts that are asked without it"),
        ),
        _ => Failure::Passing(format!("the proxy: {reason}")),
    }
}

/// Fails where the proxy is none of HTTP: `ureq` would panic at one of SOCKS.
fn parse_proxy(variable: &str, address: &str) -> Result<Proxy, Error> {
    let proxy = Proxy::new(address).ok();
    let is_http =
        |proxy: &Proxy| matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https);
    proxy.filter(is_http).ok_or_else(|| {
        let what = format!("the proxy in {variable} cannot be used");
        Error::new(Kind::Config, what).cause("it is no URL of an HTTP proxy")
    })
}

fn tls_config(certificates: &Certificates<'_>) -> Result<TlsConfig, Error> {
    let owned = |der: &[u8]| Certificate::from_der(der).to_owned();
    let roots: Vec<_> = (tls::trusted(certificates.ca)?.iter())
        .map(|der| owned(der))
        .collect();
    let config = TlsConfig::builder().root_certs(if roots.is_empty() {
        // A container may have none of its own.
        RootCerts::WebPki
    } else {
        RootCerts::from(roots)
    });
    let Some((cert, key)) = certificates.own else {
        return Ok(config.build());
    };
    let chain = tls::own_chain(cert, key)?;
    let chain: Vec<_> = chain.iter().map(|der| owned(der)).collect();
    let key = PrivateKey::from_pem(key.expose().as_bytes()).map_err(|_| unread_key(tls::KEY))?;
    Ok(config
        .client_cert(Some(ClientCert::new_with_certs(&chain, key)))
        .build())
}
