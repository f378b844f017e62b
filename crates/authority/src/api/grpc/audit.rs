//! `AuditService`.

mod dead_letters;
mod list;
mod watch;

use std::{pin::Pin, sync::Arc};

use futures::{Stream, StreamExt};

use portcullis_contract::{
    position::Revision,
    v1::{self, audit_service_server::AuditService},
};
use tonic::{Request, Response, Status};

use super::{incoming::Incoming, render};
use crate::app::{
    App, AppError,
    audit::{list_audit_events, verify_audit_trail},
    audit_watch::watch_audit_events,
    dead_letters::{answer_dead_letters, list_dead_letters},
};
use crate::domain::DeadLetterAnswer;

/// Revisions of one verification. A longer one would hold a connection of the store for too long.
const REVISIONS_MAX: u32 = 100_000;

/// Pieces of the trail, as they are sent.
type Pieces = Pin<Box<dyn Stream<Item = Result<v1::WatchAuditEventsResponse, Status>> + Send>>;

pub(crate) struct Audit {
    pub(crate) app: Arc<App>,
}

#[tonic::async_trait]
impl AuditService for Audit {
    async fn list_audit_events(
        &self,
        request: Request<v1::ListAuditEventsRequest>,
    ) -> Result<Response<v1::ListAuditEventsResponse>, Status> {
        let incoming = Incoming::new_in_role(request, |message, _| !message.tenant_id.is_empty())?;
        let asked = list::parse(&incoming)?;
        let pages = list::pages(&self.app, &incoming.caller, &asked);
        let below = list::position(&pages, &incoming.message.page_token)?;
        let page = list_audit_events(
            &self.app,
            &incoming.caller,
            &asked.filter,
            below,
            asked.page_size,
        )
        .await?;
        Ok(Response::new(v1::ListAuditEventsResponse {
            next_page_token: pages.next(page.next.map(list::cursor).as_ref()),
            events: page
                .events
                .into_iter()
                .map(render::audit::audit_event)
                .collect(),
        }))
    }

    type WatchAuditEventsStream = Pieces;

    async fn watch_audit_events(
        &self,
        request: Request<v1::WatchAuditEventsRequest>,
    ) -> Result<Response<Pieces>, Status> {
        let incoming = Incoming::new(request)?;
        let tenant = list::choose_tenant(&incoming, &incoming.message.tenant_id)?;
        let tokens = watch::ResumeTokens::new(&self.app, tenant.as_ref());
        let start = watch::start(&tokens, &incoming.message)?;
        let app = Arc::clone(&self.app);
        let until = incoming.answer_by;
        let pieces = watch_audit_events(app, &incoming.caller, tenant, start, until).await?;
        let pieces = pieces.map(move |piece| Ok(watch::answer(piece?, &tokens)));
        Ok(Response::new(Box::pin(pieces)))
    }

    async fn verify_audit_trail(
        &self,
        request: Request<v1::VerifyAuditTrailRequest>,
    ) -> Result<Response<v1::VerifyAuditTrailResponse>, Status> {
        let incoming = Incoming::new(request)?;
        let after = Revision(incoming.message.after_revision);
        let revisions_max = parse_revisions_max(incoming.message.revisions_max)?;
        let verdict = verify_audit_trail(&self.app, after, revisions_max).await?;
        Ok(Response::new(v1::VerifyAuditTrailResponse {
            verified: verdict.verified,
            through_revision: verdict.through.0,
            head_revision: verdict.head.0,
            fault: verdict.fault.as_ref().map(render::audit::audit_fault),
            erased: verdict
                .erased
                .iter()
                .map(render::audit::erased_rows)
                .collect(),
            begin: render::audit::trail_begin(&verdict.begin),
            removed: verdict.removed,
        }))
    }

    async fn list_dead_letters(
        &self,
        request: Request<v1::ListDeadLettersRequest>,
    ) -> Result<Response<v1::ListDeadLettersResponse>, Status> {
        let incoming = Incoming::new(request)?;
        let asked = dead_letters::parse_list(&incoming.message)?;
        let pages = dead_letters::pages(&self.app, &incoming.caller, &asked);
        let after = dead_letters::position(&pages, &incoming.message.page_token)?;
        let after = after.as_ref().map(|after| (&*after.export, after.letter));
        let page =
            list_dead_letters(&self.app, asked.export.as_deref(), after, asked.page_size).await?;
        let last = page.letters.last().filter(|_| page.has_more);
        Ok(Response::new(v1::ListDeadLettersResponse {
            next_page_token: pages.next(last.map(dead_letters::cursor).as_ref()),
            letters: page
                .letters
                .into_iter()
                .map(render::audit::dead_letter)
                .collect(),
        }))
    }

    async fn retry_dead_letters(
        &self,
        request: Request<v1::RetryDeadLettersRequest>,
    ) -> Result<Response<v1::RetryDeadLettersResponse>, Status> {
        let (origin, named) = Incoming::new(request)?.installation_change(|source| {
            let message = source.message;
            let letters = &message.letters;
            Ok(dead_letters::parse_change(
                source.fields,
                &message.export,
                letters,
            ))
        })?;
        let (export, letters) = (named.export, named.letters);
        let retry = DeadLetterAnswer::Retry;
        let answered = answer_dead_letters(&self.app, &origin, &export, letters, retry).await?;
        Ok(Response::new(v1::RetryDeadLettersResponse {
            changed: answered.changed,
            remaining: answered.remaining,
        }))
    }

    async fn drop_dead_letters(
        &self,
        request: Request<v1::DropDeadLettersRequest>,
    ) -> Result<Response<v1::DropDeadLettersResponse>, Status> {
        let (origin, named) = Incoming::new(request)?.installation_change(|source| {
            let message = source.message;
            let letters = &message.letters;
            Ok(dead_letters::parse_change(
                source.fields,
                &message.export,
                letters,
            ))
        })?;
        let (export, letters) = (named.export, named.letters);
        let drop = DeadLetterAnswer::Drop;
        let answered = answer_dead_letters(&self.app, &origin, &export, letters, drop).await?;
        Ok(Response::new(v1::DropDeadLettersResponse {
            changed: answered.changed,
            remaining: answered.remaining,
        }))
    }
}

fn parse_revisions_max(asked: u32) -> Result<u32, AppError> {
    match asked {
        // Unset on the wire: as many as one call may ask for.
        0 => Ok(REVISIONS_MAX),
        1..=REVISIONS_MAX => Ok(asked),
        _ => Err(AppError::invalid(
            "revisions_max",
            format!("must be at most {REVISIONS_MAX}"),
        )),
    }
}
