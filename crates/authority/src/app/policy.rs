//! Policies of tenants: read, replace, and preview a replacement.

use portcullis_contract::id::{SessionId, TenantId};

use super::{
    App, AppError, Caller, ChangeOrigin,
    preview::{ChangePreview, preview},
};
use crate::domain::{
    Details, Entry, Heard, Mutation, Policy, Selection, Sweep,
    listing::{PREVIEW_SAMPLE_MAX, PREVIEW_SESSIONS_MAX},
    policy::POLICY_AGE_MAX,
};

/// A policy and its version.
pub(crate) struct VersionedPolicy {
    pub(crate) policy: Policy,
    /// 0: the tenant has set none, and the installation's default is in force.
    pub(crate) version: u64,
}

/// Sessions of one read of a preview.
const STEP_SESSIONS: u32 = 1_000;

/// The most active sessions that a preview looks at. `UpdatePolicyResponse.preview` names the number.
const EXAMINED_SESSIONS_MAX: u32 = 20_000;

/// Returns the policy that is in force for a tenant.
pub(crate) async fn get_policy(app: &App, tenant: &TenantId) -> Result<VersionedPolicy, AppError> {
    // Read from the store and not from the cache: the etag of an older version would make the next update fail.
    match app.store.policy(tenant).await? {
        Some((policy, version)) => Ok(VersionedPolicy { policy, version }),
        None => Ok(VersionedPolicy {
            policy: app.policies.default().clone(),
            version: 0,
        }),
    }
}

/// Replaces a tenant's policy, if it still has the version that the caller has read. When this returns, every authority
/// follows the new one.
pub(crate) async fn update_policy(
    app: &App,
    origin: &ChangeOrigin,
    tenant: &TenantId,
    policy: Policy,
    expected: u64,
) -> Result<VersionedPolicy, AppError> {
    let changes = changes(app, tenant, &policy, expected).await?;
    // The appender compares the version within its transaction. Compared here, two administrators could both pass, and
    // the second would undo the change of the first without seeing it.
    let mutation = Mutation::SetPolicy {
        tenant: tenant.clone(),
        policy: Box::new(policy),
        expected,
    };
    let entry = Entry {
        details: changes,
        ..origin.entry(mutation)
    };
    app.log.submit(entry).await?;

    // This authority follows the new policy from here on.
    let known = app.policies.reload(tenant).await?;
    // Others may have read the policy of before just before it was replaced, and follow it for as long as that. The
    // answer promises that nobody does.
    if app.store.is_shared() {
        tokio::time::sleep(POLICY_AGE_MAX).await;
    }
    Ok(VersionedPolicy {
        policy: Policy::clone(&known.policy),
        version: known.version,
    })
}

/// Returns the sessions that the next sweep would end under a policy, and changes nothing.
pub(crate) async fn preview_policy(
    app: &App,
    caller: &Caller,
    tenant: &TenantId,
    policy: &Policy,
    expected: u64,
) -> Result<ChangePreview, AppError> {
    // A preview beside a policy that somebody else has changed would show what no update does.
    changes(app, tenant, policy, expected).await?;
    let ending = find_ending(app, tenant, policy).await?;

    let mut sample = ending.sessions;
    let sessions = u32::try_from(sample.len()).unwrap_or(u32::MAX);
    sample.truncate(PREVIEW_SAMPLE_MAX as usize);
    let shown = match sample.is_empty() {
        // No statement looks for no session.
        true => Vec::new(),
        false => {
            let selection = Selection::Sessions(sample);
            preview(app, caller, tenant, &selection).await?.sample
        }
    };
    Ok(ChangePreview {
        sessions: sessions.min(PREVIEW_SESSIONS_MAX),
        is_capped: ending.has_more || sessions > PREVIEW_SESSIONS_MAX,
        sample: shown,
    })
}

/// The sessions that would end under a policy.
struct EndingSessions {
    /// Newest first, and at least one more than a preview counts if there are as many.
    sessions: Vec<SessionId>,
    /// Whether there are active sessions that were not looked at.
    has_more: bool,
}

async fn find_ending(
    app: &App,
    tenant: &TenantId,
    policy: &Policy,
) -> Result<EndingSessions, AppError> {
    // The sweep's own decision, so that a preview cannot promise something else. Gates that have gone silent may hold
    // idleness back for a while, which only the sweep knows: such sessions end a little later.
    let heard = Heard {
        delay_max: app.config.sessions.activity_delay_max,
        ..Heard::default()
    };
    let mut sessions = Vec::new();
    let mut examined = 0;
    let mut before = None;
    loop {
        let step = app
            .store
            .sessions_under(tenant, policy, before, STEP_SESSIONS)
            .await?;
        let found = u32::try_from(step.sessions.len()).unwrap_or(u32::MAX);
        examined += found;
        before = step.sessions.last().map(|session| session.id);
        for session in step.sessions {
            if let Sweep::End(_) = session.sweep(policy, heard, step.now) {
                sessions.push(session.id);
            }
        }

        let has_more = found == STEP_SESSIONS;
        let is_enough = sessions.len() > PREVIEW_SESSIONS_MAX as usize;
        if !has_more || is_enough || examined >= EXAMINED_SESSIONS_MAX {
            return Ok(EndingSessions { sessions, has_more });
        }
    }
}

/// The fields that the new policy changes.
async fn changes(
    app: &App,
    tenant: &TenantId,
    policy: &Policy,
    expected: u64,
) -> Result<Details, AppError> {
    let current = get_policy(app, tenant).await?;
    // A version has one content. If this is the one that the new policy replaces, the differences are right whatever
    // happens until the appender has compared the version.
    if current.version != expected {
        return Err(AppError::EtagMismatch);
    }
    Ok(current.policy.changes(policy))
}
