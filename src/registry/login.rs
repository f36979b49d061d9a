//! How each request shows who we are: `Authorization`, sent at once, since the registry does not ask for it (spec
//! apicurio.md, 3.1).

use std::time::Instant;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::http::Failure;
use super::oauth::Tokens;
use crate::error::Error;
use crate::secret::Secret;
use crate::settings::registry::{Registry, RegistryLogin};

/// Our login, in the form in which it is sent.
pub(super) enum Login {
    None,
    /// The header's value, always the same.
    Fixed(Secret),
    OAuth(Tokens),
}

impl Login {
    pub(super) fn new(registry: &Registry) -> Result<Self, Error> {
        Ok(match &registry.login {
            RegistryLogin::None => Self::None,
            RegistryLogin::Basic { user, password } => Self::Fixed(basic(user, password)),
            RegistryLogin::Bearer(token) => Self::Fixed(bearer(token)),
            RegistryLogin::OAuth(oauth) => Self::OAuth(Tokens::new(oauth, registry)?),
        })
    }

    /// The value of `Authorization`, where there is one.
    pub(super) fn header(&self, deadline: Instant) -> Result<Option<Secret>, Failure> {
        match self {
            Self::None => Ok(None),
            Self::Fixed(value) => Ok(Some(value.clone())),
            Self::OAuth(tokens) => tokens
                .token(None, deadline)
                .map(|token| Some(bearer(&token))),
        }
    }

    /// Another value after this one was refused, where there can be one.
    pub(super) fn renew(
        &self,
        refused: &Secret,
        deadline: Instant,
    ) -> Result<Option<Secret>, Failure> {
        let Self::OAuth(tokens) = self else {
            return Ok(None);
        };
        let token = refused.expose().strip_prefix(BEARER).unwrap_or_default();
        let token = tokens.token(Some(&Secret::new(token)), deadline)?;
        Ok(Some(bearer(&token)))
    }
}

/// A login as `--check` tells it.
pub(super) fn describe_login(login: &RegistryLogin) -> String {
    match login {
        RegistryLogin::None => "none".to_owned(),
        RegistryLogin::Basic { user, .. } => format!("user '{user}'"),
        RegistryLogin::Bearer(_) => "a bearer token".to_owned(),
        RegistryLogin::OAuth(oauth) => format!("client '{}' by OAuth", oauth.client_id),
    }
}

const BEARER: &str = "Bearer ";

fn bearer(token: &Secret) -> Secret {
    Secret::new(format!("{BEARER}{}", token.expose()))
}

pub(super) fn basic(user: &str, password: &Secret) -> Secret {
    let login = format!("{user}:{}", password.expose());
    Secret::new(format!("Basic {}", BASE64_STANDARD.encode(login)))
}
