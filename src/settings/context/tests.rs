//! What the fields of a context become, and what gives way to the user's settings.

use std::ffi::OsString;

use serde_json::json;

use super::*;

fn environment(name: &str) -> Option<OsString> {
    match name {
        "HOME" => Some("/home/me".into()),
        "DIR" => Some("/dir".into()),
        _ => None,
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "a reference would make every case longer"
)]
#[track_caller]
fn check(context: Value, given: Value, expected: Value) {
    let (Value::Object(context), Value::Object(given)) = (context, given) else {
        panic!("two objects are needed");
    };
    let mut values = interpret(&context, &environment).unwrap().values;
    give_way(&mut values, &given);
    assert_eq!(Value::Object(values), expected);
}

#[track_caller]
fn check_refused(context: Value, expected: &str) {
    let Value::Object(context) = context else {
        panic!("an object is needed");
    };
    assert_eq!(interpret(&context, &environment).unwrap_err(), expected);
}

#[test]
fn fields_become_settings() {
    check(json!({}), json!({}), json!({}));
    check(
        json!({"description": "x", "url": "h", "user": "u", "password": "p", "creds": "", "ca": null,
            "windows_ca_certs_match": [], "nsc": "", "tls_first": false}),
        json!({}),
        json!({"nats_url": "h", "nats_user": "u", "nats_password": "p"}),
    );
    check(
        json!({"user": "u"}),
        json!({}),
        json!({"nats_user": "u", "nats_password": ""}),
    );
    check(
        json!({"creds": "~/a.creds"}),
        json!({}),
        json!({"nats_credentials_file": "/home/me/a.creds"}),
    );
    check(
        json!({"nkey": "$DIR/${DIR}x$/", "ca": "file:///a~"}),
        json!({}),
        json!({"nats_nkey_seed_file": "/dir//dirx$/", "tls_ca_file": "/a~"}),
    );
    check(
        json!({"inbox_prefix": "_I", "jetstream_domain": "d", "tls_first": true, "cert": "c", "key": "k"}),
        json!({}),
        json!({"tls_cert_file": "c", "tls_key_file": "k", "inbox_prefix": "_I", "jetstream_domain": "d",
            "tls_first": true}),
    );
}

#[test]
fn the_users_settings_win() {
    let context = json!({"url": "nats://x:y@a,b", "token": "t", "cert": "c", "key": "k", "jetstream_domain": "d"});
    check(
        context.clone(),
        json!({"nats_url": "h", "tls_key": "k"}),
        json!({"nats_token": "t", "jetstream_domain": "d"}),
    );
    check(
        context.clone(),
        json!({"nats_user": "u", "nats_password": null, "jetstream_api_prefix": "p"}),
        json!({"nats_url": "nats://a,nats://b", "tls_cert_file": "c", "tls_key_file": "k"}),
    );
    check(
        context,
        json!({"nats_url": "u:p@h", "jetstream_domain": null}),
        json!({"tls_cert_file": "c", "tls_key_file": "k", "jetstream_domain": "d"}),
    );
}

#[test]
fn a_value_gives_way_to_a_file_and_a_file_to_a_value() {
    check(
        json!({"ca": "c", "token": "t"}),
        json!({"tls_ca": "x", "nats_token_file": "y"}),
        json!({}),
    );
}

#[test]
fn what_cannot_be_honoured_is_refused() {
    check_refused(
        json!({"socks_proxy": "socks5://h"}),
        "its socks_proxy is not known to this program",
    );
    check_refused(
        json!({"nsc": "nsc://x"}),
        "its nsc is not known to this program",
    );
    check_refused(
        json!({"creds": "op://vault/x"}),
        "its creds stands elsewhere (op://), where this program does not look",
    );
    check_refused(
        json!({"token": "env://X"}),
        "its token stands elsewhere (env://), where this program does not look",
    );
    check_refused(
        json!({"url": 5}),
        "its url must be a string, not an integer",
    );
    check_refused(
        json!({"user_jwt": "x"}),
        "it has a user_jwt without a user_seed",
    );
    check_refused(
        json!({"tls_first": "yes"}),
        "its tls_first must be a boolean, not a string",
    );
}

#[test]
fn a_field_that_is_unknown_is_told() {
    let Value::Object(context) = json!({"urll": "h", "empty": ""}) else {
        unreachable!();
    };
    let notes = interpret(&context, &environment).unwrap().notes;
    let texts: Vec<_> = notes.iter().map(|note| note.text.as_str()).collect();
    assert_eq!(
        texts,
        ["The field 'urll' of the NATS context is unknown and ignored."]
    );
}
