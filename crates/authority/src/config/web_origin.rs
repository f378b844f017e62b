//! The origins of web pages that may call, as browsers write them.

use http::Uri;

use super::ConfigError;

/// The most origins.
const WEB_ORIGINS_MAX: usize = 64;
/// The longest origin, in bytes. A DNS name has at most 253.
const ORIGIN_BYTES_MAX: usize = 300;
/// The hosts of this machine, to which plain HTTP crosses no network.
pub(super) const LOOPBACK_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Checks `server.web_origins`.
pub(super) fn check(origins: &[String], insecure: bool) -> Result<(), ConfigError> {
    if origins.len() > WEB_ORIGINS_MAX {
        let problem = format!("must be at most {WEB_ORIGINS_MAX} origins");
        return Err(ConfigError::new("server.web_origins", problem));
    }
    for (index, origin) in origins.iter().enumerate() {
        check_origin(origin, insecure)
            .map_err(|problem| ConfigError::new(format!("server.web_origins[{index}]"), problem))?;
    }
    Ok(())
}

/// Checks that an origin is spelled as browsers send it, because origins are compared byte by byte.
fn check_origin(origin: &str, insecure: bool) -> Result<(), &'static str> {
    const FORM: &str = "must be one origin as https://app.example.com, in lower case, without a path, a default port or \
         a wildcard";

    let uri = parse_origin(origin).ok_or(FORM)?;
    // Anybody on the way could change such a page, and take the tokens that it has.
    let is_plain = uri.scheme_str() == Some("http");
    let host = uri.host().unwrap_or_default();
    if is_plain && !insecure && !LOOPBACK_HOSTS.contains(&host) {
        return Err("must begin with https:// or name this machine, or set server.insecure = true");
    }
    Ok(())
}

/// Reads an origin that is spelled as browsers send it.
fn parse_origin(origin: &str) -> Option<Uri> {
    // `Uri` adds the path to an origin without one, and accepts capitals.
    let is_spelled_out = origin.len() <= ORIGIN_BYTES_MAX
        && !origin.contains(['@', '*'])
        && !origin.bytes().any(|byte| byte.is_ascii_uppercase());
    let uri = origin.parse::<Uri>().ok()?;
    let scheme = uri.scheme_str()?;
    let authority = uri.authority()?;
    let default_port = match scheme {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    let is_exact = format!("{scheme}://{authority}") == origin
        && !authority.host().is_empty()
        && !authority.as_str().ends_with(':')
        && authority.port_u16() != Some(default_port);
    (is_spelled_out && is_exact).then_some(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem_of(origin: &str) -> Option<ConfigError> {
        check(&[origin.to_owned()], false).err()
    }

    #[test]
    fn an_origin_is_what_a_browser_sends() {
        for good in [
            "https://app.example.com",
            "https://app.example.com:8443",
            "http://localhost:3000",
            "http://127.0.0.1",
            "https://[2001:db8::1]:8443",
            "https://xn--bcher-kva.example",
        ] {
            assert!(problem_of(good).is_none(), "{good}");
        }
        for bad in [
            "",
            "*",
            "null",
            "app.example.com",
            "https://",
            "https://app.example.com/",
            "https://app.example.com/settings",
            "https://app.example.com?x=1",
            "https://app.example.com:443",
            "https://app.example.com:",
            "https://App.example.com",
            "HTTPS://app.example.com",
            "https://*.example.com",
            "https://user@app.example.com",
            "https://bücher.example",
            "https://app.example.com https://evil.example",
            "wss://app.example.com",
            "http://localhost:80",
        ] {
            let problem = problem_of(bad).unwrap_or_else(|| panic!("{bad} is accepted"));
            assert_eq!(problem.key, "server.web_origins[0]", "{bad}");
        }
    }

    #[test]
    fn a_page_over_plain_http_must_be_asked_for() {
        let origins = ["http://app.example.com".to_owned()];
        let refused = check(&origins, false).expect_err("plain text");
        assert!(refused.problem.contains("server.insecure"), "{refused}");
        check(&origins, true).expect("asked for");
    }

    #[test]
    fn the_number_of_origins_is_bounded() {
        let origins = vec!["https://app.example.com".to_owned(); WEB_ORIGINS_MAX + 1];
        let refused = check(&origins, false).expect_err("too many");
        assert_eq!(refused.key, "server.web_origins");
    }
}
