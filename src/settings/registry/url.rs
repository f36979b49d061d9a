//! The registry's address, and that of a token endpoint, as the settings give them.
//!
//! The address is taken apart, and a login in it decoded; nothing is resolved and nobody is asked. No error repeats the
//! text: a mistyped address may hold its password anywhere.

use std::fmt;
use std::net::Ipv6Addr;

use crate::secret::Secret;
use crate::settings::address::decode_percent;

/// The APIs that a registry speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    V3,
    V2,
    /// Confluent's, as Apicurio serves it.
    Ccompat,
}

/// Where the registry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RegistryUrl {
    pub(crate) api: Api,
    /// With scheme, host and path, without login, query and slash at the end.
    base: String,
    pub(super) login: Option<(String, Secret)>,
}

impl RegistryUrl {
    pub(crate) fn is_https(&self) -> bool {
        self.base.starts_with("https:")
    }
}

/// The base, which holds no secret.
impl fmt::Display for RegistryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

/// A registry's base URL, in the forms that Apicurio's own clients take: without scheme, without path, with a slash
/// at the end. The API is the one that the path names. No error repeats the text: it may hold a password anywhere.
pub(in crate::settings) fn parse_registry_url(text: &str) -> Result<RegistryUrl, String> {
    let (scheme, rest) = match text.trim().split_once("://") {
        Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
        None => ("http".to_owned(), text.trim()),
    };
    if scheme != "http" && scheme != "https" {
        return Err("must begin with http:// or https://".to_owned());
    }
    if rest.contains(['?', '#']) {
        return Err("must be a base URL, without query and fragment".to_owned());
    }
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    // The last `@`, as in `nats_url`.
    let (login, host) = match authority.rsplit_once('@') {
        Some((login, host)) => (Some(parse_login(login)?), host),
        None => (None, authority),
    };
    check_host(host)?;
    let is_illegal = |c: char| !c.is_ascii_graphic() || c == '@';
    if path.contains(is_illegal) {
        return Err("has a path with a character that belongs percent-encoded".to_owned());
    }
    let mut path = path.trim_end_matches('/').to_owned();
    let api = if path.contains("/apis/registry/v2") {
        Api::V2
    } else if path.contains("/apis/ccompat/") {
        Api::Ccompat
    } else {
        Api::V3
    };
    if !path.contains("/apis/") {
        path += "/apis/registry/v3";
    }
    Ok(RegistryUrl {
        api,
        base: format!("{scheme}://{host}{path}"),
        login,
    })
}

fn parse_login(text: &str) -> Result<(String, Secret), String> {
    match text.split_once(':') {
        Some((user, password)) if !user.is_empty() => Ok((
            decode_percent(user)?,
            Secret::new(decode_percent(password)?),
        )),
        _ => Err("has a login without user or without password".to_owned()),
    }
}

fn check_host(host: &str) -> Result<(), String> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (address, behind) = rest
                .split_once(']')
                .ok_or("has a bracket that is not closed")?;
            if address.parse::<Ipv6Addr>().is_err() {
                return Err("has something in brackets that is no IPv6 address".to_owned());
            }
            (address, behind.strip_prefix(':'))
        }
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    if name.is_empty() || !name.chars().all(is_legal) {
        return Err("has no host, or a character in it that no host has".to_owned());
    }
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit())
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    if port.is_some_and(|port| !is_port(port)) {
        return Err("has a port that is none".to_owned());
    }
    Ok(())
}

/// The URL of a token endpoint.
pub(in crate::settings) fn parse_token_url(text: &str) -> Result<String, String> {
    let text = text.trim();
    let (scheme, rest) = text
        .split_once("://")
        .ok_or("must be a whole URL, with http:// or https://")?;
    if !matches!(scheme, "http" | "https") {
        return Err("must begin with http:// or https://".to_owned());
    }
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    if host.contains('@') {
        return Err(
            "must have no login: schema_registry_oauth_client_id and _client_secret are it"
                .to_owned(),
        );
    }
    check_host(host)?;
    if !rest.chars().all(|c| c.is_ascii_graphic() && c != '#') {
        return Err("has a character that belongs percent-encoded".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, api: Api, base: &str) {
        let url = parse_registry_url(text).unwrap();
        assert_eq!((url.api, url.to_string().as_str()), (api, base), "{text}");
    }

    #[test]
    fn a_base_url_names_its_api() {
        for text in [
            "http://r:8080/apis/registry/v3",
            "http://r:8080/apis/registry/v3/",
            "http://r:8080",
            "http://r:8080//",
            "r:8080",
            "http://user:p%40ss@r:8080",
        ] {
            check(text, Api::V3, "http://r:8080/apis/registry/v3");
        }
        check("https://h/x/", Api::V3, "https://h/x/apis/registry/v3");
        check(
            "HTTPS://h/x/apis/registry/v2/",
            Api::V2,
            "https://h/x/apis/registry/v2",
        );
        check(
            "http://[::1]:81/apis/ccompat/v7",
            Api::Ccompat,
            "http://[::1]:81/apis/ccompat/v7",
        );
    }

    #[test]
    fn a_login_in_the_url_is_decoded_and_not_shown() {
        let url = parse_registry_url("http://us%40er:a:b%25@r").unwrap();
        let (user, password) = url.login.clone().unwrap();
        assert_eq!((user.as_str(), password.expose()), ("us@er", "a:b%"));
        assert!(!format!("{url}{url:?}").contains("a:b"));
    }

    #[test]
    fn what_is_no_base_url_is_refused_and_not_repeated() {
        for text in [
            "",
            "ftp://secret@h",
            "http://",
            "http://h/p?secret",
            "http://h/#secret",
            "http://secret@h",
            "http://:secret@h",
            "http://h:secret",
            "http://h:0",
            "http://se cret",
            "http://h/secret é",
            "http://[secret]",
            "http://[::1",
        ] {
            let what = parse_registry_url(text).unwrap_err();
            assert!(!what.contains("secret"), "{text}: {what}");
        }
    }
}
