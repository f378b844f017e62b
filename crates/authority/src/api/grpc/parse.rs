//! Requests become domain types here, once. Every problem of a request is reported, each with its field.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use portcullis_contract::{
    id::{ApiKeyId, SessionId, TenantId, UserId},
    key::KeyId,
    text::{Text, TextError},
    token::{SCOPE_BYTES_MAX, is_scope},
    v1,
};

use crate::app::{ActingUser, AppError, InvalidField, token_text_problem};
use crate::domain::{
    ClientInfo, Micros, Profile,
    device::{AppWords, ClientHints},
};

/// The longest reason or message, in bytes.
const REASON_BYTES_MAX: usize = 1024;
/// The most ids of a batch.
const BATCH_IDS_MAX: usize = 1000;

/// How far a caller's clock may be ahead.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

/// The most problems that are told: an answer has to fit into an error.
pub(crate) const PROBLEMS_MAX: usize = 32;

/// Collects what is wrong with a request.
#[derive(Default)]
pub(crate) struct Fields {
    problems: Vec<InvalidField>,
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
            .finish(value)
            .and_then(|value| value.ok_or_else(|| AppError::invalid(field, "is invalid")))
    }

    /// `value` when nothing was wrong.
    pub(crate) fn finish<T>(self, value: T) -> Result<T, AppError> {
        if self.problems.is_empty() {
            Ok(value)
        } else {
            Err(AppError::Invalid(self.problems))
        }
    }

    pub(crate) fn wrong(&mut self, field: &str, problem: impl Into<String>) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(InvalidField {
                field: field.to_owned(),
                problem: problem.into(),
            });
        }
    }

    fn check<T>(&mut self, field: &str, parsed: Result<T, TextError>) -> Option<T> {
        parsed
            .map_err(|error| self.wrong(field, error.to_string()))
            .ok()
    }

    pub(crate) fn tenant(&mut self, field: &str, id: &str) -> Option<TenantId> {
        self.check(field, TenantId::parse(id))
    }

    pub(crate) fn user(&mut self, field: &str, id: &str) -> Option<UserId> {
        self.check(field, UserId::parse(id))
    }

    pub(crate) fn session(&mut self, field: &str, id: &str) -> Option<SessionId> {
        self.check(field, id.parse())
    }

    /// A session, unless the id is empty.
    pub(crate) fn optional_session(&mut self, field: &str, id: &str) -> Option<SessionId> {
        if id.is_empty() {
            return None;
        }
        self.session(field, id)
    }

    pub(crate) fn api_key(&mut self, field: &str, id: &str) -> Option<ApiKeyId> {
        self.check(field, id.parse())
    }

    pub(crate) fn key(&mut self, field: &str, id: &str) -> Option<KeyId> {
        KeyId::parse(id)
            .map_err(|error| self.wrong(field, error.to_string()))
            .ok()
    }

    pub(crate) fn text<const MAX: usize>(&mut self, field: &str, text: &str) -> String {
        self.check(field, Text::<MAX>::parse(text))
            .map(Text::into_string)
            .unwrap_or_default()
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
        if texts.len() > count_max {
            self.wrong(field, format!("must have at most {count_max} entries"));
            return Vec::new();
        }
        let named = texts
            .iter()
            .enumerate()
            .map(|(index, text)| (format!("{field}[{index}]"), text));
        let mut read = Vec::with_capacity(texts.len());
        for (name, text) in named {
            if text.is_empty() {
                self.wrong(&name, TextError::Empty.to_string());
            }
            read.push(self.text::<MAX>(&name, text));
        }
        read
    }

    pub(crate) fn amr(&mut self, amr: &[String]) -> Vec<String> {
        self.texts::<64>("amr", amr, 16)
    }

    pub(crate) fn audiences(&mut self, audiences: &[String]) -> Vec<String> {
        self.texts::<256>("audiences", audiences, 16)
    }

    /// What a session's token says besides ids.
    pub(crate) fn token_text(&mut self, audiences: &[String], amr: &[String], acr: &str) {
        if let Some(problem) = token_text_problem(audiences, amr, acr) {
            self.wrong("audiences", problem);
        }
    }

    /// What an API key may do.
    pub(crate) fn scopes(&mut self, scopes: &[String]) -> Vec<String> {
        let read = self.texts::<SCOPE_BYTES_MAX>("scopes", scopes, 64);
        for (index, _) in read
            .iter()
            .enumerate()
            .filter(|(_, scope)| !scope.is_empty() && !is_scope(scope))
        {
            self.wrong(
                &format!("scopes[{index}]"),
                "must be of visible ASCII characters without \" and \\",
            );
        }
        read
    }

    /// 1 to [`BATCH_IDS_MAX`] ids, duplicates dropped.
    pub(crate) fn ids<T: PartialEq>(
        &mut self,
        field: &str,
        ids: &[String],
        read: impl Fn(&mut Self, &str, &str) -> Option<T>,
    ) -> Vec<T> {
        if ids.is_empty() || ids.len() > BATCH_IDS_MAX {
            self.wrong(field, format!("must have 1 to {BATCH_IDS_MAX} ids"));
            return Vec::new();
        }
        let mut distinct: Vec<(&String, usize)> = ids.iter().zip(0..).collect();
        distinct.sort_unstable();
        distinct.dedup_by_key(|(id, _)| *id);
        let read = |(id, at): (&String, usize)| read(self, &format!("{field}[{at}]"), id);
        distinct.into_iter().filter_map(read).collect()
    }

    pub(crate) fn ip(&mut self, field: &str, ip: &str) -> String {
        if ip.is_empty() {
            return String::new();
        }
        match ip.parse::<IpAddr>() {
            Ok(ip) => ip.to_string(),
            Err(_) => {
                self.wrong(field, "is not an IPv4 or IPv6 address");
                String::new()
            }
        }
    }

    pub(crate) fn client(&mut self, client: Option<&v1::Client>) -> ClientInfo {
        let Some(client) = client else {
            return ClientInfo::default();
        };
        ClientInfo {
            ip: self.ip("client.ip", &client.ip),
            user_agent: self.text::<1024>("client.user_agent", &client.user_agent),
            device_id: self.text::<128>("client.device_id", &client.device_id),
            app_name: self.text::<128>("client.app_name", &client.app_name),
        }
    }

    /// What the caller says about the device, beside the user agent.
    pub(crate) fn device(&mut self, client: Option<&v1::Client>) -> (ClientHints, AppWords) {
        let Some(client) = client else {
            return Default::default();
        };
        let app = AppWords {
            app_name: client.app_name.clone(),
            app_version: self.text::<64>("client.app_version", &client.app_version),
            os: self.text::<64>("client.os", &client.os),
            os_version: self.text::<64>("client.os_version", &client.os_version),
            model: self.text::<64>("client.device_model", &client.device_model),
        };
        let sent = client.hints.clone().unwrap_or_default();
        let mut hint =
            |name: &str, value: &str| self.text::<512>(&format!("client.hints.{name}"), value);
        let hints = ClientHints {
            brands: hint("ua", &sent.ua),
            full_version_list: hint("full_version_list", &sent.full_version_list),
            platform: hint("platform", &sent.platform),
            platform_version: hint("platform_version", &sent.platform_version),
            model: hint("model", &sent.model),
            mobile: hint("mobile", &sent.mobile),
            form_factors: hint("form_factors", &sent.form_factors),
        };
        (hints, app)
    }

    pub(crate) fn profile(&mut self, user: &v1::SessionUser) -> Profile {
        Profile {
            user_name: self.text::<256>("user.user_name", &user.user_name),
            given_name: self.text::<256>("user.given_name", &user.given_name),
            family_name: self.text::<256>("user.family_name", &user.family_name),
            email: self.text::<320>("user.email", &user.email),
        }
    }

    /// Any time from 1970 on, to compare with.
    pub(crate) fn instant(
        &mut self,
        field: &str,
        time: Option<&prost_types::Timestamp>,
    ) -> Option<Micros> {
        let micros = micros(time?);
        if micros.is_none() {
            self.wrong(field, "is not a time from 1970 on");
        }
        micros
    }

    pub(crate) fn past(
        &mut self,
        field: &str,
        time: Option<&prost_types::Timestamp>,
    ) -> Option<Micros> {
        // By this machine's clock, as a sanity check only: nothing is decided by the difference.
        let time = micros(time?).filter(|time| *time <= now().after(CLOCK_TOLERANCE));
        if time.is_none() {
            self.wrong(field, "is not a time between 1970 and now");
        }
        time
    }

    /// A time to come, at most `ahead`, in whole seconds.
    pub(crate) fn future(
        &mut self,
        field: &str,
        time: Option<&prost_types::Timestamp>,
        ahead: Duration,
    ) -> Option<Micros> {
        let time = micros(time?).map(|Micros(time)| Micros(time - time % 1_000_000));
        let time = time.filter(|time| now() < *time && *time <= now().after(ahead));
        if time.is_none() {
            self.wrong(
                field,
                format!(
                    "is not a time between now and {} days ahead",
                    ahead.as_secs() / 86_400
                ),
            );
        }
        time
    }

    /// A duration that is not negative; what else it must be is for its rule to say.
    pub(crate) fn duration(
        &mut self,
        field: &str,
        duration: Option<&prost_types::Duration>,
    ) -> Option<Duration> {
        let duration = duration?;
        let whole = u64::try_from(duration.seconds)
            .ok()
            .zip(u32::try_from(duration.nanos).ok());
        match whole {
            Some((seconds, nanos)) if nanos < 1_000_000_000 => Some(Duration::new(seconds, nanos)),
            _ => {
                self.wrong(field, "is not a duration, or negative");
                None
            }
        }
    }

    pub(crate) fn acting_user(&mut self, acting: Option<&v1::ActingUser>) -> Option<ActingUser> {
        let acting = acting?;
        let ip = self.ip("acting_user.ip", &acting.ip);
        let id = self.user("acting_user.id", &acting.id)?;
        Some(ActingUser { id, ip })
    }
}

/// A time from 1970 on.
fn micros(time: &prost_types::Timestamp) -> Option<Micros> {
    let nanos_fit = (0..1_000_000_000).contains(&time.nanos);
    let micros = time
        .seconds
        .checked_mul(1_000_000)?
        .checked_add(i64::from(time.nanos) / 1_000)?;
    (nanos_fit && micros >= 0).then_some(Micros(micros))
}

/// The time by this machine's clock.
fn now() -> Micros {
    Micros::default().after(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default(),
    )
}
