//! The table's rows of login and TLS.
//!
//! They only validate and store, as all rows do. A secret has neither a default nor an example.

use super::super::draft::{boolean, pem, secret, some_text, store, text};
use super::super::kind::ValueKind;
use super::super::login::{parse_credentials, parse_user_seed};
use super::super::setting::{Group, Setting};
use crate::secret::Secret;

pub(super) const ROWS: &[Setting] = &[
    Setting {
        key: "nats_user",
        group: Group::Connection,
        help: "The user's name. Of nats_user with nats_password, nats_token, nats_nkey_seed, nats_credentials and a login in nats_url only one may be given.",
        example: Some(r#""loader""#),
        set: |draft, value| store(&mut draft.login.user, some_text(value)?),
        ..Setting::PLAIN
    },
    Setting {
        key: "nats_password",
        group: Group::Connection,
        help: "The password of nats_user.",
        set: |draft, value| store(&mut draft.login.password, Secret::new(text(value))),
        ..Setting::SECRET
    },
    Setting {
        key: "nats_token",
        group: Group::Connection,
        help: "The token of a server that asks for one.",
        set: |draft, value| store(&mut draft.login.token, secret(value)?),
        ..Setting::SECRET
    },
    Setting {
        key: "nats_nkey_seed",
        group: Group::Connection,
        help: "The seed of the user's nkey; it begins with SU.",
        set: |draft, value| store(&mut draft.login.nkey_seed, parse_user_seed(&text(value))?),
        ..Setting::SECRET
    },
    Setting {
        key: "nats_credentials",
        group: Group::Connection,
        help: "The text of a `.creds` file: user JWT and seed.",
        set: |draft, value| {
            store(
                &mut draft.login.credentials,
                parse_credentials(&text(value))?,
            )
        },
        ..Setting::SECRET
    },
    Setting {
        key: "nats_context",
        group: Group::Connection,
        help: "A context of the NATS CLI, by name or path: address, login and TLS come from it. A setting given here wins.",
        example: Some(r#""production""#),
        set: |draft, value| store(&mut draft.nats_context, some_text(value)?),
        ..Setting::PLAIN
    },
    Setting {
        key: "tls_ca",
        group: Group::Connection,
        help: "The certificates that the server's may come from, as PEM text. Without it the system's and the bundled ones.",
        in_file: true,
        set: |draft, value| store(&mut draft.tls.ca, pem(value, "tls_ca")?),
        ..Setting::PLAIN
    },
    Setting {
        key: "tls_cert",
        group: Group::Connection,
        help: "The client's certificate, as PEM text.",
        in_file: true,
        set: |draft, value| store(&mut draft.tls.cert, pem(value, "tls_cert")?),
        ..Setting::PLAIN
    },
    Setting {
        key: "tls_key",
        group: Group::Connection,
        help: "The key of tls_cert, as PEM text.",
        set: |draft, value| store(&mut draft.tls.key, Secret::new(pem(value, "tls_key")?)),
        ..Setting::SECRET
    },
    Setting {
        key: "tls_server_name",
        group: Group::Connection,
        help: "The name that the server's certificate must have. Without it the address's.",
        example: Some(r#""nats.example""#),
        set: |draft, value| store(&mut draft.tls.server_name, some_text(value)?),
        ..Setting::PLAIN
    },
    Setting {
        key: "tls_insecure",
        group: Group::Connection,
        kind: ValueKind::Boolean,
        default: Some("false"),
        help: "Whether the server's certificate is left unchecked, so that anybody may pose as the server.",
        set: |draft, value| store(&mut draft.tls.insecure, boolean(value)),
        ..Setting::PLAIN
    },
    Setting {
        key: "tls_first",
        group: Group::Connection,
        kind: ValueKind::Boolean,
        default: Some("false"),
        help: "Whether the TLS handshake comes first, as servers with `handshake_first` ask for.",
        set: |draft, value| store(&mut draft.tls.first, boolean(value)),
        ..Setting::PLAIN
    },
];
