//! Issues the tokens of a session.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_contract::{
    key::CredentialKind,
    rejection::Rejection,
    token::{Claims, Expected, Identity, verify},
};

use super::{App, AppError};
use crate::{
    domain::{Micros, Session, TokenSubject},
    keys::random,
};

/// The most bytes of a token's `client_id`.
pub(crate) const CLIENT_ID_BYTES_MAX: usize = 128;

/// The most bytes of a token's audiences, amr and acr together. It keeps tokens well under their bound.
pub(crate) const TOKEN_TEXT_BYTES_MAX: usize = 2048;

/// The tokens of a session.
pub(crate) struct IssuedTokens {
    pub(crate) access_token: String,
    pub(crate) refresh_token: String,
    pub(crate) access_token_expires: Micros,
}

/// The problem of a token whose texts are too long, if they are.
pub(crate) fn token_text_problem(
    audiences: &[String],
    amr: &[String],
    acr: &str,
) -> Option<String> {
    let listed: usize = audiences.iter().chain(amr).map(String::len).sum();
    if listed + acr.len() <= TOKEN_TEXT_BYTES_MAX {
        return None;
    }
    Some(format!(
        "must be at most {TOKEN_TEXT_BYTES_MAX} bytes together with amr and acr"
    ))
}

impl App {
    /// Issues the tokens of a session that was alive at `now`.
    pub(crate) async fn issue_tokens(
        &self,
        session: &Session,
        audiences: &[String],
        now: Micros,
    ) -> Result<IssuedTokens, AppError> {
        // The token's times go by the database's clock, as do revocations and generations of the log.
        let expires = self.access_token_expiry(session, now).await?;
        let claims = claims(session, audiences, now, expires);
        Ok(IssuedTokens {
            access_token: self.sign_access_token(&claims, now)?,
            refresh_token: self.derive_refresh_token(session, now)?,
            access_token_expires: whole_seconds(expires),
        })
    }

    async fn access_token_expiry(
        &self,
        session: &Session,
        now: Micros,
    ) -> Result<Micros, AppError> {
        // The policy may shorten the installation's lifetime. The store knows that one, and remembers revocations for as
        // long.
        let lifetime_max = self.config.tokens.access_token_lifetime;
        let policy = self.policies.of(&session.tenant_id).await?;
        let lifetime = policy
            .effective(&session.user_id)
            .access_token_lifetime(lifetime_max);
        // A gate reads no rows. It learns from the token alone that a session expires.
        let expires = now.after(lifetime).min(session.expires);

        // A token of less than a second would have expired by its own `exp` when it was issued.
        if expires.seconds() <= now.seconds() {
            return Err(AppError::SessionEnded);
        }
        Ok(expires)
    }

    /// Derives the refresh token from the row, so that a repeated answer contains the same one.
    fn derive_refresh_token(&self, session: &Session, now: Micros) -> Result<String, AppError> {
        let subject = TokenSubject {
            session_id: session.id,
            generation: session.generation,
        };
        let keys = self.secrets.refresh();
        keys.derive(subject, &session.salt, now).ok_or_else(|| {
            tracing::error!("every secret of refresh tokens is retired");
            AppError::Internal
        })
    }

    fn sign_access_token(&self, claims: &Claims, now: Micros) -> Result<String, AppError> {
        let Some(signer) = self.keyring.signer(CredentialKind::Session, now) else {
            return Err(missing_key());
        };
        match signer.sign(&self.config.tokens.issuer, claims) {
            Ok(token) => Ok(token),
            Err(error) => {
                tracing::error!(%error, key = %signer.key_id(), "signing failed");
                Err(AppError::Internal)
            }
        }
    }
}

fn claims(session: &Session, audiences: &[String], now: Micros, expires: Micros) -> Claims {
    Claims {
        tenant_id: session.tenant_id.clone(),
        user_id: session.user_id.clone(),
        session_id: session.id,
        subject: session.subject,
        // Nothing looks tokens up by this id. It keeps two tokens of one second apart in the logs of others.
        token_id: URL_SAFE_NO_PAD.encode(random::<16>()),
        audiences: audiences.to_vec(),
        issued_at: now.seconds(),
        expires_at: expires.seconds(),
        auth_time: session.auth_time.seconds(),
        amr: session.facts.amr.clone(),
        acr: session.acr.clone(),
        client_id: session.facts.client_id.clone(),
    }
}

/// Verifies the signature of a user's access token, of any audience. Its expiry and its session are not looked at.
pub(super) fn verify_access_token(app: &App, token: &str) -> Result<Identity, Rejection> {
    let expected = Expected {
        issuer: app.config.tokens.issuer.clone(),
        audience: None,
    };
    verify(token, &app.feed.view(), &expected)
}

/// A token says its expiry in whole seconds; the answer must not promise more.
fn whole_seconds(time: Micros) -> Micros {
    let seconds = i64::try_from(time.seconds()).unwrap_or(i64::MAX);
    Micros(seconds.saturating_mul(1_000_000))
}

/// Logs the missing key, since an operator could not tell otherwise why every sign-in fails.
pub(crate) fn missing_key() -> AppError {
    tracing::error!("there is no signing key of this kind: run `RotateSigningKey`");
    // Unavailable and not internal: the call succeeds once an operator has made a key, so callers may repeat it.
    AppError::Unavailable
}
