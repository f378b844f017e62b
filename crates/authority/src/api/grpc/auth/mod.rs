//! The layer that every call passes: deadline, credentials, permission, load. Handlers do not check again whether the
//! caller may make the call.

mod credentials;
mod deadline;
mod known_tokens;
mod layer;
mod load;
mod message;
mod table;

pub(crate) use self::{
    deadline::CallDeadline,
    layer::{Access, authorize},
    load::{REPORT_BYTES_MAX, TenantShare},
    table::served,
};
