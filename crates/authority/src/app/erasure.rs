//! The erasure of a user, and of a whole tenant: ended through the log first, then removed in small steps.

use std::time::{Duration, Instant};

use portcullis_contract::id::{TenantId, UserId};

use super::{App, AppError, ChangeOrigin};
use crate::{
    domain::{Details, Entry, Erasure, Mutation, Policy, Profile, SignedOut},
    feed::Enforcement,
    log::Log,
    refused_sign_ins::RefusedSignIns,
    store::Store,
};

/// Rows of one step. A step holds no lock that a call would notice.
const STEP_ROWS: u32 = 256;

/// The time for which a call removes rows. A job does the rest.
const CALL_TIME: Duration = Duration::from_secs(5);

/// The most attempts to take a user's own values out of the policy while others change it.
const POLICY_ATTEMPTS_MAX: usize = 5;

/// The shortest name that a reason must not contain. Shorter ones are parts of too many words.
const NAME_CHARACTERS_MIN: usize = 3;

/// An erasure that has begun.
pub(crate) struct BegunErasure {
    pub(crate) signed_out: SignedOut,
    pub(crate) enforcement: Enforcement,
    pub(crate) erasure: Erasure,
    /// Whether nothing is left but the user's id, which the job removes.
    pub(crate) is_removed: bool,
}

/// Ends the sessions and API keys of a user, and removes the data that names the user. Goes on with an erasure that has
/// begun before.
pub(crate) async fn erase_user(
    app: &App,
    origin: &ChangeOrigin,
    tenant: &TenantId,
    user: &UserId,
) -> Result<BegunErasure, AppError> {
    origin.forbid_own_account(std::slice::from_ref(user))?;
    app.admit_named_users(tenant, std::slice::from_ref(user))
        .await?;
    forbid_names(app, origin, tenant, user).await?;

    let mutation = Mutation::EraseUser {
        tenant: tenant.clone(),
        user: user.clone(),
    };
    let (signed_out, enforcement) = app.apply_sign_out(origin, mutation).await?;
    // After the sign-out, which must not wait for another editor of the policy.
    remove_policy_override(app, tenant, user).await?;

    remove_some(app, (tenant, Some(user)), signed_out, enforcement).await
}

/// Ends the sessions and API keys of a tenant, and removes everything of it. Goes on with a deletion that has begun
/// before. Fails unless `is_forced`.
pub(crate) async fn delete_tenant(
    app: &App,
    origin: &ChangeOrigin,
    tenant: &TenantId,
    is_forced: bool,
) -> Result<BegunErasure, AppError> {
    // Nobody can undo it.
    if !is_forced {
        return Err(AppError::ForceRequired);
    }
    let mutation = Mutation::DeleteTenant {
        tenant: tenant.clone(),
    };
    let (signed_out, enforcement) = app.apply_sign_out(origin, mutation).await?;
    remove_some(app, (tenant, None), signed_out, enforcement).await
}

/// Removes as many rows as one call has time for.
async fn remove_some(
    app: &App,
    (tenant, user): (&TenantId, Option<&UserId>),
    signed_out: SignedOut,
    enforcement: Enforcement,
) -> Result<BegunErasure, AppError> {
    // It is there until the job ends it, which waits for a while.
    let Some(erasure) = app.store.erasure(tenant, user).await? else {
        return Err(AppError::Unavailable);
    };
    let worker = EraseWorker {
        store: &*app.store,
        log: &app.log,
        refused: &app.refused_sign_ins,
    };
    let is_removed = worker.remove(&erasure, Instant::now() + CALL_TIME).await?;
    // Read again, because rows went since. The job may have ended it meanwhile.
    let erasure = app.store.erasure(tenant, user).await?.unwrap_or(erasure);
    Ok(BegunErasure {
        signed_out,
        enforcement,
        erasure,
        is_removed,
    })
}

/// Refuses a reason that names the user. It stays in the trail when everything else about them is gone.
async fn forbid_names(
    app: &App,
    origin: &ChangeOrigin,
    tenant: &TenantId,
    user: &UserId,
) -> Result<(), AppError> {
    let found = app.store.user(tenant, user).await?;
    let profile = found.map(|found| found.profile).unwrap_or_default();
    if contains_a_name(&origin.reason, user, &profile) {
        return Err(AppError::invalid(
            "reason",
            "must not contain the id, the names or the email of the user",
        ));
    }
    Ok(())
}

fn contains_a_name(reason: &str, user: &UserId, profile: &Profile) -> bool {
    let reason = reason.to_lowercase();
    let whole = [user.as_str(), &profile.user_name, &profile.email];
    for name in whole {
        if name.chars().count() >= NAME_CHARACTERS_MIN && reason.contains(&name.to_lowercase()) {
            return true;
        }
    }
    contains_a_word(&reason, profile)
}

/// Whether a reason has a name of the person as a word of its own.
fn contains_a_word(reason: &str, profile: &Profile) -> bool {
    // Names of people are parts of other words: Will, Mark, Art.
    let mut words = reason.split(|character: char| !character.is_alphanumeric());
    let names = [
        profile.given_name.to_lowercase(),
        profile.family_name.to_lowercase(),
    ];
    words
        .any(|word| word.chars().count() >= NAME_CHARACTERS_MIN && names.contains(&word.to_owned()))
}

/// Takes the values of a user out of the tenant's policy, which names them by id.
async fn remove_policy_override(
    app: &App,
    tenant: &TenantId,
    user: &UserId,
) -> Result<(), AppError> {
    for _ in 0..POLICY_ATTEMPTS_MAX {
        let Some((mut policy, version)) = app.store.policy(tenant).await? else {
            return Ok(());
        };
        if policy.user_overrides.remove(user).is_none() {
            return Ok(());
        }
        let entry = policy_of_erasure(tenant, policy, version);
        match app.log.submit(entry).await.map_err(AppError::from) {
            Ok(_) => {
                app.policies.reload(tenant).await?;
                return Ok(());
            }
            // Somebody else has changed the policy meanwhile. The new one may have the user's values too.
            Err(AppError::EtagMismatch) => {}
            Err(error) => return Err(error),
        }
    }
    Err(AppError::EtagMismatch)
}

fn policy_of_erasure(tenant: &TenantId, policy: Policy, version: u64) -> Entry {
    let mutation = Mutation::SetPolicy {
        tenant: tenant.clone(),
        policy: Box::new(policy),
        expected: version,
    };
    Entry {
        // The changed fields would name the user again.
        details: Details::from([("cause".to_owned(), "erasure".to_owned())]),
        ..Entry::internal(mutation)
    }
}

/// The parts that remove rows of an erasure, in a call and in the job.
pub(crate) struct EraseWorker<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) log: &'a Log,
    pub(crate) refused: &'a RefusedSignIns,
}

impl EraseWorker<'_> {
    /// Removes rows until nothing is left or the time is over. Returns true when nothing is left.
    pub(crate) async fn remove(&self, erasure: &Erasure, until: Instant) -> Result<bool, AppError> {
        // They would become events that name the user, a minute from now.
        self.refused
            .forget(&erasure.tenant_id, erasure.user_id.as_ref());
        // An event is erased in the trail only: the digest of its batch must know it.
        while self.store.has_pending_events_of(erasure).await? {
            self.log.submit(Entry::internal(Mutation::Record)).await?;
            if Instant::now() > until {
                return Ok(false);
            }
        }
        loop {
            let removed = self.store.erase_some(erasure, STEP_ROWS).await?;
            if removed.is_nothing() {
                return Ok(true);
            }
            if Instant::now() > until {
                return Ok(false);
            }
        }
    }

    /// Removes the row of the user or the tenant, and the erasure's own, which have the id.
    pub(crate) async fn finish(&self, erasure: &Erasure) -> Result<(), AppError> {
        let mutation = Mutation::FinishErasure {
            erasure: erasure.id,
            tenant: erasure.tenant_id.clone(),
            user: erasure.user_id.clone(),
        };
        self.log.submit(Entry::internal(mutation)).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_that_names_the_user_is_found() {
        let user = UserId::parse("u-1984").expect("an id");
        let profile = Profile {
            user_name: "ada.l".into(),
            given_name: "Ada".into(),
            family_name: "Li".into(),
            email: "ada@example.com".into(),
        };
        for reason in [
            "erase U-1984",
            "ticket of ada.l",
            "asked by ADA@example.com",
            "Ada asked",
            "(ada)",
        ] {
            assert!(contains_a_name(reason, &user, &profile), "{reason}");
        }
        for reason in ["request 17 of today", "adapted", "listed", "Li"] {
            assert!(!contains_a_name(reason, &user, &profile), "{reason}");
        }
        assert!(!contains_a_name("", &user, &Profile::default()));
    }
}
