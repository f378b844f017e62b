//! The listeners: their sockets, TLS, and the bounds of their connections.

mod bind;
mod port;
mod tls;

pub(crate) use self::{
    bind::Listener,
    port::{Handler, Port, Protocol, serve},
    tls::{acceptor, read_tls},
};
