//! `audit follow`: events as they happen.

use std::time::Duration;

use clap::Args;
use portcullis_contract::v1;

use super::Selection;
use crate::{
    context::Session as Connected,
    failure::{Exit, Result},
    output::note,
};

/// Options of `follow`.
#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    selection: Selection,
}

/// The pause before `follow` calls again.
const FOLLOW_PAUSE: Duration = Duration::from_secs(1);

/// Prints events as they happen. A stream ends after a while, and the next one goes on where it stopped.
pub(super) async fn run(
    connected: &Connected,
    tenant: Option<&str>,
    options: &Options,
) -> Result<()> {
    let selected = options.selection.request(tenant)?;
    // Without a token and a revision the stream begins with the next event.
    let mut request = v1::WatchAuditEventsRequest {
        tenant_id: selected.tenant_id.clone(),
        ..Default::default()
    };
    loop {
        match follow_once(connected, &selected, &mut request).await {
            Ok(()) => {}
            // An authority that restarts, or fails over. Another one may answer.
            Err(failure) if failure.exit == Exit::Unavailable => note(&failure.render()),
            Err(failure) => return Err(failure),
        }
        tokio::time::sleep(FOLLOW_PAUSE).await;
    }
}

async fn follow_once(
    connected: &Connected,
    selected: &v1::ListAuditEventsRequest,
    request: &mut v1::WatchAuditEventsRequest,
) -> Result<()> {
    let mut client = connected.authority.audit();
    let answers = client.watch_audit_events(request.clone()).await?;
    let mut answers = answers.into_inner();
    while let Some(answer) = answers.message().await? {
        // From the first answer on nothing is missed.
        if request.resume_token.is_empty() {
            note("following the audit trail; Ctrl-C ends it");
        }
        for event in &answer.events {
            // The call knows only the tenant, so the rest is chosen here.
            if is_selected(event, selected) {
                connected.printer.line(event)?;
            }
        }
        // After the events were printed: if it fails in between, the next stream brings them again,
        // and none is missing.
        request.resume_token = answer.resume_token;
    }
    Ok(())
}

/// Whether an event is of the actor, the user and the action that were asked for, where they were.
fn is_selected(event: &v1::AuditEvent, selected: &v1::ListAuditEventsRequest) -> bool {
    let is = |asked: &str, found: &str| asked.is_empty() || asked == found;
    is(&selected.actor, &event.actor)
        && is(&selected.user_id, &event.user_id)
        && is(&selected.action, &event.action)
}
