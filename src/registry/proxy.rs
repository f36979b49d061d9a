//! Which proxy a URL is asked for through, as `curl` reads it from the environment. It reads no environment itself.
//!
//! `ureq` would take the first variable that is set, whatever the scheme (spec apicurio.md, 3.3).

/// The variable that names a proxy for this URL, and what it holds.
pub(super) fn proxy_for(
    url: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Option<(&'static str, String)> {
    let names = if url.starts_with("https:") {
        ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
    } else {
        ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]
    };
    let set = |name: &&str| variable(name).filter(|text| !text.trim().is_empty());
    let (name, address) = names
        .iter()
        .find_map(|name| set(name).map(|address| (*name, address)))?;
    let exceptions = set(&"no_proxy")
        .or_else(|| set(&"NO_PROXY"))
        .unwrap_or_default();
    (!is_excepted(url, &exceptions)).then_some((name, address.trim().to_owned()))
}

/// Whether the URL's host is in a list as `NO_PROXY` has it: names that stand for their subdomains too, with a dot or
/// `*.` before them or without, each with a port or without; or `*` for all.
fn is_excepted(url: &str, exceptions: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host_and_port = rest.split('/').next().unwrap_or_default();
    let (host, port) = split_port(host_and_port);
    let default_port = if url.starts_with("https:") {
        "443"
    } else {
        "80"
    };
    let host = host.to_ascii_lowercase();
    exceptions
        .split([',', ' '])
        .filter(|entry| !entry.is_empty())
        .any(|entry| {
            let (name, entry_port) = split_port(entry);
            if entry_port.is_some_and(|wanted| wanted != port.unwrap_or(default_port)) {
                return false;
            }
            let name = name.to_ascii_lowercase();
            let name = name.trim_start_matches('*').trim_start_matches('.');
            name.is_empty()
                || host == name
                || host
                    .strip_suffix(name)
                    .is_some_and(|before| before.ends_with('.'))
        })
}

/// Host and port; the host of an IPv6 address without its brackets.
fn split_port(text: &str) -> (&str, Option<&str>) {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, behind) = rest.split_once(']').unwrap_or((rest, ""));
        return (host, behind.strip_prefix(':'));
    }
    match text.split_once(':') {
        // A bare IPv6 address.
        Some((_, behind)) if behind.contains(':') => (text, None),
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, variables: &[(&str, &str)], expected: Option<&str>) {
        let variable = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let proxy = proxy_for(url, &variable);
        assert_eq!(proxy.map(|(name, _)| name), expected, "{url} {variables:?}");
    }

    #[test]
    fn a_proxy_is_that_of_the_scheme() {
        let https = ("HTTPS_PROXY", "http://p:1");
        let http = ("http_proxy", "http://p:2");
        let all = ("ALL_PROXY", "http://p:3");
        check("http://r/apis", &[], None);
        check("http://r/apis", &[https], None);
        check("http://r/apis", &[https, http], Some("http_proxy"));
        check("https://r/apis", &[https, http], Some("HTTPS_PROXY"));
        check("https://r/apis", &[http, all], Some("ALL_PROXY"));
        check(
            "https://r/apis",
            &[("https_proxy", " "), all],
            Some("ALL_PROXY"),
        );
    }

    #[test]
    fn excepted_hosts_are_asked_directly() {
        let through = |exceptions: &str, url: &str| {
            let variables = [("all_proxy", "http://p:1"), ("NO_PROXY", exceptions)];
            check(url, &variables, Some("all_proxy"));
        };
        let direct = |exceptions: &str, url: &str| {
            let variables = [("all_proxy", "http://p:1"), ("NO_PROXY", exceptions)];
            check(url, &variables, None);
        };
        for exceptions in [
            "*",
            "r.example.com",
            "example.com",
            ".example.com",
            "*.example.com",
        ] {
            direct(exceptions, "http://r.example.com:8080/apis");
        }
        direct("a, R.Example.com", "http://r.example.com/apis");
        direct("r:8080", "http://r:8080/apis");
        direct("r:443", "https://r/apis");
        direct("::1", "http://[::1]:8080/apis");
        direct("[::1]:8080", "http://[::1]:8080/apis");
        for exceptions in ["", "example.org", "xample.com", "r.example.com:81"] {
            through(exceptions, "http://r.example.com:8080/apis");
        }
    }
}
