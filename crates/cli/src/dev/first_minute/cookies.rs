//! The cookies of the demonstration's sign-in.

use axum::http::{
    HeaderMap, HeaderValue,
    header::{COOKIE, SET_COOKIE},
};

/// The key of the browser's device.
pub(super) const DEVICE: &str = "__Host-demo";

/// The access token, for the console.
pub(super) const SESSION: &str = "__Host-session";

/// Browsers take these over plain text too, because the address is a loopback one.
// Browsers take names that begin with `__Host-` only with `Secure` and `Path=/` and without
// `Domain`, so no other host can set them.
const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Lax";

/// Returns the value of a cookie.
pub(super) fn read<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies = headers.get_all(COOKIE).iter();
    let pairs = cookies
        .filter_map(|cookies| cookies.to_str().ok())
        .flat_map(|cookies| cookies.split(';'));
    pairs
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

/// Sets a cookie for as long as the browser runs. The value has no character that needs an escape.
pub(super) fn set(headers: &mut HeaderMap, name: &str, value: &str) {
    append(headers, &format!("{name}={value}; {ATTRIBUTES}"));
}

/// Removes a cookie.
pub(super) fn remove(headers: &mut HeaderMap, name: &str) {
    append(headers, &format!("{name}=; {ATTRIBUTES}; Max-Age=0"));
}

fn append(headers: &mut HeaderMap, cookie: &str) {
    if let Ok(mut value) = HeaderValue::from_str(cookie) {
        // Both cookies sign somebody in. Debug output then leaves them out.
        value.set_sensitive(true);
        headers.append(SET_COOKIE, value);
    }
}
