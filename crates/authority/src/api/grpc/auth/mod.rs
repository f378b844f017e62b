//! The layer that every call passes: deadline, credentials, permission, load. Nothing behind it asks again who may call.

mod credentials;
mod deadline;
mod known_tokens;
mod layer;
mod load;
mod message;
mod table;

pub(crate) use self::{
    layer::{Access, authorize},
    load::{REPORT_BYTES_MAX, TenantShare},
    table::served,
};
