//! The extractor of requests for a change: wait, tenant, reason, message, acting user and preview are read in one place.

use portcullis_contract::{
    id::TenantId,
    v1::{self, Wait},
};

use super::{incoming::Incoming, parse::Fields};
use crate::app::{AppError, Caller, ChangeOrigin};

/// The fields that requests for a change have in common.
pub(crate) struct ChangeFields<'a> {
    pub(crate) wait: Wait,
    pub(crate) reason: Reason<'a>,
    pub(crate) user_message: &'a str,
    pub(crate) acting_user: Option<&'a v1::ActingUser>,
}

impl<'a> ChangeFields<'a> {
    /// The fields of a request that has only a reason.
    pub(crate) fn with(reason: Reason<'a>) -> Self {
        Self {
            wait: Wait::Unspecified,
            reason,
            user_message: "",
            acting_user: None,
        }
    }
}

/// The reason that a request gives.
#[derive(Clone, Copy)]
pub(crate) enum Reason<'a> {
    Required(&'a str),
    Optional(&'a str),
}

/// A request for a change.
pub(crate) trait ChangeMessage {
    fn change_fields(&self) -> ChangeFields<'_>;
}

/// A request for a change within one tenant.
pub(crate) trait TenantChangeMessage: ChangeMessage {
    fn tenant_id(&self) -> &str;
}

/// A request for a change that the caller may preview.
pub(crate) trait PreviewableMessage: TenantChangeMessage {
    fn validate_only(&self) -> bool;
}

/// A change within one tenant, parsed.
pub(crate) struct TenantChange<T> {
    pub(crate) origin: ChangeOrigin,
    pub(crate) tenant: TenantId,
    /// The things that the change is about, such as sessions.
    pub(crate) subject: T,
}

/// A preview of a change, parsed. It changes nothing and needs no reason.
pub(crate) struct PreviewRequest<T> {
    pub(crate) caller: Caller,
    pub(crate) tenant: TenantId,
    pub(crate) subject: T,
}

/// A request that either previews or applies a change.
pub(crate) enum Previewable<T> {
    Preview(PreviewRequest<T>),
    Apply(TenantChange<T>),
}

/// Everything that the subject of a change is parsed from.
pub(crate) struct SubjectSource<'a, M> {
    pub(crate) fields: &'a mut Fields,
    pub(crate) message: &'a M,
    pub(crate) caller: &'a Caller,
}

impl<M: ChangeMessage> Incoming<M> {
    /// Reads a change of the whole installation.
    pub(crate) fn installation_change<T>(
        self,
        read_subject: impl FnOnce(SubjectSource<'_, M>) -> Result<Option<T>, AppError>,
    ) -> Result<(ChangeOrigin, T), AppError> {
        // No tenant is chosen here. The table denies changes of the installation to services that are bound to one.
        let mut fields = Fields::default();
        let subject = read_subject(self.subject_source(&mut fields))?;
        self.read_origin(fields, subject)
    }

    fn subject_source<'a>(&'a self, fields: &'a mut Fields) -> SubjectSource<'a, M> {
        SubjectSource {
            fields,
            message: &self.message,
            caller: &self.caller,
        }
    }

    /// Reads the origin last, and reports its problems together with those of the subject.
    fn read_origin<T>(
        self,
        mut fields: Fields,
        subject: Option<T>,
    ) -> Result<(ChangeOrigin, T), AppError> {
        let common = self.message.change_fields();
        let enforced_until = match common.wait {
            Wait::Enforced => Some(self.answer_by),
            Wait::Unspecified | Wait::Committed => None,
        };
        if self.caller.own_user().is_some() {
            forbid_words(&mut fields, &common);
        }
        let reason = match common.reason {
            Reason::Required(reason) => fields.required_reason(reason),
            Reason::Optional(reason) => fields.reason(reason),
        };
        let user_message = fields.user_message(common.user_message);
        // A person may send an acting user. It is checked like any field, and ignored: people act for themselves.
        let acting_user = fields.acting_user(common.acting_user);
        let acting_user = acting_user.filter(|_| matches!(self.caller, Caller::Service(_)));

        // `None` without a problem would be a mistake of `read_subject`. It must not apply a change to nothing.
        let subject = fields.finish(subject)?.ok_or(AppError::Internal)?;
        let origin = ChangeOrigin {
            caller: self.caller,
            acting_user,
            reason,
            user_message,
            trace_parent: self.trace_parent,
            received: self.received,
            enforced_until,
        };
        Ok((origin, subject))
    }
}

impl<M: TenantChangeMessage> Incoming<M> {
    /// Reads a change within one tenant. `read_subject` returns `None` after it has reported a problem.
    pub(crate) fn tenant_change<T>(
        self,
        read_subject: impl FnOnce(SubjectSource<'_, M>) -> Result<Option<T>, AppError>,
    ) -> Result<TenantChange<T>, AppError> {
        // The tenant comes first: whether the caller may name it decides before any other field is looked at.
        let tenant = self.tenant(self.message.tenant_id())?;
        let mut fields = Fields::default();
        let subject = read_subject(self.subject_source(&mut fields))?;
        let (origin, subject) = self.read_origin(fields, subject)?;
        Ok(TenantChange {
            origin,
            tenant,
            subject,
        })
    }
}

impl<M: PreviewableMessage> Incoming<M> {
    /// Reads a change that the caller may preview. `read_subject` returns `None` after it has reported a problem.
    pub(crate) fn previewable_change<T>(
        self,
        read_subject: impl FnOnce(SubjectSource<'_, M>) -> Result<Option<T>, AppError>,
    ) -> Result<Previewable<T>, AppError> {
        if !self.message.validate_only() {
            return self.tenant_change(read_subject).map(Previewable::Apply);
        }

        let tenant = self.tenant(self.message.tenant_id())?;
        let mut fields = Fields::default();
        let subject = read_subject(self.subject_source(&mut fields))?;
        let subject = fields.finish(subject)?.ok_or(AppError::Internal)?;
        Ok(Previewable::Preview(PreviewRequest {
            caller: self.caller,
            tenant,
            subject,
        }))
    }
}

/// Refuses words of users: reasons and messages are an administrator's.
fn forbid_words(fields: &mut Fields, common: &ChangeFields<'_>) {
    let (Reason::Required(reason) | Reason::Optional(reason)) = common.reason;
    for (field, text) in [("reason", reason), ("user_message", common.user_message)] {
        if !text.is_empty() {
            fields.wrong(field, "must be empty when a user calls");
        }
    }
}
