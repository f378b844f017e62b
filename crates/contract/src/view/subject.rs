//! The numbers of a credential.

use crate::{
    id::{Serial, TenantSerial, UserSerial},
    position::Revision,
};

/// The numbers by which revocations find one credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The credential's own serial.
    pub serial: Serial,
    /// The serial of its user.
    pub user: UserSerial,
    /// The serial of its tenant.
    pub tenant: TenantSerial,
    /// The head of the log that the transaction which created the credential read. A cutoff with a greater revision
    /// covers it.
    pub opened: Revision,
}
