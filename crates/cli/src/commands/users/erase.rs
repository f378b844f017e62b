//! `portcullis users erase`: everything that names a user goes.

use std::{slice, time::Duration};

use clap::Args;
use portcullis_contract::v1;
use tokio::time::sleep;

use super::{OneUser, note_unknown};
use crate::{
    commands::{
        ending::{Consent, Outcome, counted, explain_preview},
        receipt::{Waiting, print_outcome},
    },
    context::Session as Connected,
    failure::{Failure, Result},
};

/// The pause between two calls, while the authority goes on by itself.
const PAUSE: Duration = Duration::from_secs(1);

/// Options of `users erase`.
#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    user: OneUser,
    /// Why, for the audit trail. It must not name the user.
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    reason: Option<String>,
    #[command(flatten)]
    consent: Consent,
    #[command(flatten)]
    waiting: Waiting,
}

/// Erases a user, and waits until everything but the id is removed.
pub(super) async fn run(connected: &Connected, tenant: String, options: &Options) -> Result<()> {
    let consent = &options.consent;
    let mut request = v1::EraseUserRequest {
        tenant_id: tenant,
        user_id: options.user.user.clone(),
        reason: options.reason.clone().unwrap_or_default(),
        validate_only: true,
        ..Default::default()
    };
    let preview = async { Ok(erase(connected, &request).await?.preview) };
    let agreed = consent.agree(connected.printer, preview, |preview| {
        ask_to_erase(options, preview)
    });
    if !agreed.await? {
        return Ok(());
    }
    request.validate_only = false;
    let outcome = erase_to_the_end(connected, &request).await?;
    print_outcome(connected, &options.waiting, outcome).await
}

fn ask_to_erase(options: &Options, preview: &v1::Preview) -> Result<()> {
    let user = &options.user.user;
    explain_preview(preview);
    let question = format!(
        "This ends {} and removes whatever names {user}, for good. Type the user's id to go on:",
        counted(preview)
    );
    // The id is typed, because nobody can undo it.
    options.consent.confirm_by_typing(&question, user)
}

async fn erase_to_the_end(
    connected: &Connected,
    request: &v1::EraseUserRequest,
) -> Result<Outcome> {
    let user = &request.user_id;
    // Sessions and keys have ended when this answers. What follows only removes rows, and goes on
    // without this command.
    let first = erase(connected, request).await?;
    if first.unknown_user {
        note_unknown(slice::from_ref(user));
    }
    let erasure = follow(first.erasure, async || {
        Ok(erase(connected, request).await?.erasure)
    })
    .await?;
    let action = removed(&format!("{user} erased"), &erasure);
    let outcome = Outcome::new(action, first.enforcement.as_ref());
    Ok(outcome.ended(first.sessions_ended, first.sessions_ended_capped))
}

async fn erase(
    connected: &Connected,
    request: &v1::EraseUserRequest,
) -> Result<v1::EraseUserResponse> {
    let mut client = connected.authority.users();
    let answer = client.erase_user(request.clone()).await?;
    Ok(answer.into_inner())
}

/// A sentence that begins with `done`, and counts the removed rows of an erasure.
pub(in crate::commands) fn removed(done: &str, erasure: &v1::Erasure) -> String {
    format!(
        "{done}: {} sessions, {} parts of audit rows and {} other rows removed by {}",
        erasure.sessions, erasure.audit_parts, erasure.other_rows, erasure.id
    )
}

/// Repeats the call that began an erasure, which goes on with it, until it has ended. Returns it as it ended.
pub(in crate::commands) async fn follow(
    begun: Option<v1::Erasure>,
    repeat: impl AsyncFn() -> Result<Option<v1::Erasure>>,
) -> Result<v1::Erasure> {
    let mut erasure = whole(begun)?;
    while erasure.state() == v1::ErasureState::Removing {
        sleep(PAUSE).await;
        let next = whole(repeat().await?)?;
        // Another id: this one has ended meanwhile, and the call has begun one of nothing.
        if next.id != erasure.id {
            break;
        }
        erasure = next;
    }
    Ok(erasure)
}

/// The erasure of an answer.
fn whole(erasure: Option<v1::Erasure>) -> Result<v1::Erasure> {
    erasure.ok_or_else(|| Failure::failed("the authority answered without an erasure"))
}
