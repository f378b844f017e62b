//! Navigations of browsers, which are redirected to a page where a person can sign in.

use http::{HeaderMap, Method, header};

/// Returns whether a browser loads a page, so that a redirect leads a person somewhere. Scripts, images and programs
/// must get the refusal itself.
pub(crate) fn is_navigation(method: &Method, headers: &HeaderMap) -> bool {
    if *method != Method::GET && *method != Method::HEAD {
        return false;
    }
    // Browsers send it to trustworthy origins only, and old ones never do.
    if let Some(mode) = headers.get("sec-fetch-mode")
        && mode != "navigate"
    {
        return false;
    }
    headers.get_all(header::ACCEPT).iter().any(accepts_html)
}

fn accepts_html(value: &http::HeaderValue) -> bool {
    let Ok(text) = value.to_str() else {
        return false;
    };
    text.split(',').any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_html = parts
            .next()
            .is_some_and(|media| media.eq_ignore_ascii_case("text/html"));
        is_html && !parts.any(is_zero_weight)
    })
}

fn is_zero_weight(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else {
        return false;
    };
    name.eq_ignore_ascii_case("q") && value.parse::<f32>().is_ok_and(|weight| weight == 0.0)
}

/// Returns the method that a browser asks about before another site may use it, by the Fetch standard.
pub(crate) fn preflight_method(method: &Method, headers: &HeaderMap) -> Option<Method> {
    // A browser sends a preflight always with its origin. Any other OPTIONS is a request of its
    // own, and needs a credential where its rule says so.
    if *method != Method::OPTIONS || !headers.contains_key(header::ORIGIN) {
        return None;
    }
    let mut requested = headers
        .get_all(header::ACCESS_CONTROL_REQUEST_METHOD)
        .iter();
    let method = requested.next()?;
    // Two of them are no preflight of a browser.
    if requested.next().is_some() {
        return None;
    }
    Method::from_bytes(method.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, http::HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn only_a_browser_that_loads_a_page_navigates() {
        const HTML: (&str, &str) = ("accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8");
        for (method, pairs, expected) in [
            (Method::GET, &[HTML][..], true),
            (Method::HEAD, &[HTML], true),
            (Method::GET, &[HTML, ("sec-fetch-mode", "navigate")], true),
            (Method::GET, &[("accept", "*/*"), HTML], true),
            (Method::GET, &[("accept", "TEXT/HTML;q=0.5")], true),
            (Method::POST, &[HTML, ("sec-fetch-mode", "navigate")], false),
            (Method::OPTIONS, &[HTML], false),
            (Method::GET, &[HTML, ("sec-fetch-mode", "cors")], false),
            (Method::GET, &[HTML, ("sec-fetch-mode", "websocket")], false),
            (Method::GET, &[("sec-fetch-mode", "navigate")], false),
            (Method::GET, &[], false),
            (Method::GET, &[("accept", "*/*")], false),
            (Method::GET, &[("accept", "application/json")], false),
            (Method::GET, &[("accept", "text/html;q=0")], false),
            (Method::GET, &[("accept", "text/html;q=0.000")], false),
            (Method::GET, &[("accept", "text/htmlx, x/text/html")], false),
        ] {
            let found = is_navigation(&method, &headers(pairs));
            assert_eq!(found, expected, "{method} {pairs:?}");
        }
    }

    #[test]
    fn only_a_question_about_another_method_is_a_preflight() {
        const ORIGIN: (&str, &str) = ("origin", "https://a");
        const ASKED: (&str, &str) = ("access-control-request-method", "PUT");
        for (method, pairs, expected) in [
            (Method::OPTIONS, &[ORIGIN, ASKED][..], Some(Method::PUT)),
            (Method::OPTIONS, &[ORIGIN, ASKED, ASKED], None),
            (Method::OPTIONS, &[ASKED], None),
            (Method::OPTIONS, &[ORIGIN], None),
            (
                Method::OPTIONS,
                &[ORIGIN, ("access-control-request-method", "")],
                None,
            ),
            (Method::GET, &[ORIGIN, ASKED], None),
        ] {
            let found = preflight_method(&method, &headers(pairs));
            assert_eq!(found, expected, "{method} {pairs:?}");
        }
    }
}
