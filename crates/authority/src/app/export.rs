//! The export of everything that is held about a user.

use portcullis_contract::id::{TenantId, UserId};

use super::{App, AppError};
use crate::domain::{ExportKind, ExportedRecord, ExportedValue, PageCursor};

/// The position of a page: the kind of its first record, and the position among those of this kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExportPosition {
    pub(crate) kind: ExportKind,
    pub(crate) after: Option<PageCursor>,
}

/// One page of an export.
pub(crate) struct ExportPage {
    pub(crate) records: Vec<ExportedRecord>,
    /// The position of the next page. None: this is the last one.
    pub(crate) next: Option<ExportPosition>,
}

/// Returns the records about a user from a position on. A user about whom nothing is held is not found.
pub(crate) async fn export_user(
    app: &App,
    tenant: &TenantId,
    user: &UserId,
    from: Option<ExportPosition>,
    page_size: u32,
) -> Result<ExportPage, AppError> {
    let is_first = from.is_none();
    let mut next = Some(from.unwrap_or(ExportPosition {
        kind: ExportKind::User,
        after: None,
    }));
    let mut records = Vec::new();
    while let Some(position) = &next {
        // A page may have several kinds. Otherwise each kind would cost a call, however few records
        // it has.
        let found = u32::try_from(records.len()).unwrap_or(u32::MAX);
        let room = page_size.saturating_sub(found);
        if room == 0 {
            break;
        }
        let (page, after) = read_kind(app, tenant, user, position, room).await?;
        records.extend(page);
        next = position_behind(position.kind, after);
    }
    if is_first && next.is_none() && records.is_empty() {
        return Err(AppError::UserNotFound);
    }
    Ok(ExportPage { records, next })
}

/// Reads records of the kind of a position. Also returns where the next ones of the kind begin.
async fn read_kind(
    app: &App,
    tenant: &TenantId,
    user: &UserId,
    position: &ExportPosition,
    room: u32,
) -> Result<(Vec<ExportedRecord>, Option<PageCursor>), AppError> {
    // The user's values are a part of the tenant's row, which no statement about a user finds.
    if position.kind == ExportKind::Policy {
        return Ok((policy_records(app, tenant, user).await?, None));
    }
    let after = position.after.as_ref();
    let reading = app
        .store
        .export_user(tenant, user, position.kind, after, room);
    Ok(reading.await?)
}

/// The position behind records of a kind. None: nothing is left, of this kind and of all.
fn position_behind(kind: ExportKind, after: Option<PageCursor>) -> Option<ExportPosition> {
    if after.is_some() {
        return Some(ExportPosition { kind, after });
    }
    let kind = kind.next()?;
    Some(ExportPosition { kind, after })
}

/// The values of the user's own in the policy of the tenant.
async fn policy_records(
    app: &App,
    tenant: &TenantId,
    user: &UserId,
) -> Result<Vec<ExportedRecord>, AppError> {
    let policy = app.store.policy(tenant).await?;
    let Some(own) = policy.and_then(|(mut policy, _)| policy.user_overrides.remove(user)) else {
        return Ok(Vec::new());
    };
    let values = serde_json::to_string(&own).map_err(|_| AppError::Internal)?;
    Ok(vec![ExportedRecord {
        kind: ExportKind::Policy,
        fields: vec![("values".to_owned(), ExportedValue::Text(values))],
    }])
}
