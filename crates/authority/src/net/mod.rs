//! The listening ports: their connections, the bounds of those, and a deadline for each thing that a peer may delay.

mod certificate_gauge;
mod client_certificate;
mod fair_semaphore;
mod held;
mod http_client;
mod listen;
mod port_limits;
mod refusal_pace;
mod remote;
mod requests;
mod shares;
mod tls;

pub(crate) use self::{
    certificate_gauge::observe_certificates,
    client_certificate::ClientCertificate,
    fair_semaphore::FairSemaphore,
    held::Held,
    http_client::{HttpClient, HttpConnection},
    listen::{PortOptions, Protocol, network, serve},
    port_limits::PortLimits,
    refusal_pace::RefusalPace,
    remote::{Remote, Stream},
    requests::Peer,
    shares::{Full, Share, Shares},
    tls::Tls,
};
