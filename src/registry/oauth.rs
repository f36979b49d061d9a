//! Bearer tokens for client credentials: asked for once, kept until shortly before they expire, shared by all threads.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::dialect::encode;
use super::http::{Certificates, Failure, Http, Reply, Request};
use super::login::basic;
use crate::error::{Error, Kind};
use crate::secret::Secret;
use crate::settings::registry::{OAuth, Registry};

/// A token is renewed so long before it expires: what is under way must still be accepted.
const MARGIN: Duration = Duration::from_secs(30);
/// One that never expires is asked for again all the same.
const LONGEST_LIFE: Duration = Duration::from_hours(24);
/// For an answer that does not say how long its token lasts.
const DEFAULT_LIFE: Duration = Duration::from_mins(1);

/// Who asks for tokens, and the one that it has.
pub(super) struct Tokens {
    http: Http,
    oauth: OAuth,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    token: Option<Token>,
    /// Whether the endpoint wants the client in a header.
    wants_header: bool,
}

#[derive(Clone)]
struct Token {
    text: Secret,
    renew_at: Instant,
}

impl Tokens {
    /// Our certificate for the registry is not shown to the token endpoint, which may be somebody else.
    pub(super) fn new(oauth: &OAuth, registry: &Registry) -> Result<Self, Error> {
        let certificates = Certificates {
            ca: registry.ca.as_deref(),
            own: None,
        };
        Ok(Self {
            http: Http::new(&oauth.url, &certificates)?,
            oauth: oauth.clone(),
            known: Mutex::default(),
        })
    }

    /// A token that lasts for a while yet, and is not the one that was refused.
    pub(super) fn token(
        &self,
        refused: Option<&Secret>,
        deadline: Instant,
    ) -> Result<Secret, Failure> {
        // Held during the call: who comes meanwhile wants the same token.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = &known.token
            && Instant::now() < token.renew_at
            && refused != Some(&token.text)
        {
            return Ok(token.text.clone());
        }
        let token = self.ask(&mut known.wants_header, deadline)?;
        known.token = Some(token.clone());
        Ok(token.text)
    }

    /// Sends the credentials in the form, and to a server that does not read them there, in a header.
    fn ask(&self, wants_header: &mut bool, deadline: Instant) -> Result<Token, Failure> {
        if !*wants_header {
            let reply = self.ask_by_form(deadline)?;
            if !is_client_unknown(&reply) {
                return read_token(&reply);
            }
        }
        let token = read_token(&self.ask_by_header(deadline)?)?;
        *wants_header = true;
        Ok(token)
    }

    fn ask_by_form(&self, deadline: Instant) -> Result<Reply, Failure> {
        let form = format!(
            "{}&client_id={}&client_secret={}",
            self.form(),
            encode(&self.oauth.client_id),
            encode(self.oauth.client_secret.expose())
        );
        self.post(&form, &[], deadline)
    }

    fn ask_by_header(&self, deadline: Instant) -> Result<Reply, Failure> {
        // RFC 6749, 2.3.1: both are form-encoded first.
        let secret = Secret::new(encode(self.oauth.client_secret.expose()));
        let login = basic(&encode(&self.oauth.client_id), &secret);
        self.post(&self.form(), &[("Authorization", login.expose())], deadline)
    }

    fn form(&self) -> String {
        let scope = self.oauth.scope.as_ref();
        let scope = scope.map(|scope| format!("&scope={}", encode(scope)));
        "grant_type=client_credentials".to_owned() + &scope.unwrap_or_default()
    }

    fn post(
        &self,
        form: &str,
        headers: &[(&str, &str)],
        deadline: Instant,
    ) -> Result<Reply, Failure> {
        let request = Request {
            url: &self.oauth.url,
            headers,
            body: Some(("application/x-www-form-urlencoded", form.as_bytes())),
        };
        self.http
            .call(&request, deadline)
            .map_err(|failure| match failure {
                Failure::Passing(why) => Failure::Passing(format!("the token endpoint: {why}")),
                Failure::Lasting(error) => Failure::Lasting(
                    Error::new(error.kind(), "the token endpoint cannot be asked").cause(error),
                ),
            })
    }
}

fn read_token(reply: &Reply) -> Result<Token, Failure> {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    if reply.status == 200
        && let Some(text) = body["access_token"].as_str()
    {
        let seconds = body["expires_in"].as_f64().filter(|seconds| *seconds > 0.0);
        let life = seconds
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .unwrap_or(DEFAULT_LIFE)
            .min(LONGEST_LIFE);
        return Ok(Token {
            text: Secret::new(text),
            // One that is short-lived is used for half its life.
            renew_at: Instant::now() + life.saturating_sub(MARGIN).max(life / 2),
        });
    }
    let status = reply.status;
    if matches!(status, 408 | 425 | 429 | 500..) {
        return Err(Failure::Passing(format!(
            "the token endpoint: status {status}"
        )));
    }
    if matches!(status, 301..=308) {
        let what = "the token endpoint redirects us (schema_registry_oauth_url)";
        let cause = format!("status {status}, to {}", reply.redirect_target());
        return Err(Failure::Lasting(
            Error::new(Kind::Refused, what).cause(cause),
        ));
    }
    let what =
        "the token endpoint gives no token for the client credentials (schema_registry_oauth_url)";
    // RFC 6749, 5.2: `error` is one of a few words. Nothing else of the body is repeated.
    let code = body["error"].as_str().unwrap_or("no token in the answer");
    let is_word = code.len() < 64
        && code
            .bytes()
            .all(|byte| byte.is_ascii_graphic() || byte == b' ');
    let code = if is_word { code } else { "an unknown error" };
    let cause = format!("status {status}, {code}");
    Err(Failure::Lasting(
        Error::new(Kind::Refused, what).cause(cause),
    ))
}

fn is_client_unknown(reply: &Reply) -> bool {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    reply.status == 401 || (reply.status == 400 && body["error"] == "invalid_client")
}
