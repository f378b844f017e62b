//! Suspicious sessions.

use serde::{Deserialize, Serialize};

/// What was found. The names are stable: they are in policies, audit rows and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingCode {
    /// The user never signed in on this device.
    NewDevice,
    /// The user never signed in from this country.
    NewCountry,
    /// The user never signed in from this city.
    NewCity,
    /// The user never signed in from this network.
    NewNetwork,
    /// Nobody travels from the last sign-in to this one so fast.
    ImpossibleTravel,
    /// The session is very old.
    OldSession,
    /// The session's address moved to another country.
    CountryChanged,
    /// An old refresh token of the session came back.
    RefreshTokenReused,
}
