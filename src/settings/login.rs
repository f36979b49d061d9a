//! The login that settings give: its parts, what a credentials file and a seed are, and that there is one.
//!
//! It reads no file. An error repeats no part of what it was given: a secret may stand anywhere in it.

use nkeys::KeyPair;

use super::address::{Login, ServerAddress};
use crate::secret::Secret;

/// The parts of a login as the table's rows set them.
#[derive(Debug, Default)]
pub(crate) struct LoginDraft {
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) token: Option<Secret>,
    pub(super) nkey_seed: Option<Secret>,
    pub(super) credentials: Option<Credentials>,
}

/// What a `.creds` file holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    jwt: Secret,
    seed: Secret,
}

impl LoginDraft {
    /// Gives every server its login. Fails where there are several kinds of login, or half a one.
    pub(super) fn finish(self, servers: &mut [ServerAddress]) -> Result<(), String> {
        let Self {
            user,
            password,
            token,
            nkey_seed,
            credentials,
        } = self;
        let mut kinds = Vec::new();
        if servers.iter().any(|server| server.login != Login::None) {
            kinds.push("a login in nats_url");
        }
        if user.is_some() || password.is_some() {
            kinds.push("nats_user with nats_password");
        }
        let others = [
            (token.is_some(), "nats_token"),
            (nkey_seed.is_some(), "nats_nkey_seed"),
            (credentials.is_some(), "nats_credentials"),
        ];
        kinds.extend(
            others
                .into_iter()
                .filter_map(|(given, kind)| given.then_some(kind)),
        );
        if kinds.len() > 1 {
            return Err(format!(
                "only one kind of login can be used, and there are {}: {}",
                kinds.len(),
                kinds.join(", ")
            ));
        }
        let login = match (user, password) {
            (Some(name), Some(password)) => Login::User { name, password },
            (Some(_), None) => return Err("nats_user needs nats_password".to_owned()),
            (None, Some(_)) => return Err("nats_password needs nats_user".to_owned()),
            (None, None) => match (token, nkey_seed, credentials) {
                (Some(token), _, _) => Login::Token(token),
                (_, Some(seed), _) => Login::Nkey(seed),
                (_, _, Some(Credentials { jwt, seed })) => Login::Credentials { jwt, seed },
                _ => return Ok(()),
            },
        };
        for server in servers {
            server.login = login.clone();
        }
        Ok(())
    }
}

/// The text of a `.creds` file. The error completes a sentence that begins with the setting's name.
pub(super) fn parse_credentials(text: &str) -> Result<Credentials, String> {
    let jwt = block(text, "JWT").ok_or(
        "has no user JWT: it must be the text of a .creds file, with a line \
         '-----BEGIN NATS USER JWT-----' and one '-----BEGIN USER NKEY SEED-----'",
    )?;
    if !is_jwt(jwt) {
        return Err("holds a user JWT that is damaged or incomplete".to_owned());
    }
    let seed = block(text, "SEED").ok_or("has no user seed behind the user JWT")?;
    Ok(Credentials {
        jwt: Secret::new(jwt),
        seed: check_user_seed(seed).map_err(|what| format!("holds a seed that {what}"))?,
    })
}

/// A user's seed, alone or as a block of a file. The error completes a sentence that begins with the
/// setting's name.
pub(super) fn parse_user_seed(text: &str) -> Result<Secret, String> {
    check_user_seed(block(text, "SEED").unwrap_or(text.trim()))
}

/// The line behind the one that says BEGIN and `name` between dashes.
fn block<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.find(|line| {
        let title = line.trim_matches('-').trim();
        line.starts_with("---")
            && line.ends_with("---")
            && title.starts_with("BEGIN")
            && title.ends_with(name)
    })?;
    lines.next().filter(|line| !line.starts_with('-'))
}

/// Three parts of base64 for URLs.
fn is_jwt(text: &str) -> bool {
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    text.split('.').count() == 3
        && text
            .split('.')
            .all(|part| !part.is_empty() && part.bytes().all(is_base64))
}

fn check_user_seed(text: &str) -> Result<Secret, String> {
    let wrong = |what: &str| Err(format!("{what}, and a user's seed begins with SU"));
    match text.as_bytes() {
        [b'S', b'U', ..] => {}
        [b'S', b'A', ..] => return wrong("is an account's seed"),
        [b'S', b'O', ..] => return wrong("is an operator's seed"),
        [b'S', b'N', ..] => return wrong("is a server's seed"),
        [b'S', b'C', ..] => return wrong("is a cluster's seed"),
        [b'S', b'X', ..] => return wrong("is a curve key's seed"),
        [b'U', ..] if text.len() == SEED_LENGTH - 2 => return wrong("is a user's public key"),
        _ => return wrong("is no seed of an nkey"),
    }
    match KeyPair::from_seed(text) {
        Ok(_) => Ok(Secret::new(text)),
        Err(_) if text.len() != SEED_LENGTH => Err(format!(
            "has {} characters, where a user's seed has {SEED_LENGTH}",
            text.chars().count()
        )),
        Err(_) => Err("is mistyped: its check sum is wrong".to_owned()),
    }
}

/// Prefix, kind, key and check sum in base32.
const SEED_LENGTH: usize = 58;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    const SEED: &str = "SUANQDPB2RUOE4ETUA26CNX7FUKE5ZZKFCQIIW63OX225F2CO7UEXTM7ZY";

    #[track_caller]
    fn check_seed(text: &str, expected: Result<&str, &str>) {
        let seed = parse_user_seed(text);
        let seed = seed.as_ref().map(Secret::expose).map_err(String::as_str);
        assert_eq!(seed, expected, "{text:?}");
    }

    #[test]
    fn seeds_are_a_users_and_whole() {
        check_seed(SEED, Ok(SEED));
        check_seed(&format!(" {SEED}\r\n"), Ok(SEED));
        let block = format!("---BEGIN USER NKEY SEED---\n\n {SEED} \n---END---");
        check_seed(&block, Ok(SEED));
        check_seed("SU", Err("has 2 characters, where a user's seed has 58"));
        check_seed(
            &SEED.replace("QDPB", "QDPC"),
            Err("is mistyped: its check sum is wrong"),
        );
        check_seed(
            "hunter2",
            Err("is no seed of an nkey, and a user's seed begins with SU"),
        );
        check_seed(
            "",
            Err("is no seed of an nkey, and a user's seed begins with SU"),
        );
        check_seed(
            "SAAxyz",
            Err("is an account's seed, and a user's seed begins with SU"),
        );
    }

    #[test]
    fn damaged_credentials_never_panic_and_are_never_repeated() {
        let whole = format!(
            "-----BEGIN NATS USER JWT-----\neyJ0.e30.c2ln\n------END NATS USER JWT------\n\
             -----BEGIN USER NKEY SEED-----\n{SEED}\n------END USER NKEY SEED------\n"
        );
        assert!(parse_credentials(&whole).is_ok());
        let mut random = Random::new("credentials");
        for _ in 0..1_000 {
            let mut text = whole.clone();
            let mut seed = SEED.to_owned();
            for _ in 0..=random.below(4) {
                text = random.mutate_text(&text);
                seed = random.mutate_text(&seed);
            }
            for error in [parse_credentials(&text).err(), parse_user_seed(&seed).err()] {
                let error = error.unwrap_or_default();
                assert!(
                    !error.contains("QDPB") && !error.contains("eyJ0"),
                    "{error}"
                );
            }
        }
    }
}
