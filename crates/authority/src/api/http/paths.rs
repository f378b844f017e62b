//! The paths of endpoints that callers are told.

/// The path of RFC 7662.
pub(super) const INTROSPECT: &str = "/oauth2/introspect";
/// The path of RFC 7009.
pub(super) const REVOKE: &str = "/oauth2/revoke";
/// The path that an identity provider is given as `backchannel_logout_uri`.
pub(super) const LOGOUT: &str = "/oidc/backchannel-logout";
