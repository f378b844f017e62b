//! Completion in shells: contexts from the file, users and tenants from the authority. Tenants of contexts are
//! completed too, because most credentials may not list all of them.

use std::{env, ffi::OsStr, time::Duration};

use clap_complete::engine::CompletionCandidate;
use portcullis_contract::v1;
use tokio::{runtime, time::timeout};

use crate::{
    context::{Authority, Context, ContextsFile},
    output::text::{cell, is_hostile},
};

/// Longest time that a person waits for a completion.
const COMPLETION_TIMEOUT: Duration = Duration::from_secs(2);

/// Most candidates of one completion.
const CANDIDATES_MAX: i32 = 100;
/// Most tenants that the authority is asked for: a whole page. They are in the order of their first sign-ins, so few of
/// them may begin with the typed text.
const TENANTS_MAX: i32 = 200;

/// The names of contexts.
pub(crate) fn contexts(current: &OsStr) -> Vec<CompletionCandidate> {
    let contexts = ContextsFile::locate().and_then(|file| file.read());
    // A completion says nothing about its failure: the shell would print it into the line that the
    // person types.
    let Ok(contexts) = contexts else {
        return Vec::new();
    };
    let names = contexts.contexts.into_iter();
    let candidates =
        names.filter_map(|(name, context)| candidate(current, &name, &context.address));
    candidates.collect()
}

/// The ids of users of the tenant that the command line names, newest sign-in first.
pub(crate) fn users(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some((context_name, context)) = chosen_context() else {
        return Vec::new();
    };
    let Some(tenant) = chosen_tenant(&context) else {
        return Vec::new();
    };
    let found = ask(list_users(&context_name, &context, tenant)).unwrap_or_default();
    let users = found.into_iter().filter_map(|found| found.user);
    users
        .filter_map(|user| user_candidate(current, &user))
        .collect()
}

fn chosen_tenant(context: &Context) -> Option<String> {
    flag("--tenant")
        .or_else(|| env::var("PORTCULLIS_TENANT").ok())
        .or_else(|| context.tenant.clone())
}

async fn list_users(
    context_name: &str,
    context: &Context,
    tenant: String,
) -> Option<Vec<v1::UserSummary>> {
    let authority = Authority::connect(context_name, context).await.ok()?;
    let request = v1::ListUsersRequest {
        tenant_id: tenant,
        page_size: CANDIDATES_MAX,
        // `users enable` is about disabled users, and they have no session.
        show_signed_out: true,
        ..Default::default()
    };
    let answer = authority.users().list_users(request).await.ok()?;
    Some(answer.into_inner().users)
}

fn user_candidate(current: &OsStr, user: &v1::User) -> Option<CompletionCandidate> {
    let name = format!(
        "{} {} {}",
        user.user_name, user.given_name, user.family_name
    );
    candidate(current, &user.id, name.trim())
}

/// The ids of tenants: those of contexts, and those that the authority lists, as many as it has on its first page.
pub(crate) fn tenants(current: &OsStr) -> Vec<CompletionCandidate> {
    let contexts = ContextsFile::locate().and_then(|file| file.read());
    let Ok(contexts) = contexts else {
        return Vec::new();
    };
    let contexts = contexts.contexts.into_values();
    let mut names: Vec<String> = contexts.filter_map(|context| context.tenant).collect();
    names.extend(listed_tenants());
    // Sorted for `dedup`: a tenant of a context is often in the list of the authority too.
    names.sort();
    names.dedup();
    names
        .iter()
        .filter_map(|name| candidate(current, name, ""))
        .collect()
}

/// The tenants that the authority lists, for a credential that may list them.
fn listed_tenants() -> Vec<String> {
    let Some((context_name, context)) = chosen_context() else {
        return Vec::new();
    };
    let found = ask(async move {
        let authority = Authority::connect(&context_name, &context).await.ok()?;
        let request = v1::ListTenantsRequest {
            page_size: TENANTS_MAX,
            ..Default::default()
        };
        let answer = authority.tenants().list_tenants(request).await.ok()?;
        Some(answer.into_inner().tenants)
    });
    let tenants = found.unwrap_or_default().into_iter();
    tenants.map(|tenant| tenant.id).collect()
}

/// A candidate that begins with the typed text. None for a hostile value: a shell would print it raw.
fn candidate(current: &OsStr, value: &str, help: &str) -> Option<CompletionCandidate> {
    let typed = current.to_str()?;
    // Filtered here: no call searches by the beginning of an id.
    if !value.starts_with(typed) || value.is_empty() || value.chars().any(is_hostile) {
        return None;
    }
    let candidate = CompletionCandidate::new(value);
    Some(match help {
        "" => candidate,
        help => candidate.help(Some(cell(help).into())),
    })
}

fn chosen_context() -> Option<(String, Context)> {
    let name = flag("--context").or_else(|| env::var("PORTCULLIS_CONTEXT").ok());
    let contexts = ContextsFile::locate().and_then(|file| file.read()).ok()?;
    contexts.choose(name.as_deref()).ok()
}

/// The value of a flag in the line that is being completed. The shell passes its words as our arguments.
fn flag(name: &str) -> Option<String> {
    // The line is unfinished, so clap's parser would refuse it.
    let words: Vec<String> = env::args().collect();
    for (index, word) in words.iter().enumerate() {
        if word == name {
            return words.get(index + 1).cloned();
        }
        if let Some(value) = word
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('='))
        {
            return Some(value.to_owned());
        }
    }
    None
}

/// Waits for an answer of the authority, and gives up before the person does.
fn ask<T>(question: impl Future<Output = Option<T>>) -> Option<T> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    // Made inside of the runtime, because the timer belongs to one.
    let answer = async { timeout(COMPLETION_TIMEOUT, question).await };
    runtime.ok()?.block_on(answer).ok().flatten()
}
