//! Refreshes.

use std::sync::Arc;

use portcullis_contract::{
    id::{EventId, SessionId, TenantId},
    v1,
};

use super::Sessions;
use crate::{
    domain::{
        Actor, Cause, Entry, Micros, Mutation, PendingEvent, Rotation, Session, decide_rotation,
        findings::{Finding, FindingCode},
    },
    service::{
        core::{Call, Tokens},
        parse::Fields,
        status::ServiceError,
    },
    store::{Proof, Rotated},
};

impl Sessions {
    pub(super) async fn refresh(
        &self,
        call: Call<v1::RefreshSessionRequest>,
    ) -> Result<v1::RefreshSessionResponse, ServiceError> {
        let Call {
            caller, message, ..
        } = call;
        let tenant = caller.tenant(&message.tenant_id)?;
        let audiences = Fields::one("audiences", |fields| {
            Some(fields.audiences(&message.audiences))
        })?;
        let refresh = &self.0.secrets.refresh;
        let subject = refresh
            .read(&message.refresh_token)
            .map_err(|_| ServiceError::RefreshTokenInvalid)?;
        if !audiences.is_empty() {
            self.check_token_text(&tenant, subject.session_id, &audiences)
                .await?;
        }
        // The row's salt takes part in the proof.
        let (core, token) = (Arc::clone(&self.0), message.refresh_token);
        let proof: Proof = Arc::new(move |salt| core.secrets.refresh.is_authentic(&token, salt));
        let rotated = self
            .0
            .store
            .rotate(&tenant, subject.session_id, subject.generation, proof)
            .await?;
        let (session, now) = match rotated {
            Rotated::Won(session, now) => (session, now),
            Rotated::Lost(session, now) => {
                self.lost(&tenant, session, subject.generation, now).await?
            }
            Rotated::NotFound => return Err(ServiceError::RefreshTokenInvalid),
        };
        let audiences = if audiences.is_empty() {
            session.audiences.clone()
        } else {
            audiences
        };
        let Tokens {
            access,
            refresh,
            access_expire_time,
        } = self.0.issue(&session, &audiences, now).await?;
        Ok(v1::RefreshSessionResponse {
            session: Some(
                self.0
                    .shown(&caller, &tenant, &[])
                    .await?
                    .session(&session, now),
            ),
            access_token: access,
            refresh_token: refresh,
            access_token_expire_time: Some(access_expire_time),
        })
    }

    /// Refuses audiences with which the access token would be larger than a sign-in allows, before anything rotates.
    async fn check_token_text(
        &self,
        tenant: &TenantId,
        session: SessionId,
        audiences: &[String],
    ) -> Result<(), ServiceError> {
        // Without a session the rotation says so.
        let Some((session, _)) = self.0.store.session(tenant, session).await? else {
            return Ok(());
        };
        Fields::one("audiences", |fields| {
            fields.token_text(audiences, &session.amr, &session.acr);
            Some(())
        })
    }

    /// A genuine token that did not rotate: another tab was first, the session is over, or it was copied.
    async fn lost(
        &self,
        tenant: &TenantId,
        session: Box<Session>,
        generation: u64,
        now: Micros,
    ) -> Result<(Box<Session>, Micros), ServiceError> {
        match decide_rotation(
            &session,
            generation,
            self.0.config.tokens.refresh_grace,
            now,
        ) {
            Rotation::Repeat => Ok((session, now)),
            Rotation::Ended
                if session
                    .end
                    .as_ref()
                    .is_some_and(|end| end.cause == Cause::UserDisabled) =>
            {
                Err(ServiceError::UserDisabled)
            }
            Rotation::Ended => Err(ServiceError::SessionEnded),
            Rotation::Ahead => Err(ServiceError::RefreshTokenInvalid),
            Rotation::Theft => {
                let outcome = self.0.log.submit(theft(tenant, session.id)).await?;
                if outcome.changed > 0 {
                    self.note_theft(&session, now).await;
                }
                Err(ServiceError::RefreshTokenReused)
            }
        }
    }

    /// The revocation is in the trail anyhow; this is the finding, unless the tenant has switched it off.
    async fn note_theft(&self, session: &Session, now: Micros) {
        let noted = async {
            let policy = self.0.policies.of(&session.tenant_id).await?;
            let finding = Finding {
                code: FindingCode::RefreshTokenReused,
                facts: Vec::new(),
            };
            let of = (&session.tenant_id, session.id, &session.user_id);
            let event = PendingEvent::finding(&finding, now, of, Actor::authority());
            let events = if policy.findings_disabled.contains(&finding.code) {
                vec![]
            } else {
                vec![event]
            };
            self.0.store.defer(&events).await
        };
        if let Err(error) = noted.await {
            error.log("a finding is not in the audit trail");
        }
    }
}

fn theft(tenant: &TenantId, session: SessionId) -> Entry {
    Entry {
        event_id: EventId::generate(),
        actor: Actor::authority(),
        reason: "an old refresh token was used again".into(),
        user_message: String::new(),
        trace_parent: None,
        mutation: Mutation::RevokeSessions {
            tenant: tenant.clone(),
            sessions: vec![session],
            owner: None,
            cause: Cause::RefreshTokenReused,
        },
    }
}
