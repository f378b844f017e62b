//! Requests that change something. Each comes from a page of the console that the same session has opened.
//!
//! Two checks, each enough against a forged request: the browser says that the request comes from a page of this origin
//! (`Sec-Fetch-Site`), and the form has a token that only such a page can know.

use axum::extract::{FromRequest, Request};
use http::{HeaderMap, header::CONTENT_TYPE};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{admission::Admission, problem::Problem, state::State};

/// The most bytes of a form.
pub(crate) const FORM_BYTES_MAX: usize = 64 * 1_024;

/// The form of a page of this person's session: `Submitted(form): Submitted<Form>`. It has a field `csrf`, made by
/// [`Person::form_token`](crate::person::Person::form_token), beside those of `T`.
pub(crate) struct Submitted<T>(pub(crate) T);

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    csrf: String,
}

impl<T: DeserializeOwned> FromRequest<State> for Submitted<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &State) -> Result<Self, Problem> {
        // First, because a foreign request needs no further look.
        require_same_origin(request.headers())?;
        let session_id = admitted_session(&request)?;

        // Read only for a good session, so that strangers cannot fill memory with bodies.
        let body = read_form(request).await?;
        // The token alone first: a forged form is refused as such, whatever its other fields are.
        let token: Token = parse(&body)?;
        if !state.form_key.admits(&token.csrf, &session_id) {
            return Err(Problem::outdated_form());
        }
        Ok(Self(parse(&body)?))
    }
}

fn admitted_session(request: &Request) -> Result<String, Problem> {
    match request.extensions().get::<Admission>() {
        Some(Admission::Admitted(identity, _)) => Ok(identity.session_id.to_string()),
        Some(Admission::Unavailable) => Err(Problem::away()),
        Some(Admission::Ended(_)) => Err(Problem::session_ended()),
        Some(Admission::Anonymous) | None => Err(Problem::sign_in_again()),
    }
}

/// Refuses a request that the browser says another site has caused. Browsers send the header to trustworthy addresses only;
/// without it the token decides alone.
pub(crate) fn require_same_origin(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get("sec-fetch-site") {
        // `same-site` is refused too: another host of the domain may belong to somebody else. So is
        // `none`, which no form has: it stands for a typed address or a bookmark.
        Some(site) if site != "same-origin" => Err(Problem::foreign_form()),
        _ => Ok(()),
    }
}

/// The body of a form.
pub(crate) async fn read_form(request: Request) -> Result<Vec<u8>, Problem> {
    let kind = request.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/x-www-form-urlencoded") {
        return Err(Problem::invalid());
    }
    // The bytes are counted as they arrive, because the length that a client announces proves
    // nothing.
    match axum::body::to_bytes(request.into_body(), FORM_BYTES_MAX).await {
        Ok(body) => Ok(body.into()),
        Err(_) => Err(Problem::too_large()),
    }
}

/// The fields of a form. A field that stands several times fills a list.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_html_form::from_bytes(body).map_err(|_| Problem::invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_that_names_another_site_is_refused() {
        for (site, is_good) in [
            (Some("same-origin"), true),
            (None, true),
            (Some("same-site"), false),
            (Some("cross-site"), false),
            (Some("none"), false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(site) = site {
                headers.insert("sec-fetch-site", site.parse().expect("a value"));
            }
            assert_eq!(require_same_origin(&headers).is_ok(), is_good, "{site:?}");
        }
    }
}
