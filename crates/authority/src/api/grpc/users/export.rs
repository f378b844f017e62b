//! `ExportUser`: the user, the page, and records as messages.

use portcullis_contract::{
    id::{TenantId, UserId},
    v1,
};

use crate::{
    api::grpc::{incoming::Incoming, lists::Pages, parse::Fields, render::timestamp},
    app::{App, AppError, Caller, export::ExportPosition},
    domain::{ExportKind, ExportedRecord, ExportedValue, PageCursor},
};

/// The export that a request asks for.
pub(super) struct AskedExport {
    pub(super) tenant: TenantId,
    pub(super) user: UserId,
    pub(super) page_size: u32,
}

pub(super) fn parse(incoming: &Incoming<v1::ExportUserRequest>) -> Result<AskedExport, AppError> {
    let message = &incoming.message;
    let tenant = incoming.tenant(&message.tenant_id)?;
    let mut fields = Fields::default();
    let user = fields.user("user_id", &message.user_id);
    let page_size = fields.page_size(message.page_size);
    let user = fields.finish(user)?.ok_or(AppError::Internal)?;
    Ok(AskedExport {
        tenant,
        user,
        page_size,
    })
}

/// The page tokens of this export.
pub(super) fn pages(app: &App, caller: &Caller, asked: &AskedExport) -> Pages {
    let arguments = format!("{}\0{}", asked.tenant, asked.user);
    Pages::new(app, caller, "ExportUser", &arguments)
}

/// The position at which the page of a token begins. The first byte is the kind.
pub(super) fn position(pages: &Pages, token: &str) -> Result<Option<ExportPosition>, AppError> {
    let Some(PageCursor(bytes)) = pages.after(token)? else {
        return Ok(None);
    };
    let (code, after) = bytes.split_first().ok_or(AppError::PageToken)?;
    let kind = ExportKind::from_code(*code).ok_or(AppError::PageToken)?;
    let after = (!after.is_empty()).then(|| PageCursor(after.to_vec()));
    Ok(Some(ExportPosition { kind, after }))
}

pub(super) fn cursor(position: &ExportPosition) -> PageCursor {
    let mut bytes = vec![position.kind.code()];
    if let Some(PageCursor(after)) = &position.after {
        bytes.extend(after);
    }
    PageCursor(bytes)
}

pub(super) fn record(record: ExportedRecord) -> v1::ExportedRecord {
    let fields = record.fields.into_iter();
    v1::ExportedRecord {
        kind: kind(record.kind).into(),
        fields: fields.map(|(name, value)| (name, text(value))).collect(),
    }
}

fn kind(kind: ExportKind) -> v1::ExportedKind {
    match kind {
        ExportKind::User => v1::ExportedKind::User,
        ExportKind::Policy => v1::ExportedKind::Policy,
        ExportKind::Session => v1::ExportedKind::Session,
        ExportKind::KnownSignIn => v1::ExportedKind::KnownSignIn,
        ExportKind::ApiKey => v1::ExportedKind::ApiKey,
        ExportKind::ApiKeyUse => v1::ExportedKind::ApiKeyUse,
        ExportKind::EventAbout => v1::ExportedKind::EventAbout,
        ExportKind::EventBy => v1::ExportedKind::EventBy,
    }
}

fn text(value: ExportedValue) -> String {
    match value {
        ExportedValue::Text(text) => text,
        ExportedValue::Number(number) => number.to_string(),
        ExportedValue::Time(time) => timestamp(time).to_string(),
        ExportedValue::Session(id) => id.to_string(),
        ExportedValue::ApiKey(id) => id.to_string(),
        ExportedValue::Event(id) => id.to_string(),
    }
}
