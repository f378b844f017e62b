//! The cases, one list. Each is a function over a [`Scene`].

mod bad_input;
mod credentials;
mod ends;
mod outages;
mod paths;
mod rules;
mod spoofing;
mod streams;

use futures::future::BoxFuture;
use portcullis_tests::door::{Abilities, Ability};

use crate::scene::Scene;

/// A case of the suite.
pub struct Case {
    /// Its name in the table.
    pub name: &'static str,
    /// The abilities that a door needs for it.
    needs: &'static [fn(&Abilities) -> Ability],
    /// Runs it, and panics when the door does not pass.
    pub run: fn(Scene) -> BoxFuture<'static, ()>,
}

impl Case {
    /// Whether a door with these abilities can pass: the first lack, if any.
    pub fn ability(&self, abilities: &Abilities) -> Ability {
        let mut needs = self.needs.iter().map(|need| need(abilities));
        needs
            .find(|ability| *ability != Ability::Yes)
            .unwrap_or(Ability::Yes)
    }
}

/// Writes a case: its name, its function, and the abilities that it needs.
macro_rules! case {
    ($name:literal, $run:path $(, $need:ident)*) => {
        Case {
            name: $name,
            needs: &[$(|abilities| abilities.$need),*],
            run: |scene| Box::pin($run(scene)),
        }
    };
}

/// Every case, in the order of the table.
pub const CASES: &[Case] = &[
    case!("live credential", credentials::live),
    case!("live credential in a cookie", credentials::cookie),
    case!("HTTP/2", credentials::http2, http2),
    case!("HTTP/3", credentials::http3, http3),
    case!("absent credential", credentials::absent),
    case!("malformed credential", credentials::malformed),
    case!("foreign credential", credentials::foreign),
    case!("expired credential", credentials::expired),
    case!("not yet valid credential", credentials::not_yet_valid),
    case!("two credentials", credentials::two),
    case!("API key for a session, and the reverse", rules::api_keys),
    case!("revoked session", ends::revoked),
    case!("forced sign-out", ends::forced_sign_out),
    case!("tenant sign-out", ends::tenant_sign_out),
    case!("disabled user", ends::disabled_user),
    case!("revoked API key", rules::api_key_revoked),
    case!("scopes", rules::scopes),
    case!("acr", rules::acr),
    case!("amr", rules::amr),
    case!("authentication age", rules::age),
    case!("tenants", rules::tenant),
    case!("methods", rules::methods),
    case!("public route", rules::public),
    case!("preflights", rules::preflights),
    case!("redirects of navigations", rules::redirects, redirects),
    case!("credential removed", rules::credential_removed),
    case!("signed identity", rules::signed_identity),
    case!(
        "activity, from the client's address",
        rules::activity,
        client_address
    ),
    case!("spoofed identity: spellings", spoofing::headers),
    case!(
        "spoofed identity: further names",
        spoofing::further_names,
        cleans_all_names
    ),
    case!("spoofed identity: duplicates", spoofing::duplicates),
    case!("spoofed identity: HTTP/2", spoofing::http2, http2),
    case!("spoofed identity: HTTP/3", spoofing::http3, http3),
    case!(
        "spoofed identity: trailers",
        spoofing::trailers,
        cleans_trailers
    ),
    case!("spoofed identity: hop by hop", spoofing::hop_by_hop),
    case!("spoofed identity: odd lines", spoofing::odd_lines),
    case!("path tricks", paths::tricks),
    case!("paths that are not public", paths::not_public),
    case!("hosts", bad_input::hosts),
    case!("forms of targets", bad_input::targets),
    case!("large heads", bad_input::large_heads),
    case!("invalid UTF-8", bad_input::invalid_utf8),
    case!("many cookies of one name", bad_input::many_cookies),
    case!("letter case of headers", bad_input::casing),
    case!("smuggled requests", bad_input::smuggling),
    case!(
        "upgrades to other protocols",
        bad_input::upgrades,
        limits_upgrades
    ),
    case!("old versions of HTTP", bad_input::old_versions),
    case!("key rotation under load", outages::rotation),
    case!("authority gone for less than the bound", outages::short),
    case!("authority gone for longer, strict", outages::long_strict),
    case!(
        "authority gone for longer, best effort",
        outages::long_best_effort,
        best_effort
    ),
    case!(
        "authority refuses connections",
        outages::refused_connections
    ),
    case!("authority half open", outages::half_open),
    case!("authority slow", outages::slow),
    case!("storm while a snapshot is loaded", outages::snapshot_storm),
    case!("sidecar killed", outages::decider_killed, decider),
    case!(
        "sidecar stopped",
        outages::decider_stopped,
        decider,
        bounds_decision
    ),
    case!(
        "sidecar gone: 503 with Retry-After",
        outages::decider_gone_answer,
        decider,
        answers_unavailable
    ),
    case!("WebSocket admitted", streams::websocket, websockets),
    case!("event stream admitted", streams::events),
    case!(
        "streams cut by RevokeSession",
        streams::cut_by_revoke,
        cuts_streams
    ),
    case!(
        "streams cut by ForceSignOut",
        streams::cut_by_sign_out,
        cuts_streams
    ),
    case!(
        "streams cut by SignOutTenant",
        streams::cut_by_tenant_sign_out,
        cuts_streams
    ),
    case!(
        "streams cut by DisableUser",
        streams::cut_by_disable,
        cuts_streams
    ),
    case!(
        "streams cut by RevokeApiKey",
        streams::cut_by_key_revocation,
        cuts_streams
    ),
    case!(
        "streams cut by expiry",
        streams::cut_by_expiry,
        cuts_streams
    ),
    case!(
        "streams cut by loss of freshness",
        streams::cut_by_staleness,
        cuts_streams
    ),
];
