//! What a token is good for.

use portcullis_contract::{
    token::{Expected, Identity, verify},
    v1,
    verdict::verdict,
};

use super::Sessions;
use crate::{
    api::grpc::{caller::Caller, convert, core::Call, status::ServiceError},
    domain::SessionState,
};

impl Sessions {
    pub(super) async fn introspect(
        &self,
        call: Call<v1::IntrospectTokenRequest>,
    ) -> Result<v1::IntrospectTokenResponse, ServiceError> {
        let Call {
            caller, message, ..
        } = call;
        let tenant = caller.tenant(&message.tenant_id)?;
        if let Caller::User(user) = &caller
            && message.token.is_empty()
        {
            return self.judge(&caller, &user.identity).await;
        }
        let inactive = |reason: &str| v1::IntrospectTokenResponse {
            inactive_reason: reason.into(),
            ..Default::default()
        };
        let view = self.0.feed.view();
        // Whom the token is for is the asker's business: any audience it has will do.
        let issuer = self.0.config.tokens.issuer.clone();
        let identity = match verify(
            &message.token,
            &view,
            &Expected {
                issuer,
                audience: None,
            },
        ) {
            Ok(identity) => identity,
            Err(rejection) => return Ok(inactive(rejection.reason())),
        };
        if caller
            .own_session()
            .is_some_and(|own| own != identity.session_id)
        {
            return Err(ServiceError::invalid(
                "token",
                "must be empty or of the session of the call",
            ));
        }
        if identity.tenant_id != tenant {
            return Ok(inactive("unknown"));
        }
        self.judge(&caller, &identity).await
    }

    async fn judge(
        &self,
        caller: &Caller,
        identity: &Identity,
    ) -> Result<v1::IntrospectTokenResponse, ServiceError> {
        let Some((session, now)) = self
            .0
            .store
            .session(&identity.tenant_id, identity.session_id)
            .await?
        else {
            return Ok(v1::IntrospectTokenResponse {
                inactive_reason: "unknown".into(),
                ..Default::default()
            });
        };
        let reason = match (
            session.state(now),
            verdict(identity, &self.0.feed.view(), now.seconds()),
        ) {
            (SessionState::Active, Ok(())) => "",
            (SessionState::Active, Err(rejection)) => rejection.reason(),
            (SessionState::Expired, _) => "expired",
            (SessionState::SignedOut, _) => "signed_out",
            (SessionState::Revoked, _) => "revoked",
        };
        let whole = match caller {
            // A token that does not admit is worth no more than why: it may be old, and in other hands.
            Caller::User(_) => {
                reason.is_empty()
                    && self
                        .0
                        .policies
                        .of(&session.tenant_id)
                        .await?
                        .users_see_sessions
            }
            Caller::Service(_) => true,
        };
        let shown = if whole {
            let shown = self
                .0
                .shown(caller, &session.tenant_id, std::slice::from_ref(&session))
                .await?;
            shown.session(&session, now)
        } else {
            convert::session_end(&session, now, caller)
        };
        let expires = i64::try_from(identity.expires_at).unwrap_or(i64::MAX);
        Ok(v1::IntrospectTokenResponse {
            active: reason.is_empty(),
            inactive_reason: reason.into(),
            session: Some(shown),
            access_token_expire_time: Some(prost_types::Timestamp {
                seconds: expires,
                nanos: 0,
            }),
        })
    }
}
