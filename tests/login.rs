//! Every way to log in, at servers that ask for it; what a refusal says; contexts of the NATS CLI.

use std::time::Duration;

use nkeys::KeyPair;
use serde_json::{Value, json};

use crate::harness::{NatsServer, Operator, PATIENCE, Target, record, schema, state, wait_until};

/// One record of `users` with its state.
fn input() -> String {
    schema("users", &[]) + &record("users", r#"{"id":1}"#) + &state("1")
}

/// A server that knows users by this text within `authorization`.
fn asking(authorization: &str) -> NatsServer {
    NatsServer::with(&format!("authorization {{ {authorization} }}"))
}

/// A run against the server, without a login yet.
fn target(server: &NatsServer) -> Target {
    Target::new()
        .server(server)
        .setting("connect_timeout_seconds", 20)
        .input(input())
}

#[track_caller]
fn gets_in(target: Target) {
    target.run().succeeds().prints("1\n");
}

/// The login is refused at once, and the error says so.
#[track_caller]
fn is_refused(target: Target, parts: &[&str]) {
    let outcome = target.run();
    outcome.exits(1).prints("").error(parts);
    outcome.check(
        outcome.took < Duration::from_secs(10),
        "it does not try again and again",
    );
}

/// The configuration is refused before any server is asked.
#[track_caller]
fn is_an_error(target: Target, parts: &[&str]) {
    target.input(input()).run().exits(2).prints("").error(parts);
}

/// The context's file, where the NATS CLI keeps it below the program's home.
fn with_context(target: Target, name: &str, context: &Value) -> Target {
    target.file(
        &format!(".config/nats/context/{name}.json"),
        context.to_string(),
    )
}

#[test]
fn user_and_password() {
    let server = asking("user: u, password: \"p@ss/w:rd%\"");
    gets_in(
        target(&server)
            .setting("nats_user", "u")
            .setting("nats_password", "p@ss/w:rd%"),
    );
    gets_in(
        target(&server)
            .setting("nats_user", "u")
            .setting("nats_password_file", "password")
            .file("password", "p@ss/w:rd%\n"),
    );
    gets_in(
        target(&server)
            .setting("nats_user", "u")
            .setting("nats_password", "overridden")
            .args(["--config", "config.json", "--config", "ENV"])
            .env("TARGET_NATS_NATS_PASSWORD_FILE", "password")
            .file("password", "p@ss/w:rd%"),
    );
    is_refused(
        target(&server)
            .setting("nats_user", "u")
            .setting("nats_password", "wrong"),
        &[&server.address(), "by user and password", "nats_password"],
    );
    is_refused(
        target(&server),
        &["without a login", "nats_user", "nats_credentials"],
    );
}

#[test]
fn a_token() {
    let server = asking("token: \"t%41\"");
    gets_in(target(&server).setting("nats_token", "t%41"));
    is_refused(
        target(&server).setting("nats_token", "tA"),
        &["by token", "nats_token"],
    );
}

#[test]
fn an_nkey() {
    let key = KeyPair::new_user();
    let server = asking(&format!("users: [ {{ nkey: {} }} ]", key.public_key()));
    let seed = key.seed().unwrap();
    gets_in(target(&server).setting("nats_nkey_seed", seed.clone()));
    gets_in(
        target(&server)
            .setting("nats_nkey_seed_file", "seed")
            .file("seed", format!("\n{seed}\r\n")),
    );
    is_refused(
        target(&server).setting("nats_nkey_seed", KeyPair::new_user().seed().unwrap()),
        &["by nkey", "nats_nkey_seed"],
    );
}

#[test]
fn credentials() {
    let operator = Operator::new();
    let server = NatsServer::with(&operator.config());
    let user = operator.user(None);
    gets_in(target(&server).setting("nats_credentials", user.text()));
    let foreign_text = user.text().replace('\n', "\r\n").replace("-----", "---");
    gets_in(
        target(&server)
            .setting("nats_credentials_file", "me.creds")
            .file("me.creds", format!("\n\n{foreign_text}")),
    );
    gets_in(target(&server).setting("nats_credentials", operator.user(Some(3600)).text()));
    is_refused(
        target(&server).setting("nats_credentials", Operator::new().user(None).text()),
        &["by credentials", "nats_credentials"],
    );
}

#[test]
fn credentials_that_have_expired_are_named_as_that_and_when() {
    let operator = Operator::new();
    let server = NatsServer::with(&operator.config());
    is_refused(
        target(&server).setting("nats_credentials", operator.user(Some(-60)).text()),
        &["the credentials (user JWT) expired on 20", "Z"],
    );
}

#[test]
fn credentials_that_expire_during_the_run_end_it_behind_the_last_good_state() {
    let operator = Operator::new();
    let server = NatsServer::with(&format!("{}debug: true\n", operator.config()));
    let mut running = Target::new()
        .server(&server)
        .setting("nats_credentials", operator.user(Some(4)).text())
        // A second connection would be found expired a little later.
        .setting("workers", 1)
        .spawn();
    running.send(input());
    running.wait_for_line("1");
    wait_until("the server finds the login expired", PATIENCE, || {
        server.log().contains("User Authentication Expired")
    });
    // Until there is something to publish, the loss of a connection does no harm.
    running.send(record("users", r#"{"id":2}"#) + &state("2"));
    let outcome = running.wait();
    outcome
        .exits(1)
        .prints("1\n")
        .error(&["the credentials (user JWT) expired on 20", "Z"]);
}

#[test]
fn several_kinds_of_login_are_named() {
    let login = |url: &str| {
        Target::new()
            .setting("nats_url", url)
            .setting("nats_token", "marker")
    };
    is_an_error(
        login("nats://u:marker@h"),
        &["only one kind", "a login in nats_url, nats_token"],
    );
    is_an_error(
        login("h").setting("nats_user", "u"),
        &["nats_user with nats_password, nats_token"],
    );
    is_an_error(
        login("h")
            .setting("nats_user", "u")
            .setting("nats_password", "p")
            .setting("nats_nkey_seed", KeyPair::new_user().seed().unwrap())
            .setting("nats_credentials", Operator::new().user(None).text()),
        &[
            "there are 4",
            "nats_user with nats_password, nats_token, nats_nkey_seed, nats_credentials",
        ],
    );
}

#[test]
fn half_a_login_is_an_error() {
    is_an_error(
        Target::new().setting("nats_user", "u"),
        &["nats_user needs nats_password"],
    );
    is_an_error(
        Target::new().setting("nats_password", "p"),
        &["nats_password needs nats_user"],
    );
}

#[test]
fn a_seed_or_a_file_of_another_kind_is_named_as_the_mistake() {
    let seed = |key: KeyPair| Target::new().setting("nats_nkey_seed", key.seed().unwrap());
    is_an_error(seed(KeyPair::new_account()), &["is an account's seed"]);
    is_an_error(seed(KeyPair::new_operator()), &["is an operator's seed"]);
    is_an_error(seed(KeyPair::new_server()), &["is a server's seed"]);
    is_an_error(
        Target::new().setting("nats_nkey_seed", KeyPair::new_user().public_key()),
        &["is a user's public key"],
    );
    let user = Operator::new().user(None);
    is_an_error(
        Target::new().setting("nats_credentials", user.seed.clone()),
        &["nats_credentials has no user JWT"],
    );
    is_an_error(
        Target::new().setting("nats_credentials", "/home/me/my.creds"),
        &["nats_credentials has no user JWT"],
    );
    let cut = user.text().replace("BEGIN USER NKEY SEED", "");
    is_an_error(
        Target::new().setting("nats_credentials", cut),
        &["nats_credentials has no user seed"],
    );
    let foreign = user
        .text()
        .replace(&user.seed, &KeyPair::new_account().seed().unwrap());
    is_an_error(
        Target::new().setting("nats_credentials", foreign),
        &["nats_credentials holds a seed that is an account's seed"],
    );
}

#[test]
fn files_of_secrets_that_cannot_be_used_are_errors() {
    let token = |file: &str| Target::new().setting("nats_token_file", file);
    is_an_error(
        token("marker-nowhere"),
        &["nats_token_file names a file that cannot be read"],
    );
    is_an_error(token("."), &["nats_token_file", "cannot be read"]);
    is_an_error(
        token("empty").file("empty", " \n"),
        &["nats_token_file names a file that is empty"],
    );
    is_an_error(
        token("t").file("t", b"\xff"),
        &["nats_token_file names a file that is not UTF-8"],
    );
    is_an_error(
        token("/dev/zero"),
        &["nats_token_file names a file of more than a megabyte"],
    );
    is_an_error(
        token("t").file("t", "x").setting("nats_token", "y"),
        &["nats_token and nats_token_file cannot both be given"],
    );
    is_an_error(
        Target::new()
            .args(["--config", "ENV"])
            .env("TARGET_NATS_NATS_TOKEN_FILE", "nowhere"),
        &["TARGET_NATS_NATS_TOKEN_FILE names a file that cannot be read"],
    );
}

#[test]
fn a_context_says_where_and_who() {
    let server = asking("user: u, password: p");
    let context = json!({"url": server.url(), "user": "u", "password": "p", "description": "mine"});
    let target = || Target::new().log_of(&server).input(input());
    gets_in(with_context(target(), "prod", &context).setting("nats_context", "prod"));
    gets_in(
        with_context(target(), "prod", &context)
            .setting("nats_context", "~/.config/nats/context/prod.json"),
    );
    gets_in(
        target()
            .file("xdg/nats/context/prod.json", context.to_string())
            .env("XDG_CONFIG_HOME", "xdg")
            .args(["--config", "ENV"])
            .env("TARGET_NATS_NATS_CONTEXT", "prod"),
    );
    gets_in(
        target()
            .file("here.json", context.to_string())
            .setting("nats_context", "here.json"),
    );
}

#[test]
fn the_files_that_a_context_names_are_read() {
    let operator = Operator::new();
    let user = operator.user(None);
    let server = NatsServer::with(&operator.config());
    let run = |context: Value| {
        let target = Target::new()
            .log_of(&server)
            .file("me.creds", user.text())
            .setting("nats_context", "c")
            .input(input());
        with_context(target, "c", &context)
    };
    let url = server.url();
    gets_in(run(json!({"url": url, "creds": "~/me.creds"})));
    gets_in(run(json!({"url": url, "creds": "$HOME/me.creds"})));
    gets_in(run(
        json!({"url": url, "user_jwt": user.jwt, "user_seed": user.seed}),
    ));
    is_an_error(
        run(json!({"url": url, "creds": "~/other.creds"})),
        &["nats_context: its creds names a file that cannot be read"],
    );
    let key = KeyPair::new_user();
    let server = asking(&format!("users: [ {{ nkey: {} }} ]", key.public_key()));
    gets_in(with_context(
        Target::new()
            .log_of(&server)
            .file("seed.nk", key.seed().unwrap())
            .setting("nats_context", "c")
            .input(input()),
        "c",
        &json!({"url": server.url(), "nkey": "~/seed.nk"}),
    ));
}

#[test]
fn settings_win_over_a_context() {
    let server = asking("token: t");
    let context = json!({"url": format!("nats://u:p@{}", server.address()), "inbox_prefix": "_I"});
    let run = || {
        let target = Target::new()
            .log_of(&server)
            .setting("nats_context", "c")
            .input(input());
        with_context(target, "c", &context)
    };
    is_refused(run(), &["by user and password", "nats_context"]);
    gets_in(run().setting("nats_token", "t"));
    gets_in(run().setting("nats_url", format!("t@{}", server.address())));
}

#[test]
fn a_context_that_is_not_there_is_an_error_that_names_those_that_are() {
    let with_two = || {
        let target = Target::new().setting("nats_context", "prodd");
        let target = with_context(target, "prod", &json!({}));
        with_context(target, "staging", &json!({}))
    };
    is_an_error(
        with_two(),
        &["nats_context", "prod, staging", "did you mean 'prod'?"],
    );
    is_an_error(
        Target::new().setting("nats_context", "prod"),
        &["nats_context", ".config/nats/context has none"],
    );
    is_an_error(
        Target::new().setting("nats_context", "./prod.json"),
        &["nats_context names a file that is not there"],
    );
}

#[test]
fn a_context_that_cannot_be_honoured_is_an_error() {
    let run =
        |context: Value| with_context(Target::new().setting("nats_context", "c"), "c", &context);
    is_an_error(
        run(json!({"socks_proxy": "socks5://h"})),
        &["nats_context", "socks_proxy"],
    );
    is_an_error(
        run(json!({"creds": "op://vault/item"})),
        &["nats_context", "creds", "op://"],
    );
    is_an_error(
        run(json!({"user": "u", "token": "t"})),
        &["nats_user with nats_password, nats_token"],
    );
    is_an_error(run(json!([])), &["nats_context", "object"]);
}
