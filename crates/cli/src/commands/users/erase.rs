//! `portcullis users erase`: everything that names a user goes.

use std::time::Duration;

use clap::Args;
use portcullis_contract::v1;
use tokio::time::sleep;

use super::OneUser;
use crate::{
    commands::{
        ending::{Consent, Outcome, counted, explain_preview, print_preview},
        receipt::{Waiting, print_outcome},
    },
    context::Session as Connected,
    failure::{Failure, Result},
    output::{note, text::cell},
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
    let user = &options.user.user;
    let mut client = connected.authority.users();
    let mut request = v1::EraseUserRequest {
        tenant_id: tenant,
        user_id: user.clone(),
        reason: options.reason.clone().unwrap_or_default(),
        validate_only: true,
        ..Default::default()
    };
    if options.consent.dry_run {
        let answer = client.erase_user(request).await?.into_inner();
        return print_preview(connected.printer, answer.preview);
    }
    if !options.consent.yes {
        let answer = client.erase_user(request.clone()).await?;
        let preview = answer.into_inner().preview.unwrap_or_default();
        explain_preview(&preview);
        let question = format!(
            "This ends {} and removes whatever names {user}, for good. Type the user's id to go on:",
            counted(&preview)
        );
        options.consent.confirm_by_typing(&question, user)?;
    }

    request.validate_only = false;
    let first = client.erase_user(request.clone()).await?.into_inner();
    if first.unknown_user {
        note(&format!(
            "{} has never signed in: is the id right?",
            cell(user)
        ));
    }
    let erasure = follow(first.erasure, async || {
        let mut client = connected.authority.users();
        let answer = client.erase_user(request.clone()).await?;
        Ok(answer.into_inner().erasure)
    })
    .await?;
    let action = removed(&format!("{user} erased"), &erasure);
    let outcome = Outcome::new(action, first.enforcement.as_ref());
    let outcome = outcome.ended(first.sessions_ended, first.sessions_ended_capped);
    print_outcome(connected, &options.waiting, outcome).await
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
