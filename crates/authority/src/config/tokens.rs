//! `[tokens]`: the claims of tokens, and their lifetimes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    ConfigError,
    bounds::{DAY, MINUTE, SECOND, YEAR, check_durations, check_not_empty},
};

/// `[tokens]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenConfig {
    /// `iss` of every token; validators expect exactly this.
    pub issuer: String,
    /// Audience of a user's own token that may call this authority.
    pub authority_audience: String,
    /// Audiences of tokens whose sign-in names none.
    pub default_audiences: Vec<String>,
    /// Lifetime of an access token.
    #[serde(with = "humantime_serde")]
    pub access_token_lifetime: Duration,
    /// Time in which the refresh token before the newest still returns the newest.
    #[serde(with = "humantime_serde")]
    pub refresh_grace: Duration,
    /// Time after its end in which a user may ask with a token why it has ended.
    #[serde(with = "humantime_serde")]
    pub ended_token_window: Duration,
}

impl Default for TokenConfig {
    fn default() -> Self {
        Self {
            issuer: "http://127.0.0.1:7480".into(),
            authority_audience: "portcullis".into(),
            default_audiences: vec!["portcullis".into(), "gateway".into()],
            access_token_lifetime: 15 * MINUTE,
            refresh_grace: 30 * SECOND,
            ended_token_window: 7 * DAY,
        }
    }
}

impl TokenConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        // An empty issuer would make the tokens of all such installations look alike.
        check_not_empty("tokens.issuer", self.issuer.is_empty())?;
        // Without a default, a sign-in that names no audience would issue a token for nobody.
        check_not_empty(
            "tokens.default_audiences",
            self.default_audiences.is_empty(),
        )?;
        check_durations(&[
            (
                "tokens.access_token_lifetime",
                self.access_token_lifetime,
                SECOND..=YEAR,
            ),
            (
                "tokens.refresh_grace",
                self.refresh_grace,
                Duration::ZERO..=DAY,
            ),
            (
                "tokens.ended_token_window",
                self.ended_token_window,
                Duration::ZERO..=YEAR,
            ),
        ])
    }
}
