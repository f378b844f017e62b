//! The listeners: their sockets, and what answers their requests.

mod bind;
mod handler;

pub(crate) use self::{
    bind::Listener,
    handler::{Handler, Handling},
};
