//! `WatchAuditEvents`: where a stream begins, and the tokens by which it goes on.

use std::sync::Arc;

use portcullis_contract::{
    id::TenantId,
    position::{Chain, Revision},
    v1,
};

use crate::{
    api::grpc::render,
    app::{
        App, AppError,
        audit_watch::{TrailPiece, TrailPlace, TrailStart},
    },
    domain::TrailPosition,
};

const POSITION_BYTES: usize = 28;
const TOKEN_BYTES: usize = POSITION_BYTES + 32;

/// The tokens of one tenant. Any caller who may watch the tenant may go on with them.
pub(super) struct ResumeTokens {
    app: Arc<App>,
    context: String,
}

impl ResumeTokens {
    pub(super) fn new(app: &Arc<App>, tenant: Option<&TenantId>) -> Self {
        let tenant = tenant.map_or("", TenantId::as_str);
        Self {
            app: Arc::clone(app),
            // The number is the version of the bytes: a token of another layout is refused, and not
            // misread.
            context: format!("WatchAuditEvents/1\0{tenant}"),
        }
    }

    fn make(&self, place: TrailPlace) -> String {
        let bytes = [&place.position.to_bytes()[..], &place.chain.0].concat();
        self.app
            .secrets
            .pages()
            .make(self.context.as_bytes(), &bytes)
    }

    fn read(&self, token: &str) -> Option<TrailPlace> {
        let bytes: Vec<u8> = self
            .app
            .secrets
            .pages()
            .read(self.context.as_bytes(), token)?;
        let bytes: [u8; TOKEN_BYTES] = bytes.try_into().ok()?;
        let (position, chain) = bytes.split_first_chunk::<POSITION_BYTES>()?;
        Some(TrailPlace {
            position: TrailPosition::from_bytes(*position),
            chain: Chain(chain.try_into().ok()?),
        })
    }
}

/// Where the stream of a request begins.
pub(super) fn start(
    tokens: &ResumeTokens,
    message: &v1::WatchAuditEventsRequest,
) -> Result<TrailStart, AppError> {
    match (&*message.resume_token, message.after_revision) {
        ("", None) => Ok(TrailStart::Now),
        ("", Some(revision)) => Ok(TrailStart::Behind(Revision(revision))),
        (token, None) => match tokens.read(token) {
            Some(place) => Ok(TrailStart::Resumed(place)),
            None => Err(AppError::invalid(
                "resume_token",
                "must be of an earlier answer for the same tenant",
            )),
        },
        (_, Some(_)) => Err(AppError::invalid(
            "after_revision",
            "must not be set beside resume_token",
        )),
    }
}

pub(super) fn answer(piece: TrailPiece, tokens: &ResumeTokens) -> v1::WatchAuditEventsResponse {
    let events = piece.events.into_iter().map(render::audit::audit_event);
    v1::WatchAuditEventsResponse {
        events: events.collect(),
        resume_token: tokens.make(piece.place),
    }
}
