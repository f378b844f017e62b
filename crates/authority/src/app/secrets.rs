//! Secrets of tokens and master keys: list, rotate, retire, reseal.

use std::cmp::Reverse;

use super::{App, AppError, ChangeOrigin};
use crate::{
    domain::{
        Micros, Mutation, Resealed, SealedPlace, SealedValue, SecretId, SecretKind, SecretRecord,
        current_secret, made_until,
    },
    keys::{MasterKeyId, MasterKeys, Unsealable, signing_key_purpose},
};

/// The most secrets of a kind, retired ones included: a refresh token has one byte for the number.
const NUMBER_MAX: u8 = u8::MAX;

/// A secret at one time, without its bytes.
#[derive(Clone, Debug)]
pub(crate) struct SecretView {
    pub(crate) id: SecretId,
    pub(crate) state: SecretState,
    pub(crate) created: Micros,
    /// The time from which it makes tokens unless a newer one does.
    pub(crate) makes_from: Micros,
    pub(crate) retired: Option<Micros>,
}

/// The state of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SecretState {
    /// Too young to make tokens: an authority may not have read it yet.
    Pending,
    Making,
    /// A newer one makes tokens, and its own stay valid.
    Accepted,
    Retired,
}

/// A master key, as this authority has it.
#[derive(Clone, Debug)]
pub(crate) struct MasterKeyView {
    /// 16 hexadecimal digits, unless the value that names it is damaged.
    pub(crate) id: String,
    pub(crate) state: MasterKeyState,
    /// The values that it sealed.
    pub(crate) sealed: u64,
}

/// The state of a master key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MasterKeyState {
    Current,
    Other,
    /// It sealed a value, and this authority does not have it.
    Unknown,
}

/// The outcome of one call of many.
pub(crate) struct ResealedPiece {
    pub(crate) master_key: MasterKeyId,
    pub(crate) resealed: u32,
    /// The values that other master keys sealed.
    pub(crate) remaining: u64,
    /// The places of values that their key does not open.
    pub(crate) damaged: Vec<String>,
}

/// The most damaged values that are passed over. Behind more of them nothing is found.
const DAMAGED_MAX: u32 = 64;

/// The outcome for one value.
enum ResealOutcome {
    Resealed(Resealed),
    /// A checkpoint or record that is not kept any more.
    Gone,
    /// Its master key does not open it.
    Damaged,
}

/// Lists all secrets.
pub(crate) async fn list_secrets(app: &App) -> Result<Vec<SecretView>, AppError> {
    let (secrets, now) = app.store.secrets().await?;
    let views = secrets.iter().map(|secret| view(secret, &secrets, now));
    Ok(views.collect())
}

fn view(secret: &SecretRecord, all: &[SecretRecord], now: Micros) -> SecretView {
    SecretView {
        id: secret.id,
        state: state(secret, all, now),
        created: secret.created,
        makes_from: secret.makes_from,
        retired: secret.retired,
    }
}

fn state(secret: &SecretRecord, all: &[SecretRecord], now: Micros) -> SecretState {
    if secret.retired.is_some() {
        return SecretState::Retired;
    }
    if current_secret(all, secret.id.kind, now).is_some_and(|current| current.id == secret.id) {
        return SecretState::Making;
    }
    if secret.makes_from > now {
        return SecretState::Pending;
    }
    SecretState::Accepted
}

/// Lists the master keys of this authority, and those that sealed a value.
pub(crate) async fn list_master_keys(app: &App) -> Result<Vec<MasterKeyView>, AppError> {
    let counts = app.store.count_sealed().await?;
    let own = app.secrets.master().ids().0;
    let current = app.secrets.master().current();
    let mut keys = unknown_keys(&counts, &own);
    for id in &own {
        let state = match *id == current {
            true => MasterKeyState::Current,
            false => MasterKeyState::Other,
        };
        keys.push(own_key(*id, state, &counts));
    }
    keys.sort_by_key(|key| (key.state, Reverse(key.sealed)));
    Ok(keys)
}

fn own_key(id: MasterKeyId, state: MasterKeyState, counts: &[(Vec<u8>, u64)]) -> MasterKeyView {
    let counted = counts.iter().find(|(maker, _)| maker[..] == id.0);
    MasterKeyView {
        id: id.to_string(),
        state,
        sealed: counted.map_or(0, |(_, count)| *count),
    }
}

/// The master keys that sealed a value, and that this authority does not have.
fn unknown_keys(counts: &[(Vec<u8>, u64)], own: &[MasterKeyId]) -> Vec<MasterKeyView> {
    let mut unknown = Vec::new();
    for (maker, count) in counts {
        if !own.iter().any(|id| id.0 == maker[..]) {
            unknown.push(MasterKeyView {
                id: hexadecimal(maker),
                state: MasterKeyState::Unknown,
                sealed: *count,
            });
        }
    }
    unknown
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Adds a secret, which makes tokens after the configured delay.
pub(crate) async fn rotate_secret(
    app: &App,
    origin: &ChangeOrigin,
    kind: SecretKind,
) -> Result<SecretView, AppError> {
    let (secrets, _) = app.store.secrets().await?;
    let own = secrets.iter().filter(|secret| secret.id.kind == kind);
    let highest = own.map(|secret| secret.id.number).max().unwrap_or(0);
    if highest == NUMBER_MAX {
        return Err(AppError::invalid(
            "kind",
            "must have had fewer than 255 secrets",
        ));
    }
    let id = SecretId {
        kind,
        number: highest + 1,
    };

    // Authorities that have not read it could not tell its tokens from forged ones, so they get time.
    let secret = app.secrets.generate(id, app.config.keys.activation_delay);
    app.apply_change(origin, Mutation::AddSecret(secret))
        .await?;
    find_after_change(app, id).await
}

/// Ends the use of a secret. Its tokens become invalid.
pub(crate) async fn retire_secret(
    app: &App,
    origin: &ChangeOrigin,
    id: SecretId,
    is_forced: bool,
) -> Result<SecretView, AppError> {
    let (secrets, _) = app.store.secrets().await?;
    let Some(secret) = secrets.iter().find(|secret| secret.id == id) else {
        return Err(AppError::SecretNotFound);
    };
    // Without a later one it makes tokens. The store refuses that, also if this changes meanwhile.
    if let Some(until) = made_until(&secrets, secret)
        && secret.retired.is_none()
        && id.kind == SecretKind::Refresh
        && !is_forced
        // A session keeps its newest refresh token until it is refreshed, so it may have one of this secret.
        && app.store.has_session_from_before(until).await?
    {
        return Err(AppError::ForceRequired);
    }
    app.apply_change(origin, Mutation::RetireSecret(id)).await?;
    find_after_change(app, id).await
}

/// Reads the secrets of this authority again, and finds one.
async fn find_after_change(app: &App, id: SecretId) -> Result<SecretView, AppError> {
    // The other authorities follow by themselves. This one must not accept a secret after it has acknowledged the
    // retirement.
    app.secrets.reload().await?;
    let secrets = list_secrets(app).await?;
    let found = secrets.into_iter().find(|secret| secret.id == id);
    found.ok_or(AppError::SecretNotFound)
}

/// Seals by the current master key at most `values_max` values that another one sealed.
///
/// The values are read, sealed anew, and replaced in one entry of the log unless they changed meanwhile. So a call that
/// ends anywhere leaves each value under the one or the other key, and the next call goes on.
pub(crate) async fn reseal_secrets(
    app: &App,
    origin: &ChangeOrigin,
    values_max: u32,
) -> Result<ResealedPiece, AppError> {
    let master_key = app.secrets.master().current();
    // Damaged values stay where they are, and would be found first by every call. So as many more
    // are read.
    let values = app
        .store
        .sealed_by_others(&master_key.0, values_max + DAMAGED_MAX)
        .await?;
    let (resealed, damaged) = reseal_values(app, values, values_max).await?;
    Ok(ResealedPiece {
        master_key,
        resealed: replace_values(app, origin, master_key, resealed).await?,
        remaining: count_remaining(app, master_key).await?,
        damaged,
    })
}

/// Seals at most `values_max` values. Also returns the places of those that their key does not open.
async fn reseal_values(
    app: &App,
    values: Vec<SealedValue>,
    values_max: u32,
) -> Result<(Vec<Resealed>, Vec<String>), AppError> {
    let mut resealed = Vec::with_capacity(values.len());
    let mut damaged = Vec::new();
    for value in values {
        if resealed.len() == values_max as usize {
            break;
        }
        let place = value.place.to_string();
        match reseal_value(app, value).await? {
            ResealOutcome::Resealed(value) => resealed.push(value),
            ResealOutcome::Gone => {}
            ResealOutcome::Damaged => {
                tracing::error!(place, "a sealed value is damaged");
                damaged.push(place);
            }
        }
    }
    // At most so many are passed over, so there are more only if nothing else was found.
    damaged.truncate(DAMAGED_MAX as usize);
    Ok((resealed, damaged))
}

/// Replaces values in one entry of the log. Returns how many had not changed meanwhile.
async fn replace_values(
    app: &App,
    origin: &ChangeOrigin,
    master_key: MasterKeyId,
    resealed: Vec<Resealed>,
) -> Result<u32, AppError> {
    if resealed.is_empty() {
        return Ok(0);
    }
    let mut entry = origin.entry(Mutation::Reseal(resealed));
    let detail = ("master_key".to_owned(), master_key.to_string());
    entry.details.extend([detail]);
    Ok(app.log.submit(entry).await?.changed)
}

/// Seals one value.
async fn reseal_value(app: &App, value: SealedValue) -> Result<ResealOutcome, AppError> {
    let master = app.secrets.master();
    let new = match &value.place {
        SealedPlace::Secret(id) => master.reseal(&id.to_string(), &value.sealed),
        SealedPlace::SigningKey(id) => master.reseal(&signing_key_purpose(id), &value.sealed),
        SealedPlace::Checkpoint(revision) => {
            let Some((view, code)) = app.store.checkpoint_at(*revision).await? else {
                return Ok(ResealOutcome::Gone);
            };
            renew_code(master, &view, &code)
        }
        SealedPlace::Removal(place) => {
            let Some(record) = app.store.removal_record(*place).await? else {
                return Ok(ResealOutcome::Gone);
            };
            renew_code(master, &record.bytes, &record.code)
        }
    };
    reseal_outcome(value, new)
}

/// Makes the code over bytes anew, by the current master key.
fn renew_code(master: &MasterKeys, bytes: &[u8], code: &[u8]) -> Result<Vec<u8>, Unsealable> {
    // Only bytes that one of the keys vouches for get a new code. A record that somebody forged stays
    // as it is, for the verification to find.
    master.verify(bytes, code)?;
    Ok(master.authenticate(bytes))
}

fn reseal_outcome(
    value: SealedValue,
    new: Result<Vec<u8>, Unsealable>,
) -> Result<ResealOutcome, AppError> {
    match new {
        Ok(new) => Ok(ResealOutcome::Resealed(Resealed {
            place: value.place,
            old: value.sealed,
            new,
        })),
        Err(Unsealable::OtherKey {
            sealed_by,
            configured,
        }) => Err(AppError::MasterKeyUnknown(sealed_by, configured)),
        Err(Unsealable::Damaged) => Ok(ResealOutcome::Damaged),
    }
}

async fn count_remaining(app: &App, master_key: MasterKeyId) -> Result<u64, AppError> {
    let counts = app.store.count_sealed().await?;
    let others = counts.iter().filter(|(maker, _)| maker[..] != master_key.0);
    Ok(others.map(|(_, count)| count).sum())
}
