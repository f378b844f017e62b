//! Refreshes.

use std::sync::Arc;

use portcullis_contract::{
    id::{EventId, SessionId, TenantId},
    v1,
};

use super::Sessions;
use crate::{
    api::grpc::{
        core::{Call, Tokens},
        parse::Fields,
        status::ServiceError,
    },
    domain::{
        Actor, Cause, ClientInfo, Entry, Micros, Mutation, PendingEvent, Policy, Rotation,
        RotationRules, Session, decide_rotation,
        findings::{Finding, FindingCode},
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
        let mut fields = Fields::default();
        let audiences = fields.audiences(&message.audiences);
        let client = fields.client(message.client.as_ref());
        let (audiences, client) = fields.finish((audiences, client))?;
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
            .rotate(
                &tenant,
                subject.session_id,
                subject.generation,
                proof,
                &client,
            )
            .await?;
        let (session, now) = match rotated {
            Rotated::Won(session, now) => (session, now),
            Rotated::Lost(session, now) => {
                self.judge_again(&session, subject.generation, &client, now)
                    .await?;
                (session, now)
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

    /// Judges a genuine token that did not rotate: another tab was first, its answer was lost, the session is over, or it
    /// was copied. Ok: its successor may be returned again.
    async fn judge_again(
        &self,
        session: &Session,
        generation: u64,
        client: &ClientInfo,
        now: Micros,
    ) -> Result<(), ServiceError> {
        let policy = self.0.policies.of(&session.tenant_id).await?;
        let tokens = &self.0.config.tokens;
        let rules = RotationRules {
            grace: tokens.refresh_grace,
            access_token_lifetime: policy
                .effective(&session.user_id)
                .access_token_lifetime(tokens.access_token_lifetime),
            end_on_shared_token: policy.end_on_shared_refresh_token,
        };
        match decide_rotation(session, generation, client, &rules, now) {
            Rotation::Repeat => Ok(()),
            Rotation::Shared { finding, end } => {
                self.note_shared(session, &finding, &policy, now).await;
                if end {
                    return self.end_copied(session, SHARED, &policy, now).await;
                }
                Ok(())
            }
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
            Rotation::Theft => self.end_copied(session, REUSED, &policy, now).await,
        }
    }

    /// Ends a session whose refresh token was copied.
    async fn end_copied(
        &self,
        session: &Session,
        reason: &str,
        policy: &Policy,
        now: Micros,
    ) -> Result<(), ServiceError> {
        let outcome = self.0.log.submit(theft(session, reason)).await?;
        if outcome.changed > 0 {
            self.note_theft(session, policy, now).await;
        }
        Err(ServiceError::RefreshTokenReused)
    }

    /// The revocation is in the trail anyhow; this is the finding, unless the tenant has switched it off.
    async fn note_theft(&self, session: &Session, policy: &Policy, now: Micros) {
        let finding = Finding {
            code: FindingCode::RefreshTokenReused,
            facts: Vec::new(),
        };
        if policy.findings_disabled.contains(&finding.code) {
            return;
        }
        let of = (&session.tenant_id, session.id, &session.user_id);
        let event = PendingEvent::finding(&finding, now, of, Actor::authority());
        if let Err(error) = self.0.store.defer(&[event]).await {
            error.log("a finding is not in the audit trail");
        }
    }

    /// Notes that two clients presented one token, once for each token, unless the tenant has switched it off.
    async fn note_shared(
        &self,
        session: &Session,
        finding: &Finding,
        policy: &Policy,
        now: Micros,
    ) {
        let is_noted = session.shared_generation == Some(session.generation);
        if is_noted || policy.findings_disabled.contains(&finding.code) {
            return;
        }
        let of = (&session.tenant_id, session.id, &session.user_id);
        let event = PendingEvent::finding(finding, now, of, Actor::authority());
        let noted = self
            .0
            .store
            .note_shared_token(&session.tenant_id, session.id, session.generation, &event)
            .await;
        if let Err(error) = noted {
            error.log("a finding is not in the audit trail");
        }
    }
}

/// The reasons that the trail gives for the end of a session whose refresh token was copied.
const REUSED: &str = "an old refresh token was used again";
const SHARED: &str = "two clients presented one refresh token";

fn theft(session: &Session, reason: &str) -> Entry {
    Entry {
        event_id: EventId::generate(),
        actor: Actor::authority(),
        reason: reason.into(),
        user_message: String::new(),
        trace_parent: None,
        mutation: Mutation::RevokeSessions {
            tenant: session.tenant_id.clone(),
            sessions: vec![session.id],
            owner: None,
            cause: Cause::RefreshTokenReused,
        },
    }
}
