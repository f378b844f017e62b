//! Reports of gates about the use of sessions and API keys.

use std::{collections::BTreeSet, time::Duration};

use portcullis_contract::retry::Backoff;

use super::{App, AppError, session_view::compared_places};
use crate::{
    domain::{
        Actor, ApiKeyUse, FindingCode, GateId, LastUse, MovedSession, PendingEvent,
        SessionActivity,
        findings::{Finding, SessionObservation},
    },
    store::StoreError,
};

/// Attempts to record a report that meets another transaction.
const ATTEMPTS_MAX: u32 = 4;
const RETRY_DELAY_MIN: Duration = Duration::from_millis(20);
const RETRY_DELAY_MAX: Duration = Duration::from_millis(200);

/// A report of a gate.
#[derive(Debug)]
pub(crate) struct ActivityReport {
    /// Each session once, in the order of the ids, so that two reports lock rows in one order.
    pub(crate) sessions: Vec<SessionActivity>,
    /// Each key once, in the order of the ids.
    pub(crate) api_keys: Vec<ApiKeyUse>,
    /// None: the gate is not named, and so nobody notices when it falls silent.
    pub(crate) gate: Option<ReportingGate>,
    /// Set on the last report of a round: all use up to this long ago has been reported.
    pub(crate) complete_age: Option<Duration>,
    /// Whether the gate ends, and so reports nothing more.
    pub(crate) is_leaving: bool,
}

/// The gate of a report or a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReportingGate {
    pub(crate) id: GateId,
    /// Time for which the gate admits requests without an authority.
    pub(crate) admits_for: Duration,
}

/// Records a report, and the findings about its sessions that are new. After an error the gate repeats the report.
pub(crate) async fn record_activity(app: &App, report: &ActivityReport) -> Result<(), AppError> {
    if !report.sessions.is_empty() {
        let moved = retry_conflicts(|| app.store.record_activity(&report.sessions)).await?;
        // From here on no error may reach the gate: it would repeat the report, and the requests that are recorded already
        // would count twice. A finding or a use of an API key that is lost is the smaller harm.
        if let Err(error) = record_findings(app, &moved).await {
            tracing::warn!(%error, sessions = moved.len(), "findings are not in the audit trail");
        }
    }
    if !report.api_keys.is_empty() {
        let recorded = retry_conflicts(|| app.store.record_api_key_uses(&report.api_keys)).await;
        if let Err(error) = recorded {
            tracing::warn!(%error, keys = report.api_keys.len(), "uses of API keys are lost");
        }
    }
    // Last: once the gate counts as complete, the sweeper ends sessions that it takes for idle.
    record_gate(app, report);
    Ok(())
}

fn record_gate(app: &App, report: &ActivityReport) {
    let Some(gate) = report.gate else {
        return;
    };
    // The round comes first. Recording it marks the gate as present, which would undo its leaving.
    if let Some(age) = report.complete_age {
        app.gates.record_round(gate.id, age, gate.admits_for);
    }
    if report.is_leaving {
        app.gates.record_end(gate.id, gate.admits_for);
    }
}

/// Puts the findings into the audit trail that hold now and did not before the report.
async fn record_findings(app: &App, moved: &[MovedSession]) -> Result<(), StoreError> {
    let mut events = Vec::new();
    for session in moved {
        let policy = app.policies.of(&session.tenant_id).await?;
        let before = findings(app, session, &session.before, &policy.findings_disabled);
        let after = findings(app, session, &session.after, &policy.findings_disabled);
        for finding in after {
            // The trail has a finding that held before. Without this check each report would repeat it.
            if before.iter().any(|old| old.code == finding.code) {
                continue;
            }
            let subject = (&session.tenant_id, session.id, &session.user_id);
            let at = session.after.at;
            events.push(PendingEvent::finding(
                &finding,
                at,
                subject,
                Actor::authority(),
            ));
        }
    }
    app.store.add_pending_events(&events).await
}

fn findings(
    app: &App,
    session: &MovedSession,
    used: &LastUse,
    disabled: &BTreeSet<FindingCode>,
) -> Vec<Finding> {
    let address = used.ip.parse().ok();
    let opened_from = session.opened_from.parse().ok();
    let (opened_in, used_in) =
        compared_places(&app.places, (opened_from, &session.opened_in), address);
    let observation = SessionObservation {
        created: session.created,
        active: true,
        ended_by: None,
        opened_in,
        opened_from,
        opened_beside: session.opened_beside.clone(),
        used_in,
        used_from: address,
        // A report does not contain refresh tokens.
        refresh_token_shared: false,
    };
    observation.findings(used.at, disabled)
}

/// Repeats a transaction that conflicts with another one.
async fn retry_conflicts<T, F: Future<Output = Result<T, StoreError>>>(
    record: impl Fn() -> F,
) -> Result<T, StoreError> {
    // Reports lock rows in one order, so two reports cannot deadlock. Appenders lock the same rows beside them.
    let mut backoff = Backoff::new(RETRY_DELAY_MIN, RETRY_DELAY_MAX);
    for _ in 1..ATTEMPTS_MAX {
        match record().await {
            // A conflict rolls the transaction back, so a repetition counts no request twice.
            Err(StoreError::Conflict(_)) => tokio::time::sleep(backoff.step()).await,
            recorded => return recorded,
        }
    }
    // The last attempt has no pause after it. If it fails for sessions, the gate keeps its counts and reports them
    // again.
    record().await
}
