//! An operator with one account: a server's configuration that trusts it, and the credentials of its users.
//!
//! The JWTs are made here, as `nsc` would make them: claims in JSON, signed with the key of who is above.

use std::time::{SystemTime, UNIX_EPOCH};

use nkeys::KeyPair;
use serde_json::{Value, json};

pub struct Operator {
    operator: KeyPair,
    account: KeyPair,
}

/// What the `.creds` file of a user holds.
pub struct UserCredentials {
    pub jwt: String,
    pub seed: String,
}

impl Operator {
    pub fn new() -> Self {
        Self {
            operator: KeyPair::new_operator(),
            account: KeyPair::new_account(),
        }
    }

    /// A server's configuration that knows the account.
    pub fn config(&self) -> String {
        let operator = sign(
            &self.operator,
            &self.operator.public_key(),
            None,
            &json!({"type": "operator", "version": 2}),
        );
        let everything = json!({
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
            "conn": -1, "leaf": -1,
        });
        let account = sign(
            &self.operator,
            &self.account.public_key(),
            None,
            &json!({"type": "account", "version": 2, "limits": everything}),
        );
        let name = self.account.public_key();
        format!(
            "operator: {operator}\nresolver: MEMORY\nresolver_preload: {{ {name}: {account} }}\n"
        )
    }

    /// The JWT of a user who needs no key to log in with it.
    pub fn bearer(&self) -> String {
        let claims = json!({
            "type": "user", "version": 2, "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1,
            "bearer_token": true,
        });
        sign(
            &self.account,
            &KeyPair::new_user().public_key(),
            None,
            &claims,
        )
    }

    /// A new user, whose JWT expires so many seconds from now; it may be in the past.
    pub fn user(&self, expires_in: Option<i64>) -> UserCredentials {
        let key = KeyPair::new_user();
        let claims = json!({
            "type": "user", "version": 2, "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1,
        });
        let expiry = expires_in.map(|seconds| now() + seconds);
        UserCredentials {
            jwt: sign(&self.account, &key.public_key(), expiry, &claims),
            seed: key.seed().unwrap(),
        }
    }
}

impl UserCredentials {
    /// As `nsc` writes them into a file.
    pub fn text(&self) -> String {
        let Self { jwt, seed } = self;
        format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             ************************* IMPORTANT *************************\n\
             NKEY Seed printed below can be used to sign and prove identity.\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    }
}

/// Unix seconds.
pub(super) fn now() -> i64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(time.as_secs()).unwrap()
}

fn sign(issuer: &KeyPair, subject: &str, expiry: Option<i64>, nats: &Value) -> String {
    sign_for(issuer, subject, None, expiry, nats)
}

/// A JWT that is meant for this audience.
pub(super) fn sign_for(
    issuer: &KeyPair,
    subject: &str,
    audience: Option<&str>,
    expiry: Option<i64>,
    nats: &Value,
) -> String {
    let mut claims = json!({
        "jti": subject, "iat": now() - 3600, "iss": issuer.public_key(), "sub": subject, "nats": nats,
    });
    if let Some(audience) = audience {
        claims["aud"] = audience.into();
    }
    if let Some(expiry) = expiry {
        claims["exp"] = expiry.into();
    }
    let header = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let signed = format!(
        "{}.{}",
        base64_url(header.to_string().as_bytes()),
        base64_url(claims.to_string().as_bytes())
    );
    let signature = issuer.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", base64_url(&signature))
}

/// Without padding.
fn base64_url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut bits = 0;
        for index in 0..3 {
            bits = bits << 8 | usize::from(chunk.get(index).copied().unwrap_or(0));
        }
        for place in 0..=chunk.len() {
            text.push(char::from(ALPHABET[bits >> (18 - 6 * place) & 63]));
        }
    }
    text
}
