//! The settings of the schema registry: our login, and what is registered how. Its address is in `url`.

use std::time::Duration;

use serde_json::Value;

use super::draft::{filled, text};
use super::kind::parse_boolean;
use crate::secret::Secret;

pub(crate) use self::url::{Api, RegistryUrl};
pub(super) use self::url::{parse_registry_url, parse_token_url};

mod url;

/// The headers with a schema's contentId and globalId, in decimal text. The names are those of Apicurio's Kafka
/// serialisers, whose values are binary, which no header of NATS can be (spec apicurio.md, 4.2).
pub(crate) const ID_HEADERS: [&str; 2] = ["apicurio.value.contentId", "apicurio.value.globalId"];

/// How we log in to the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RegistryLogin {
    None,
    Basic { user: String, password: Secret },
    Bearer(Secret),
    OAuth(OAuth),
}

/// Client credentials, and who gives tokens for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OAuth {
    /// The whole URL of the token endpoint.
    pub(crate) url: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: Secret,
    pub(crate) scope: Option<String>,
}

/// Whether schemas are put into the registry, or must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SchemaMode {
    Register,
    Lookup,
}

/// What happens where a schema cannot be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnSchemaError {
    /// It ends the run.
    Fail,
    /// The stream is published without ids.
    Warn,
}

/// What the registered schema says in its root's `$schema`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SchemaDraft {
    /// What the tap says.
    Keep,
    Draft07,
}

/// What a message's payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PayloadFormat {
    Json,
    /// JSON behind the five bytes that name its schema.
    FramedJson,
    /// Avro binary behind those bytes.
    Avro,
}

/// A registry that is on.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    pub(crate) url: RegistryUrl,
    pub(crate) group: String,
    /// Put before the stream's name to make the artifact's id.
    pub(crate) prefix: String,
    pub(crate) login: RegistryLogin,
    /// PEM text of the certificates that the registry's may come from; else the system's, or the bundled ones.
    pub(crate) ca: Option<String>,
    /// PEM text of our own certificate. Set together with `key`.
    pub(crate) cert: Option<String>,
    pub(crate) key: Option<Secret>,
    /// Of one schema's registration, with all its tries.
    pub(crate) timeout: Duration,
    pub(crate) mode: SchemaMode,
    pub(crate) on_error: OnSchemaError,
    pub(crate) draft: SchemaDraft,
    /// Whether objects of the registered schema are closed.
    pub(crate) is_closed: bool,
    /// Whether messages have headers with the schema's ids.
    pub(crate) has_headers: bool,
}

/// The settings of the registry as they come in.
#[derive(Debug, Default)]
pub(crate) struct RegistryDraft {
    pub(super) is_on: Option<bool>,
    pub(super) url: Option<RegistryUrl>,
    pub(super) group: Option<String>,
    pub(super) prefix: Option<String>,
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) token: Option<Secret>,
    pub(super) oauth_url: Option<String>,
    pub(super) oauth_client_id: Option<String>,
    pub(super) oauth_client_secret: Option<Secret>,
    pub(super) oauth_scope: Option<String>,
    pub(super) ca: Option<String>,
    pub(super) cert: Option<String>,
    pub(super) key: Option<Secret>,
    pub(super) timeout: Option<Duration>,
    pub(super) mode: Option<SchemaMode>,
    pub(super) on_error: Option<OnSchemaError>,
    pub(super) draft: Option<SchemaDraft>,
    pub(super) is_closed: Option<bool>,
    pub(super) has_headers: Option<bool>,
    pub(super) payload_format: Option<PayloadFormat>,
}

impl RegistryDraft {
    /// What the settings of the registry say together that cannot be, the registry being on.
    pub(super) fn contradictions(&self, names_ids: bool) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut refuse = |is_wrong: bool, what: &str| {
            if is_wrong {
                wrong.push(what.to_owned());
            }
        };
        let format = filled(self.payload_format);
        if !filled(self.is_on) {
            refuse(
                format != PayloadFormat::Json,
                "payload_format framed_json and avro need enable_schema_registry: each payload names its schema",
            );
            return wrong;
        }
        refuse(
            format != PayloadFormat::Json && self.on_error == Some(OnSchemaError::Warn),
            "schema_on_error warn needs payload_format json: the other formats cannot do without the schema's id",
        );
        refuse(
            format == PayloadFormat::Avro
                && (self.draft == Some(SchemaDraft::Draft07) || self.is_closed == Some(true)),
            "schema_draft and schema_closed cannot be used with payload_format avro, whose schemas have neither",
        );
        refuse(
            self.has_headers == Some(true) && names_ids,
            &format!(
                "headers cannot name {} while schema_headers is on",
                ID_HEADERS.join(" or ")
            ),
        );
        refuse(
            self.cert.is_some() != self.key.is_some(),
            "schema_registry_cert and schema_registry_key need each other",
        );
        let is_https = self.url.as_ref().is_some_and(RegistryUrl::is_https);
        let is_https_oauth = self
            .oauth_url
            .as_ref()
            .is_some_and(|url| url.starts_with("https:"));
        refuse(
            (self.ca.is_some() && !is_https && !is_https_oauth)
                || (self.cert.is_some() && !is_https),
            "schema_registry_ca and schema_registry_cert need an https:// address of the registry",
        );
        wrong
    }

    fn login(&self) -> Result<RegistryLogin, String> {
        let in_url = self.url.as_ref().and_then(|url| url.login.as_ref());
        let kinds = [
            (in_url.is_some(), "a login in schema_registry_url"),
            (
                self.user.is_some() || self.password.is_some(),
                "schema_registry_user and schema_registry_password",
            ),
            (self.token.is_some(), "schema_registry_token"),
            (
                self.oauth_url.is_some()
                    || self.oauth_client_id.is_some()
                    || self.oauth_client_secret.is_some()
                    || self.oauth_scope.is_some(),
                "schema_registry_oauth_url with its client",
            ),
        ];
        let given: Vec<&str> = kinds
            .iter()
            .filter_map(|(is_given, name)| is_given.then_some(*name))
            .collect();
        if given.len() > 1 {
            let given = given.join("; ");
            return Err(format!("the registry has more than one login: {given}"));
        }
        if let Some((user, password)) = in_url {
            return basic_login(user, password);
        }
        match (&self.user, &self.password) {
            (Some(user), Some(password)) => return basic_login(user, password),
            (None, None) => {}
            _ => {
                return Err(
                    "schema_registry_user and schema_registry_password need each other".to_owned(),
                );
            }
        }
        if let Some(token) = &self.token {
            return Ok(RegistryLogin::Bearer(token.clone()));
        }
        match (
            &self.oauth_url,
            &self.oauth_client_id,
            &self.oauth_client_secret,
        ) {
            (Some(url), Some(client_id), Some(client_secret)) => Ok(RegistryLogin::OAuth(OAuth {
                url: url.clone(),
                client_id: client_id.clone(),
                client_secret: client_secret.clone(),
                scope: self.oauth_scope.clone(),
            })),
            (None, None, None) if self.oauth_scope.is_none() => Ok(RegistryLogin::None),
            _ => Err(
                "schema_registry_oauth_url, schema_registry_oauth_client_id and \
                 schema_registry_oauth_client_secret are needed together"
                    .to_owned(),
            ),
        }
    }

    /// The registry, where it is on, and the payload's format.
    pub(super) fn finish(self) -> Result<(Option<Registry>, PayloadFormat), String> {
        let format = filled(self.payload_format);
        if !filled(self.is_on) {
            return Ok((None, format));
        }
        let registry = Registry {
            login: self.login()?,
            url: filled(self.url),
            group: filled(self.group),
            prefix: filled(self.prefix),
            ca: self.ca,
            cert: self.cert,
            key: self.key,
            timeout: filled(self.timeout),
            mode: filled(self.mode),
            on_error: filled(self.on_error),
            draft: filled(self.draft),
            is_closed: filled(self.is_closed),
            has_headers: filled(self.has_headers),
        };
        Ok((Some(registry), format))
    }
}

/// The registry takes what is before the first colon for the name (RFC 7617).
fn basic_login(user: &str, password: &Secret) -> Result<RegistryLogin, String> {
    if user.contains(':') {
        return Err(
            "the registry's user has a colon in the name, which no login can hold".to_owned(),
        );
    }
    Ok(RegistryLogin::Basic {
        user: user.to_owned(),
        password: password.clone(),
    })
}

/// A group's id. The registry folds `.` and `..` away, and fails in odd ways at other spellings of `default` (spec
/// apicurio.md, 1.1).
pub(super) fn parse_group(text: &str) -> Result<String, String> {
    const MAX_CHARACTERS: usize = 512;
    let is_legal = |c: char| (c.is_ascii_graphic() || c == ' ') && c != '%';
    if text.trim().is_empty() || text.len() > MAX_CHARACTERS || !text.chars().all(is_legal) {
        return Err(format!(
            "must be of 1 to {MAX_CHARACTERS} printable ASCII characters other than %"
        ));
    }
    if matches!(text, "." | "..") {
        return Err("must not be . or .., which no address can hold".to_owned());
    }
    if text != "default" && text.eq_ignore_ascii_case("default") {
        return Err("must be spelt default, if the default group is meant".to_owned());
    }
    Ok(text.to_owned())
}

/// `enable_schema_registry`, also as text.
pub(super) fn is_on(value: &Value) -> bool {
    parse_boolean(value).unwrap_or_default()
}

pub(super) fn schema_mode(value: &Value) -> SchemaMode {
    match value.as_str() {
        Some("lookup") => SchemaMode::Lookup,
        _ => SchemaMode::Register,
    }
}

pub(super) fn on_schema_error(value: &Value) -> OnSchemaError {
    match value.as_str() {
        Some("warn") => OnSchemaError::Warn,
        _ => OnSchemaError::Fail,
    }
}

pub(super) fn schema_draft(value: &Value) -> SchemaDraft {
    match value.as_str() {
        Some("draft-07") => SchemaDraft::Draft07,
        _ => SchemaDraft::Keep,
    }
}

pub(super) fn payload_format(value: &Value) -> PayloadFormat {
    match text(value).as_str() {
        "framed_json" => PayloadFormat::FramedJson,
        "avro" => PayloadFormat::Avro,
        _ => PayloadFormat::Json,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_one_that_the_registry_can_keep() {
        for text in ["default", "g", "a/b c", "..."] {
            assert_eq!(parse_group(text).as_deref(), Ok(text));
        }
        for text in ["", "  ", ".", "..", "Default", "DEFAULT", "é", "a%b", "a\n"] {
            assert!(parse_group(text).is_err(), "{text:?}");
        }
        assert!(parse_group(&"x".repeat(513)).is_err());
    }
}
