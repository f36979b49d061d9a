//! A provider of `OpenID` for a registry with OAuth logins: it tells of itself, and gives signed tokens to one client.
//!
//! There are no users here and nothing to refresh: client credentials only, by form or by Basic. The tokens are real
//! ones, which a registry checks; `tests/readers/tokens.py` signs them.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::certificates::{Certificate, base64};
use super::operator::now;
use super::readers::{python, script};
use super::{Answer, Clients, Request, ScriptedHttp};

/// What the client must say.
pub const CLIENT_ID: &str = "a client";
/// In a form and in Basic this is encoded in different ways.
pub const CLIENT_SECRET: &str = "s3cret&%:+é";

/// All copies are the same provider.
#[derive(Clone)]
pub struct IdentityProvider {
    server: Arc<ScriptedHttp>,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    signer: Signer,
    /// Of the tokens to come, in seconds.
    lifetime: i64,
    role: &'static str,
    given: usize,
    /// Instead of the next tokens.
    answers: Vec<Answer>,
}

impl IdentityProvider {
    pub fn start() -> Self {
        Self::with(|inner| ScriptedHttp::judging(judge(inner, "http")))
    }

    pub fn over_tls(certificate: &Certificate, clients: &Clients) -> Self {
        Self::with(|inner| ScriptedHttp::over_tls(certificate, clients, judge(inner, "https")))
    }

    fn with(serve: impl FnOnce(Arc<Mutex<Inner>>) -> ScriptedHttp) -> Self {
        let inner = Arc::new(Mutex::new(Inner {
            signer: Signer::start(),
            lifetime: 300,
            role: "sr-developer",
            given: 0,
            answers: Vec::new(),
        }));
        Self {
            server: Arc::new(serve(Arc::clone(&inner))),
            inner,
        }
    }

    /// The issuer.
    pub fn url(&self) -> String {
        self.server.root_url()
    }

    /// Where tokens are given.
    pub fn token_url(&self) -> String {
        self.url() + "/token"
    }

    /// The tokens to come are good for so many seconds.
    pub fn set_lifetime(&self, seconds: i64) {
        self.inner.lock().unwrap().lifetime = seconds;
    }

    /// The tokens to come give this role in the registry.
    pub fn set_role(&self, role: &'static str) {
        self.inner.lock().unwrap().role = role;
    }

    /// Says this to the next who ask for a token.
    pub fn answer_next(&self, answers: impl IntoIterator<Item = Answer>) {
        let mut answers: Vec<Answer> = answers.into_iter().collect();
        answers.reverse();
        self.inner.lock().unwrap().answers = answers;
    }

    /// A token as the client would get it.
    pub fn token(&self, role: &str, seconds: i64) -> String {
        let claims = claims(&self.url(), role, seconds);
        self.inner.lock().unwrap().signer.sign(&claims)
    }

    /// How many tokens clients were given.
    pub fn given(&self) -> usize {
        self.inner.lock().unwrap().given
    }

    /// The requests for tokens.
    pub fn requests(&self) -> Vec<Request> {
        let mut requests = self.server.requests();
        requests.retain(|request| request.path.starts_with("/token"));
        requests
    }
}

fn claims(issuer: &str, role: &str, seconds: i64) -> Value {
    json!({
        "iss": issuer, "aud": "registry-api", "sub": CLIENT_ID, "preferred_username": CLIENT_ID,
        "azp": CLIENT_ID, "iat": now(), "exp": now() + seconds, "realm_access": {"roles": [role]},
    })
}

fn judge(
    inner: Arc<Mutex<Inner>>,
    scheme: &str,
) -> impl FnMut(&Request) -> Answer + Send + 'static {
    let scheme = scheme.to_owned();
    move |request| {
        let mut inner = inner.lock().unwrap();
        let issuer = format!("{scheme}://{}", request.header("host").unwrap_or_default());
        let path = request.path.trim_end_matches('/');
        match path {
            "/.well-known/openid-configuration" => Answer::json(
                200,
                &json!({
                    "issuer": issuer,
                    "authorization_endpoint": format!("{issuer}/authorize"),
                    "token_endpoint": format!("{issuer}/token"),
                    "jwks_uri": format!("{issuer}/keys"),
                }),
            ),
            "/keys" => Answer::json(200, &inner.signer.keys),
            "/token" => give_token(&mut inner, request, &issuer),
            _ => Answer::status(404),
        }
    }
}

fn give_token(inner: &mut Inner, request: &Request, issuer: &str) -> Answer {
    if let Some(answer) = inner.answers.pop() {
        return answer;
    }
    let form = request.text();
    let field = |name: &str| {
        let found = form.split('&').filter_map(|field| field.split_once('='));
        let found = found
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value);
        found.map(form_decoded).next().unwrap_or_default()
    };
    if request.method != "POST" || field("grant_type") != "client_credentials" {
        return Answer::json(400, &json!({"error": "unsupported_grant_type"}));
    }
    let by_form = field("client_id") == CLIENT_ID && field("client_secret") == CLIENT_SECRET;
    let basic = base64(format!("{CLIENT_ID}:{CLIENT_SECRET}").as_bytes());
    let by_basic = request.header("authorization") == Some(&format!("Basic {basic}"));
    if !by_form && !by_basic {
        return Answer::json(401, &json!({"error": "invalid_client"}));
    }
    inner.given += 1;
    let token = inner
        .signer
        .sign(&claims(issuer, inner.role, inner.lifetime));
    Answer::json(
        200,
        &json!({"access_token": token, "token_type": "Bearer", "expires_in": inner.lifetime}),
    )
}

fn form_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next().unwrap_or(0), rest.next().unwrap_or(0)];
                let digits = std::str::from_utf8(&digits).unwrap_or_default();
                u8::from_str_radix(digits, 16).unwrap_or(b'%')
            }
            other => other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A process that signs, with a key of its own. It ends when its input does.
struct Signer {
    child: Child,
    output: BufReader<ChildStdout>,
    /// The public key, as the provider tells it.
    keys: Value,
}

impl Signer {
    fn start() -> Self {
        let mut child = Command::new(python())
            .arg(script("tokens.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python can be started");
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut signer = Self {
            child,
            output,
            keys: Value::Null,
        };
        signer.keys = serde_json::from_str(&signer.line()).expect("a set of keys");
        signer
    }

    fn sign(&mut self, claims: &Value) -> String {
        let input = self.child.stdin.as_mut().unwrap();
        writeln!(input, "{claims}").unwrap();
        self.line()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
