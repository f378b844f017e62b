//! `portcullis policy`: shows and changes the lifetimes of a tenant's sessions, and the rules for them.

use std::{fs, path::PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use portcullis_contract::v1;
use serde::Serialize;
use serde_json::{Map, Value};
use tonic::Status;

use super::ending::Consent;
use crate::{
    context::{InTenant, Session as Connected},
    failure::{Exit, Failure, Result},
    output::{
        Record,
        document::{Document, read_message},
        json_line, note,
        table::Table,
        text::visible,
        times::{self, WireDuration},
        words::{self, word},
    },
};

/// Options of `policy`.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    tenant: InTenant,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show the policy.
    Get,
    /// Change values of the policy, or replace all of it by a file.
    Set(Box<SetOptions>),
    /// Set the lifetimes that a standard asks for.
    Preset(PresetOptions),
    /// Show what values or a file would change.
    Diff(Box<Values>),
}

/// A duration, or the word for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Optional(Option<WireDuration>);

fn parse_optional(text: &str) -> Result<Optional, String> {
    if text == "none" {
        return Ok(Optional(None));
    }
    times::parse_duration(text).map(|length| Optional(Some(length)))
}

/// New values of a policy.
#[derive(Args)]
struct Values {
    /// The whole policy in JSON or YAML, as `policy get -o yaml` writes it. Its etag is checked.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// End sessions that were not used for this long.
    #[arg(long, value_name = "DURATION|none", value_parser = parse_optional)]
    idle_timeout: Option<Optional>,
    /// End every session at this age.
    #[arg(long, value_name = "DURATION", value_parser = times::parse_duration)]
    session_lifetime_max: Option<WireDuration>,
    /// The lifetime of sessions that are not remembered.
    #[arg(long, value_name = "DURATION", value_parser = times::parse_duration)]
    session_lifetime: Option<WireDuration>,
    /// Whether people may ask to be remembered.
    #[arg(long, value_name = "true|false")]
    remember_me_allowed: Option<bool>,
    /// The lifetime of sessions that are remembered.
    #[arg(long, value_name = "DURATION", value_parser = times::parse_duration)]
    remember_me_lifetime: Option<WireDuration>,
    /// The lifetime of access tokens. none: the installation's.
    #[arg(long, value_name = "DURATION|none", value_parser = parse_optional)]
    access_token_lifetime: Option<Optional>,
    /// Most sessions of a user. 0: no limit.
    #[arg(long, value_name = "N")]
    sessions_max: Option<u32>,
    /// What a sign-in at that number does.
    #[arg(long, value_parser = words::parser::<v1::SessionLimitAction>())]
    at_limit: Option<v1::SessionLimitAction>,
    /// Whether users may list and end their own sessions.
    #[arg(long, value_name = "true|false")]
    users_see_sessions: Option<bool>,
    /// Whether the last page of a session is kept.
    #[arg(long, value_name = "true|false")]
    keep_last_page: Option<bool>,
    /// Allowed values of a session's acr, separated by commas. Empty: any.
    #[arg(long, value_name = "ACR,…", value_delimiter = ',')]
    required_acr: Option<Vec<String>>,
    /// How recent a sign-in must be for ending sessions. none: any.
    #[arg(long, value_name = "DURATION|none", value_parser = parse_optional)]
    reauthenticate_within: Option<Optional>,
    /// Whether a session ends when two clients present its refresh token.
    #[arg(long, value_name = "true|false")]
    end_on_shared_refresh_token: Option<bool>,
}

#[derive(Args)]
struct Change {
    /// Why, for the audit trail.
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    reason: Option<String>,
    #[command(flatten)]
    consent: Consent,
}

#[derive(Args)]
struct SetOptions {
    #[command(flatten)]
    values: Values,
    #[command(flatten)]
    change: Change,
}

#[derive(Args)]
struct PresetOptions {
    /// The standard and its level.
    #[arg(value_enum, value_name = "PRESET")]
    preset: Preset,
    #[command(flatten)]
    change: Change,
}

/// Standards that the authority knows. NIST SP 800-63B and OWASP ASVS 4.0.3.
#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Preset {
    #[value(name = "nist_800_63b_aal1")]
    NistAal1,
    #[value(name = "nist_800_63b_aal2")]
    NistAal2,
    #[value(name = "nist_800_63b_aal3")]
    NistAal3,
    #[value(name = "owasp_asvs_l1")]
    OwaspL1,
    #[value(name = "owasp_asvs_l2")]
    OwaspL2,
    #[value(name = "owasp_asvs_l3")]
    OwaspL3,
}

/// Runs `policy`.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let (connected, tenant) = options.tenant.connect().await?;
    // Its etag, or that of the file, goes with the change. If somebody changes the policy
    // meanwhile, the authority refuses.
    let current = get(&connected, &tenant).await?;
    match &options.command {
        Command::Get => connected.printer.one(&current),
        Command::Diff(values) => {
            let wanted = values.applied_to(&current)?;
            connected.printer.list(&differences(&current, &wanted)?)
        }
        Command::Set(set) => {
            let wanted = set.values.applied_to(&current)?;
            change(&connected, &tenant, &current, wanted, "", &set.change).await
        }
        Command::Preset(preset) => {
            let (name, options) = (preset.preset.name(), &preset.change);
            change(
                &connected,
                &tenant,
                &current,
                current.clone(),
                &name,
                options,
            )
            .await
        }
    }
}

impl Preset {
    /// The name in the contract.
    fn name(self) -> String {
        let value = self.to_possible_value();
        value
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }
}

async fn get(connected: &Connected, tenant: &str) -> Result<v1::Policy> {
    let request = v1::GetPolicyRequest {
        tenant_id: tenant.to_owned(),
    };
    let answer = connected.authority.tenants().get_policy(request).await?;
    let policy = answer.into_inner().policy;
    policy.ok_or_else(|| Failure::failed("the authority answered without a policy"))
}

impl Values {
    /// The policy with these values.
    fn applied_to(&self, current: &v1::Policy) -> Result<v1::Policy> {
        let mut policy = match &self.file {
            Some(file) => {
                let text = fs::read_to_string(file)
                    .map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
                // By the contract's descriptors, so a field that this version does not know is an
                // error and is not lost.
                read_message("Policy", &text)?
            }
            None => current.clone(),
        };
        self.set_lifetimes(&mut policy);
        self.set_rules(&mut policy);
        if self.file.is_none() && policy == *current {
            return Err(Failure::usage(
                "nothing would change: give a value or a file",
            ));
        }
        Ok(policy)
    }

    fn set_lifetimes(&self, policy: &mut v1::Policy) {
        for (value, field) in [
            (self.session_lifetime_max, &mut policy.session_lifetime_max),
            (self.session_lifetime, &mut policy.session_lifetime),
            (self.remember_me_lifetime, &mut policy.remember_me_lifetime),
        ] {
            if value.is_some() {
                *field = value;
            }
        }
        for (value, field) in [
            (self.idle_timeout, &mut policy.idle_timeout),
            (
                self.access_token_lifetime,
                &mut policy.access_token_lifetime,
            ),
            (
                self.reauthenticate_within,
                &mut policy.reauthenticate_within,
            ),
        ] {
            // Two levels: the flag was not given, or it says `none`.
            if let Some(Optional(length)) = value {
                *field = length;
            }
        }
    }

    fn set_rules(&self, policy: &mut v1::Policy) {
        for (value, field) in [
            (self.remember_me_allowed, &mut policy.remember_me_allowed),
            (self.users_see_sessions, &mut policy.users_see_sessions),
            (self.keep_last_page, &mut policy.keep_last_page),
            (
                self.end_on_shared_refresh_token,
                &mut policy.end_on_shared_refresh_token,
            ),
        ] {
            if let Some(value) = value {
                *field = value;
            }
        }
        if let Some(sessions) = self.sessions_max {
            policy.sessions_max = sessions;
        }
        if let Some(action) = self.at_limit {
            policy.at_limit = action.into();
        }
        if let Some(values) = &self.required_acr {
            // `--required-acr=` has one empty value, and means that any is allowed.
            let named = values.iter().filter(|value| !value.is_empty());
            policy.required_acr = named.cloned().collect();
        }
    }
}

async fn change(
    connected: &Connected,
    tenant: &str,
    current: &v1::Policy,
    wanted: v1::Policy,
    preset: &str,
    options: &Change,
) -> Result<()> {
    let changes = differences(current, &wanted)?;
    if options.consent.dry_run {
        return print_dry_run(connected, current, &changes, preset);
    }
    if !options.consent.yes {
        note(explain(&changes).trim_end());
        options.consent.confirm(&question(tenant, preset))?;
    }
    let request = v1::UpdatePolicyRequest {
        tenant_id: tenant.to_owned(),
        policy: Some(wanted.clone()),
        preset: preset.to_owned(),
        reason: options.reason.clone().unwrap_or_default(),
        acting_user: None,
        ..Default::default()
    };
    let answer = match connected.authority.tenants().update_policy(request).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => return Err(explain_refusal(connected, tenant, &wanted, status).await?),
    };
    note("the policy is in force");
    connected.printer.one(&answer.policy.unwrap_or_default())
}

async fn explain_refusal(
    connected: &Connected,
    tenant: &str,
    wanted: &v1::Policy,
    status: Status,
) -> Result<Failure> {
    let failure = Failure::from(status);
    if failure.reason == "ETAG_MISMATCH" {
        // Nothing is tried again with the newer etag: the person has not seen the policy that it
        // would replace.
        show_conflict(connected, tenant, wanted).await?;
    }
    Ok(failure)
}

fn print_dry_run(
    connected: &Connected,
    current: &v1::Policy,
    changes: &[Difference],
    preset: &str,
) -> Result<()> {
    if preset.is_empty() {
        note("dry run: would change the policy");
        return connected.printer.list(changes);
    }
    note(&format!(
        "dry run: would set the lifetimes of {preset}; the authority computes them"
    ));
    connected.printer.one(current)
}

fn question(tenant: &str, preset: &str) -> String {
    match preset {
        "" => format!("Change the policy of {tenant}? Sessions that violate it end."),
        preset => format!("Set {preset} for {tenant}? Sessions that violate it end."),
    }
}

/// Shows where the policy that somebody else has set differs from the one that was refused.
async fn show_conflict(connected: &Connected, tenant: &str, wanted: &v1::Policy) -> Result<()> {
    let theirs = get(connected, tenant).await?;
    note("somebody changed the policy meanwhile. What is in force, and what you asked for:");
    note(explain(&differences(&theirs, wanted)?).trim_end());
    Ok(())
}

/// One field that differs.
#[derive(Serialize)]
struct Difference {
    field: String,
    current: Value,
    wanted: Value,
}

impl Difference {
    /// The difference of a field. None if there is none, or if the field is the authority's.
    fn of(name: &str, current: Option<&Value>, wanted: Option<&Value>) -> Option<Self> {
        if ["etag", "source"].contains(&name) || current == wanted {
            return None;
        }
        Some(Self {
            field: name.to_owned(),
            current: current.cloned().unwrap_or_default(),
            wanted: wanted.cloned().unwrap_or_default(),
        })
    }
}

impl Record for Difference {
    const COLUMNS: &'static [&'static str] = &["field", "current", "wanted"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.field.clone(),
            value_words(&self.current),
            value_words(&self.wanted),
        ]
    }

    fn name(&self) -> String {
        self.field.clone()
    }

    fn document(&self) -> Result<Document> {
        Document::of_value(self)
    }
}

fn value_words(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => visible(text).into_owned(),
        other => json_line(other)
            .map(|line| line.trim_end().to_owned())
            .unwrap_or_default(),
    }
}

fn explain(changes: &[Difference]) -> String {
    let mut table = Table::new(Difference::COLUMNS);
    for change in changes {
        table.add(change.cells());
    }
    table.render()
}

/// The fields in which two policies differ. The etag and the source are the authority's.
fn differences(current: &v1::Policy, wanted: &v1::Policy) -> Result<Vec<Difference>> {
    let current = fields_of(current)?;
    let wanted = fields_of(wanted)?;
    let mut names: Vec<&String> = current.keys().chain(wanted.keys()).collect();
    names.sort();
    names.dedup();
    let mut changed = Vec::new();
    for name in names {
        changed.extend(Difference::of(name, current.get(name), wanted.get(name)));
    }
    Ok(changed)
}

/// The fields of a policy as its document has them, so that a new field of the contract is not forgotten here.
fn fields_of(policy: &v1::Policy) -> Result<Map<String, Value>> {
    match Document::of_message("Policy", policy)?.value()? {
        Value::Object(fields) => Ok(fields),
        _ => Err(Failure::new(Exit::Failed, "a policy has no fields")),
    }
}

fn length(value: Option<&WireDuration>, none: &str) -> String {
    value.map_or_else(|| none.to_owned(), times::duration)
}

fn yes_or_no(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

impl Record for v1::Policy {
    const COLUMNS: &'static [&'static str] = &[
        "idle timeout",
        "session lifetime at most",
        "session lifetime",
        "remember me",
        "lifetime when remembered",
        "access token lifetime",
        "sessions of a user",
        "at that number",
        "users see their sessions",
        "last page is kept",
        "required acr",
        "recent sign-in to end sessions",
        "end on a shared refresh token",
        "findings switched off",
        "stricter users",
        "source",
        "etag",
    ];

    fn cells(&self) -> Vec<String> {
        let sessions = match self.sessions_max {
            0 => "no limit".to_owned(),
            sessions => sessions.to_string(),
        };
        let disabled = self.findings_disabled.iter();
        let disabled: Vec<String> = disabled
            .map(|code| word::<v1::FindingCode>(*code))
            .collect();
        vec![
            length(self.idle_timeout.as_ref(), "none"),
            length(self.session_lifetime_max.as_ref(), "-"),
            length(self.session_lifetime.as_ref(), "-"),
            yes_or_no(self.remember_me_allowed),
            length(self.remember_me_lifetime.as_ref(), "-"),
            length(self.access_token_lifetime.as_ref(), "the installation's"),
            sessions,
            word::<v1::SessionLimitAction>(self.at_limit),
            yes_or_no(self.users_see_sessions),
            yes_or_no(self.keep_last_page),
            or_dash(visible(&self.required_acr.join(", ")).into_owned()),
            length(self.reauthenticate_within.as_ref(), "no"),
            yes_or_no(self.end_on_shared_refresh_token),
            or_dash(disabled.join(", ")),
            self.users.len().to_string(),
            or_dash(self.source.clone()),
            self.etag.clone(),
        ]
    }

    fn name(&self) -> String {
        self.etag.clone()
    }

    fn document(&self) -> Result<Document> {
        Document::of_message("Policy", self)
    }
}

fn or_dash(text: String) -> String {
    if text.is_empty() {
        return "-".to_owned();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_name_each_changed_field_and_nothing_else() {
        let current = v1::Policy {
            idle_timeout: Some(times::parse_duration("7d").expect("a length")),
            sessions_max: 3,
            etag: "1".into(),
            ..Default::default()
        };
        let wanted = v1::Policy {
            idle_timeout: None,
            sessions_max: 5,
            etag: "2".into(),
            ..current.clone()
        };
        let changes = differences(&current, &wanted).expect("comparable");
        let cells: Vec<_> = changes.iter().map(Record::cells).collect();
        assert_eq!(
            cells,
            [
                ["idle_timeout", "604800s", "none"],
                ["sessions_max", "3", "5"]
            ]
        );
    }

    #[test]
    fn a_policy_survives_yaml() {
        let policy = v1::Policy {
            session_lifetime: Some(times::parse_duration("12h").expect("a length")),
            at_limit: v1::SessionLimitAction::Refuse.into(),
            required_acr: vec!["urn:two".into()],
            ..Default::default()
        };
        let document = Document::of_message("Policy", &policy).expect("data");
        let text = crate::output::json(&document).expect("JSON");
        let read: v1::Policy = read_message("Policy", &text).expect("a policy");
        assert_eq!(read, policy);
        assert!(read_message::<v1::Policy>("Policy", "session_lifetme: 1s").is_err());
    }
}
