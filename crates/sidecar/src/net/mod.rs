//! The listeners: their sockets and their handlers.

mod bind;
mod handler;

pub(crate) use self::{
    bind::Listener,
    handler::{Handler, Handling},
};
