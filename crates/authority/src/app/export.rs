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
    let mut position = from.unwrap_or(ExportPosition {
        kind: ExportKind::User,
        after: None,
    });
    let mut records = Vec::new();
    loop {
        let found = u32::try_from(records.len()).unwrap_or(u32::MAX);
        let room = page_size.saturating_sub(found);
        if room == 0 {
            return Ok(ExportPage {
                records,
                next: Some(position),
            });
        }

        let after = position.after.as_ref();
        let (page, next) = match position.kind {
            ExportKind::Policy => (policy_records(app, tenant, user).await?, None),
            kind => {
                app.store
                    .export_user(tenant, user, kind, after, room)
                    .await?
            }
        };
        records.extend(page);
        position = match (next, position.kind.next()) {
            (Some(after), _) => ExportPosition {
                kind: position.kind,
                after: Some(after),
            },
            (None, Some(kind)) => ExportPosition { kind, after: None },
            (None, None) if is_first && records.is_empty() => return Err(AppError::UserNotFound),
            (None, None) => {
                return Ok(ExportPage {
                    records,
                    next: None,
                });
            }
        };
    }
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
