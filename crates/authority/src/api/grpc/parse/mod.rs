//! Reads fields of requests into domain types. All problems of a request are reported together, each with its field.

mod client;
mod decoration;
mod time;

use std::collections::HashSet;

use portcullis_contract::{
    id::{ApiKeyId, SessionId, TenantId, UserId},
    key::KeyId,
    text::{Text, TextError},
    token::{SCOPE_BYTES_MAX, is_scope},
    v1,
};

pub(crate) use self::decoration::{FieldWarning, Repair, address_or_empty};
use crate::{
    app::{AppError, CLIENT_ID_BYTES_MAX, Caller, InvalidField, token_text_problem},
    domain::{UserRole, UserRoles},
};

/// The longest reason or message, in bytes.
const REASON_BYTES_MAX: usize = 1024;
/// The most ids of a batch.
const BATCH_IDS_MAX: usize = 1000;
/// The most amr values or audiences of a token.
const TOKEN_LIST_MAX: usize = 16;
/// The longest path of a request, in bytes.
pub(crate) const PAGE_BYTES_MAX: usize = 512;
/// The most scopes of an API key.
const SCOPES_MAX: usize = 64;

/// The most problems or warnings that are reported: the answer has to fit into the headers of an error.
pub(crate) const PROBLEMS_MAX: usize = 32;

/// Reads fields, and collects their problems and warnings.
#[derive(Default)]
pub(crate) struct Fields {
    problems: Vec<InvalidField>,
    warnings: Vec<FieldWarning>,
}

impl Fields {
    /// Reads one field.
    pub(crate) fn one<T>(
        field: &'static str,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Result<T, AppError> {
        let mut fields = Self::default();
        let value = read(&mut fields);
        fields
            .finish(value)?
            .ok_or_else(|| AppError::invalid(field, "must be valid"))
    }

    /// Returns `value` if no field had a problem.
    pub(crate) fn finish<T>(self, value: T) -> Result<T, AppError> {
        if self.problems.is_empty() {
            Ok(value)
        } else {
            Err(AppError::Invalid(self.problems))
        }
    }

    /// Reports a problem of a field.
    pub(crate) fn wrong(&mut self, field: &str, problem: impl Into<String>) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(InvalidField {
                field: field.to_owned(),
                problem: problem.into(),
            });
        }
    }

    fn check<T, E: ToString>(&mut self, field: &str, parsed: Result<T, E>) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(error) => {
                self.wrong(field, error.to_string());
                None
            }
        }
    }

    pub(crate) fn tenant(&mut self, field: &str, id: &str) -> Option<TenantId> {
        self.check(field, TenantId::parse(id))
    }

    pub(crate) fn user(&mut self, field: &str, id: &str) -> Option<UserId> {
        self.check(field, UserId::parse(id))
    }

    /// The roles of a person, each once or more often.
    pub(crate) fn user_roles(&mut self, field: &str, roles: &[i32]) -> Option<UserRoles> {
        let mut parsed = Vec::with_capacity(roles.len());
        for role in roles {
            match v1::UserRole::try_from(*role) {
                Ok(v1::UserRole::Support) => parsed.push(UserRole::Support),
                Ok(v1::UserRole::Admin) => parsed.push(UserRole::Admin),
                // A role of a later version must not be lost in silence.
                Ok(v1::UserRole::Unspecified) | Err(_) => {
                    self.wrong(field, "must be USER_ROLE_SUPPORT or USER_ROLE_ADMIN");
                    return None;
                }
            }
        }
        Some(parsed.into_iter().collect())
    }

    /// The user of a request: a user may name only themselves, or nobody.
    pub(crate) fn own_or_named_user(
        &mut self,
        caller: &Caller,
        user_id: &str,
    ) -> Result<Option<UserId>, AppError> {
        match caller.own_user() {
            Some(own) if user_id.is_empty() || user_id == own.as_str() => Ok(Some(own.clone())),
            Some(_) => Err(AppError::Denied),
            None => Ok(self.user("user_id", user_id)),
        }
    }

    /// The user of a list. A service that names nobody asks for all users.
    pub(crate) fn own_or_any_user(
        &mut self,
        caller: &Caller,
        user_id: &str,
    ) -> Result<Option<UserId>, AppError> {
        if caller.own_user().is_none() && user_id.is_empty() {
            return Ok(None);
        }
        self.own_or_named_user(caller, user_id)
    }

    pub(crate) fn session(&mut self, field: &str, id: &str) -> Option<SessionId> {
        self.check(field, id.parse::<SessionId>())
    }

    /// A session, unless the id is empty.
    pub(crate) fn optional_session(&mut self, field: &str, id: &str) -> Option<SessionId> {
        if id.is_empty() {
            return None;
        }
        self.session(field, id)
    }

    pub(crate) fn api_key(&mut self, field: &str, id: &str) -> Option<ApiKeyId> {
        self.check(field, id.parse::<ApiKeyId>())
    }

    pub(crate) fn key(&mut self, field: &str, id: &str) -> Option<KeyId> {
        self.check(field, KeyId::parse(id))
    }

    /// A text of at most `MAX` bytes. It may be empty.
    pub(crate) fn text<const MAX: usize>(&mut self, field: &str, text: &str) -> String {
        match self.check(field, Text::<MAX>::parse(text)) {
            Some(text) => text.into_string(),
            None => String::new(),
        }
    }

    pub(crate) fn required_text<const MAX: usize>(&mut self, field: &str, text: &str) -> String {
        if text.trim().is_empty() {
            self.wrong(field, TextError::Empty.to_string());
        }
        self.text::<MAX>(field, text)
    }

    pub(crate) fn reason(&mut self, reason: &str) -> String {
        self.text::<REASON_BYTES_MAX>("reason", reason)
    }

    pub(crate) fn required_reason(&mut self, reason: &str) -> String {
        self.required_text::<REASON_BYTES_MAX>("reason", reason)
    }

    pub(crate) fn user_message(&mut self, message: &str) -> String {
        self.text::<REASON_BYTES_MAX>("user_message", message)
    }

    fn texts<const MAX: usize>(
        &mut self,
        field: &str,
        texts: &[String],
        count_max: usize,
    ) -> Vec<String> {
        // The count is checked first, so that a huge list does not cost a report of each entry.
        if texts.len() > count_max {
            self.wrong(field, format!("must have at most {count_max} entries"));
            return Vec::new();
        }
        let mut read = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            let name = format!("{field}[{index}]");
            if text.is_empty() {
                self.wrong(&name, TextError::Empty.to_string());
            }
            read.push(self.text::<MAX>(&name, text));
        }
        read
    }

    pub(crate) fn amr(&mut self, amr: &[String]) -> Vec<String> {
        self.texts::<64>("amr", amr, TOKEN_LIST_MAX)
    }

    pub(crate) fn audiences(&mut self, audiences: &[String]) -> Vec<String> {
        self.texts::<256>("audiences", audiences, TOKEN_LIST_MAX)
    }

    /// The client that tokens are issued to (RFC 6749, appendix A.1). It may be empty.
    pub(crate) fn client_id(&mut self, client_id: &str) -> String {
        let read = self.text::<CLIENT_ID_BYTES_MAX>("client_id", client_id);
        if !read.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            self.wrong(
                "client_id",
                "must be of visible ASCII characters and spaces",
            );
        }
        read
    }

    /// Checks the length of the texts of a session's token.
    pub(crate) fn token_text(&mut self, audiences: &[String], amr: &[String], acr: &str) {
        if let Some(problem) = token_text_problem(audiences, amr, acr) {
            self.wrong("audiences", problem);
        }
    }

    /// The scopes of an API key.
    pub(crate) fn scopes(&mut self, scopes: &[String]) -> Vec<String> {
        let read = self.texts::<SCOPE_BYTES_MAX>("scopes", scopes, SCOPES_MAX);
        for (index, scope) in read.iter().enumerate() {
            if !scope.is_empty() && !is_scope(scope) {
                self.wrong(
                    &format!("scopes[{index}]"),
                    "must be of visible ASCII characters without \" and \\",
                );
            }
        }
        read
    }

    /// Reads 1 to [`BATCH_IDS_MAX`] ids. Duplicates are dropped.
    pub(crate) fn ids<T>(
        &mut self,
        field: &str,
        ids: &[String],
        read: impl Fn(&mut Self, &str, &str) -> Option<T>,
    ) -> Vec<T> {
        if ids.is_empty() || ids.len() > BATCH_IDS_MAX {
            self.wrong(field, format!("must have 1 to {BATCH_IDS_MAX} ids"));
            return Vec::new();
        }
        let mut seen = HashSet::with_capacity(ids.len());
        let mut parsed = Vec::with_capacity(ids.len());
        for (index, id) in ids.iter().enumerate() {
            if !seen.insert(id) {
                continue;
            }
            // The name of the place is made for a problem only. For each id it would cost more than all the rest.
            match read(&mut Self::default(), "", id) {
                Some(value) => parsed.push(value),
                None => parsed.extend(read(self, &format!("{field}[{index}]"), id)),
            }
        }
        parsed
    }
}
