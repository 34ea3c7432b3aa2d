//! Whether a request was addressed to this machine, by a name that nobody else can give it.

use std::net::IpAddr;

/// Whether a `Host` or `:authority` is a loopback address or `localhost`, whatever the port.
/// Another name may be made to point here by whoever owns it.
pub(super) fn is_local_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) if is_port(port) => address,
            _ => return false,
        },
        None => match host.split_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            Some(_) => return false,
            None => host,
        },
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether an `Origin` is a page of this machine. `null`, a page that hides where it is from, is not.
pub(super) fn is_local_origin(origin: &str) -> bool {
    let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    host.is_some_and(is_local_host)
}

fn is_port(text: &str) -> bool {
    text.is_empty()
        || text.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_names_that_nobody_can_point_elsewhere_are_of_this_machine() {
        for local in [
            "localhost",
            "LOCALHOST:18000",
            "127.0.0.1",
            "127.0.0.1:18000",
            "127.9.9.9:1",
            "[::1]",
            "[::1]:18000",
        ] {
            assert!(is_local_host(local), "{local}");
        }
        for foreign in [
            "",
            ":",
            "[",
            "[]",
            "[::1",
            "::1",
            "evil.example",
            "evil.example:18000",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1@evil.example",
            "127.0.0.1:80@evil.example",
            "[::1]evil",
            "0.0.0.0",
            "192.168.1.1",
            "localhost:80:80",
            "localhost/",
            " localhost",
        ] {
            assert!(!is_local_host(foreign), "{foreign}");
        }
        assert!(is_local_origin("http://127.0.0.1:18000"));
        for foreign in
            ["null", "", "https://evil.example", "http://localhost.evil.example", "file://"]
        {
            assert!(!is_local_origin(foreign), "{foreign}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_none_with_a_foreign_name_is_local(text in ".{0,40}") {
            let _ = is_local_origin(&text);
            let foreign = format!("{text}.example");
            prop_assert!(!is_local_host(&foreign));
        }
    }
}
