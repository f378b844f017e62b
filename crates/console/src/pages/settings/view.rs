//! The pages of the settings.

use askama::Template;
use axum::response::Response;
use http::StatusCode;
use portcullis_contract::v1;

use super::{
    described::{Difference, Reader, Setting},
    form::{FINDINGS, IDLE_DAYS, IDLE_NEVER, IDLE_OWN, SettingsForm, UNITS},
};
use crate::{
    done::Done,
    page::{Frame, Room},
    pages::answer::{Choice, respond},
    person::Person,
    problem::Problem,
    times::Moment,
};

/// A length of time: a number and its unit.
pub(super) struct Amount {
    legend: String,
    hint: Option<String>,
    value_name: &'static str,
    value: String,
    unit_name: &'static str,
    units: Vec<Choice>,
}

/// A kind of finding.
struct FindingKind {
    code: i32,
    label: String,
    is_reported: bool,
}

/// A standard.
struct Preset {
    name: String,
    title: String,
    source: String,
    idle: String,
    longest: String,
    two_factors: bool,
    button: String,
}

/// The settings, as a form for administrators and as a table for others.
#[derive(Template)]
#[template(path = "settings/index.html")]
pub(super) struct Index {
    page: Frame,
    lead: String,
    pub(super) done: Option<Done>,
    pub(super) faults: Vec<String>,
    source: String,
    /// None: the person may not change them.
    form: Option<SettingsForm>,
    settings: Vec<Setting>,
    idle_choices: Vec<Choice>,
    own_idle: Vec<Amount>,
    lifetimes: Vec<Amount>,
    recent: Vec<Amount>,
    findings: Vec<FindingKind>,
    has_stricter: bool,
    presets: Vec<Preset>,
}

impl Index {
    pub(super) fn new(
        person: &Person,
        policy: &v1::Policy,
        presets: &[v1::PolicyPreset],
        form: &SettingsForm,
    ) -> Self {
        let reader = reader_of(person);
        let words = person.words;
        let source = match policy.source.as_str() {
            "" => words.text("settings-source-own"),
            source => words.with("settings-source", [("source", source)]),
        };
        // The form is always of the version in force: an older one was answered by both versions.
        let form = SettingsForm {
            etag: policy.etag.clone(),
            ..form.clone()
        };
        Self {
            page: person.frame(Room::Settings),
            lead: words.with("settings-lead", [("tenant", &person.tenant)]),
            done: None,
            faults: Vec::new(),
            source,
            settings: reader.settings(policy),
            idle_choices: idle_choices(person, &form),
            own_idle: vec![own_idle(person, &form)],
            lifetimes: lifetimes(person, &form),
            recent: vec![recent(person, &form)],
            findings: finding_kinds(reader, &form),
            has_stricter: !policy.users.is_empty(),
            presets: presets
                .iter()
                .map(|preset| preset_row(reader, preset))
                .collect(),
            // Support reads a table instead. The authority would refuse their form.
            form: person.roles.administers().then_some(form),
        }
    }

    pub(super) fn respond(&self, status: StatusCode) -> Result<Response, Problem> {
        respond(status, self)
    }
}

pub(super) fn reader_of(person: &Person) -> Reader<'_> {
    Reader {
        words: &person.words,
        times: &person.times,
    }
}

fn idle_choices(person: &Person, form: &SettingsForm) -> Vec<Choice> {
    let mut values: Vec<_> = IDLE_DAYS.iter().map(|(name, _)| *name).collect();
    values.extend([IDLE_NEVER, IDLE_OWN]);
    let mut choices = Vec::new();
    for value in values {
        choices.push(Choice {
            value,
            label: person.words.text(idle_word(value)),
            is_chosen: form.idle == value,
        });
    }
    choices
}

fn idle_word(choice: &str) -> &'static str {
    match choice {
        "1d" => "settings-idle-1d",
        "7d" => "settings-idle-7d",
        "30d" => "settings-idle-30d",
        IDLE_NEVER => "settings-idle-never",
        _ => "settings-idle-own",
    }
}

fn unit_word(unit: &str) -> &'static str {
    match unit {
        "seconds" => "settings-unit-seconds",
        "minutes" => "settings-unit-minutes",
        "hours" => "settings-unit-hours",
        _ => "settings-unit-days",
    }
}

fn own_idle(person: &Person, form: &SettingsForm) -> Amount {
    Amount {
        legend: person.words.text("settings-idle-own"),
        hint: None,
        value_name: "idle_value",
        value: form.idle_value.clone(),
        unit_name: "idle_unit",
        units: units(person, &form.idle_unit),
    }
}

fn lifetimes(person: &Person, form: &SettingsForm) -> Vec<Amount> {
    let words = person.words;
    vec![
        Amount {
            legend: words.text("settings-remember-lifetime"),
            hint: None,
            value_name: "remember_value",
            value: form.remember_value.clone(),
            unit_name: "remember_unit",
            units: units(person, &form.remember_unit),
        },
        Amount {
            legend: words.text("settings-lifetime"),
            hint: None,
            value_name: "lifetime_value",
            value: form.lifetime_value.clone(),
            unit_name: "lifetime_unit",
            units: units(person, &form.lifetime_unit),
        },
        Amount {
            legend: words.text("settings-longest"),
            hint: Some(words.text("settings-longest-hint")),
            value_name: "longest_value",
            value: form.longest_value.clone(),
            unit_name: "longest_unit",
            units: units(person, &form.longest_unit),
        },
        Amount {
            legend: words.text("settings-token"),
            hint: Some(words.text("settings-token-hint")),
            value_name: "token_value",
            value: form.token_value.clone(),
            unit_name: "token_unit",
            units: units(person, &form.token_unit),
        },
    ]
}

fn recent(person: &Person, form: &SettingsForm) -> Amount {
    Amount {
        legend: person.words.text("settings-recent"),
        hint: Some(person.words.text("settings-recent-hint")),
        value_name: "recent_value",
        value: form.recent_value.clone(),
        unit_name: "recent_unit",
        units: units(person, &form.recent_unit),
    }
}

fn units(person: &Person, chosen: &str) -> Vec<Choice> {
    let mut units = Vec::new();
    for (value, _) in UNITS {
        units.push(Choice {
            value,
            label: person.words.text(unit_word(value)),
            is_chosen: value == chosen,
        });
    }
    units
}

fn finding_kinds(reader: Reader<'_>, form: &SettingsForm) -> Vec<FindingKind> {
    let mut kinds = Vec::new();
    for code in FINDINGS {
        kinds.push(FindingKind {
            code,
            label: reader.finding(code),
            is_reported: form.reports(code),
        });
    }
    kinds
}

fn preset_row(reader: Reader<'_>, preset: &v1::PolicyPreset) -> Preset {
    let title = preset_title(&preset.name);
    Preset {
        name: preset.name.clone(),
        source: preset.source.clone(),
        idle: reader.length(preset.idle_timeout, "settings-preset-idle-none"),
        longest: reader.length(preset.session_lifetime_max, "settings-value-none"),
        two_factors: preset.two_factors,
        button: reader
            .words
            .with("settings-preset-use", [("name", title.as_str())]),
        title,
    }
}

/// The name of a standard as people write it: `nist_800_63b_aal2` is NIST 800-63B AAL2.
fn preset_title(name: &str) -> String {
    // The authority may know standards that are newer than this console, so their titles are made
    // of their names.
    let upper = name.to_uppercase();
    match upper.strip_prefix("NIST_800_63B_") {
        Some(level) => format!("NIST SP 800-63B {level}"),
        None => upper.replace('_', " "),
    }
}

/// A session that would end.
struct EndingSession {
    user: String,
    device: String,
    last_active: String,
}

/// The page before saving.
#[derive(Template)]
#[template(path = "settings/confirm.html")]
pub(super) struct Confirm<'a> {
    page: Frame,
    person: &'a Person,
    faults: Vec<String>,
    caption: String,
    before: String,
    after: String,
    differences: Vec<Difference>,
    ending: String,
    sample: Vec<EndingSession>,
    hidden: Vec<(&'static str, String)>,
    reason: String,
}

impl<'a> Confirm<'a> {
    pub(super) fn new(
        person: &'a Person,
        form: &SettingsForm,
        current: &v1::Policy,
        would_be: &v1::Policy,
        faults: Vec<String>,
    ) -> Self {
        let words = person.words;
        Self {
            page: person.frame(Room::Settings),
            person,
            faults,
            caption: words.text("settings-confirm-changes"),
            before: words.text("settings-confirm-before"),
            after: words.text("settings-confirm-after"),
            differences: reader_of(person).differences(current, would_be),
            ending: String::new(),
            sample: Vec::new(),
            hidden: form.hidden(),
            reason: form.reason.clone(),
        }
    }

    pub(super) fn changes_nothing(&self) -> bool {
        self.differences.is_empty()
    }

    pub(super) fn respond(mut self, preview: &v1::Preview) -> Result<Response, Problem> {
        let word = if preview.capped {
            "settings-preview-capped"
        } else {
            "settings-preview"
        };
        self.ending = self.person.words.with(word, [("count", preview.sessions)]);
        for session in &preview.sample {
            self.sample.push(ending_session(self.person, session));
        }
        let status = match self.faults.is_empty() {
            true => StatusCode::OK,
            false => StatusCode::UNPROCESSABLE_ENTITY,
        };
        respond(status, &self)
    }
}

fn ending_session(person: &Person, session: &v1::Session) -> EndingSession {
    let name = session.user.as_ref().map(profile_name).unwrap_or_default();
    let device = session.device.as_ref().map(device_name).unwrap_or_default();
    let last_active = Moment::of(session.last_active_time);
    EndingSession {
        user: if name.is_empty() {
            session.user_id.clone()
        } else {
            name
        },
        device: if device.is_empty() {
            person.words.text("settings-unknown-device")
        } else {
            device
        },
        last_active: last_active.map_or_else(String::new, |time| person.times.relative(time)),
    }
}

fn profile_name(user: &v1::SessionUser) -> String {
    let name = format!("{} {}", user.given_name, user.family_name);
    match name.trim() {
        "" => user.user_name.clone(),
        name => name.to_owned(),
    }
}

fn device_name(device: &v1::Device) -> String {
    let parts = [&device.app_name, &device.browser, &device.os, &device.model];
    let known: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let known: Vec<_> = known.into_iter().map(String::as_str).collect();
    known.join(" · ")
}

/// Both versions.
#[derive(Template)]
#[template(path = "settings/conflict.html")]
pub(super) struct Conflict {
    page: Frame,
    changed_by: Option<String>,
    caption: String,
    before: String,
    after: String,
    differences: Vec<Difference>,
    hidden: Vec<(&'static str, String)>,
}

impl Conflict {
    pub(super) fn new(
        person: &Person,
        form: &SettingsForm,
        theirs: &v1::Policy,
        yours: &v1::Policy,
        newest: Option<&v1::AuditEvent>,
    ) -> Self {
        let words = person.words;
        // The next step compares with the version that this page shows.
        let form = SettingsForm {
            etag: theirs.etag.clone(),
            ..form.clone()
        };
        Self {
            page: person.frame(Room::Settings),
            changed_by: newest.map(|event| changed_by(person, event)),
            caption: words.text("settings-conflict-caption"),
            before: words.text("settings-conflict-theirs"),
            after: words.text("settings-conflict-yours"),
            differences: reader_of(person).differences(theirs, yours),
            hidden: form.hidden(),
        }
    }

    pub(super) fn respond(&self) -> Result<Response, Problem> {
        respond(StatusCode::CONFLICT, self)
    }
}

fn changed_by(person: &Person, event: &v1::AuditEvent) -> String {
    let time = event.time.map(|time| person.times.relative(time));
    let values = [
        ("time", time.unwrap_or_default()),
        ("actor", event.actor.clone()),
        ("reason", event.reason.clone()),
    ];
    person.words.with("settings-conflict-by", values)
}
