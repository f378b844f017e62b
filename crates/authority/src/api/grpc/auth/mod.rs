//! The layer that every call passes: deadline, credentials, permission, load. Handlers do not check again whether the
//! caller may make the call.

mod deadline;
mod layer;
mod until_closed;

pub(crate) use self::{deadline::CallDeadline, layer::authorize};
