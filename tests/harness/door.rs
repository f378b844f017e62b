//! A door: a place where requests are admitted or refused, as the suite in `tests/doors` sees it.
//!
//! To add a door, implement [`Door`] and add it to the list in `tests/doors/doors/mod.rs`. Every case of the suite then runs
//! for it. What the door cannot do stands in its [`Abilities`], and in the printed table.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use portcullis_gate::Rules;

use crate::{http3::Certificate, upstream::Upstream};

/// How often a door under test reports the use of sessions.
pub const ACTIVITY_INTERVAL: Duration = Duration::from_millis(200);

/// Whether a door can do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ability {
    /// It can, and the cases that need it have to pass.
    Yes,
    /// It cannot. The table shows the reason, in a few words.
    No(&'static str),
}

/// What a door can do. There is no default, so that a new ability makes every door say.
#[derive(Clone, Copy, Debug)]
pub struct Abilities {
    /// Serves HTTP/2, by prior knowledge, at [`RunningDoor::http2`].
    pub http2: Ability,
    /// Serves HTTP/3 at [`RunningDoor::http3`], with the certificate of [`DoorOptions`].
    pub http3: Ability,
    /// Forwards calls of gRPC, with their trailers, over HTTP/2.
    pub grpc: Ability,
    /// Forwards WebSockets.
    pub websockets: Ability,
    /// Cuts a live stream when its credential ends: a WebSocket, an event stream, a download.
    pub cuts_streams: Ability,
    /// Passes an upgrade on to the upstream only for a WebSocket. Another protocol would be a tunnel.
    pub limits_upgrades: Ability,
    /// Removes every header whose name begins as those of the identity do, and not only the names that there are.
    pub cleans_all_names: Ability,
    /// Removes identity headers from a request's trailers, or drops trailers.
    pub cleans_trailers: Ability,
    /// Sends the body of a refusal to the client, as the gate wrote it.
    pub refusal_bodies: Ability,
    /// Sends all headers of a refusal: `Cache-Control`, `WWW-Authenticate`, `Retry-After`.
    pub refusal_headers: Ability,
    /// Sends a browser that has no session to the sign-in page.
    pub redirects: Ability,
    /// Tells the gate the target as the client sent it, so that an ambiguous path is seen.
    pub raw_target: Ability,
    /// Tells the authority the address of the client's connection.
    pub client_address: Ability,
    /// Has a second mode, in which it admits during a short outage of the authority.
    pub best_effort: Ability,
    /// Asks another process, which [`RunningDoor::kill_decider`] kills.
    pub decider: Ability,
    /// Answers 503 with `Retry-After` when that process is gone.
    pub answers_unavailable: Ability,
    /// Refuses within a second or two when that process does not answer.
    pub bounds_decision: Ability,
}

/// The settings of a door under test.
#[derive(Clone)]
pub struct DoorOptions {
    /// The authority's gRPC server, or a proxy before it.
    pub authority: SocketAddr,
    /// The server behind the door.
    pub upstream: Arc<Upstream>,
    /// The rules, as a document of the rules' file.
    pub rules: toml::Table,
    /// The bound of freshness.
    pub max_staleness: Duration,
    /// The second bound; `None` is the strict mode.
    pub best_effort: Option<Duration>,
    /// The certificate of its HTTP/3 server.
    pub certificate: Certificate,
}

impl DoorOptions {
    /// `http://…` of the authority.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.authority)
    }

    /// The rules as TOML, for a sidecar.
    ///
    /// # Panics
    /// When they are no TOML.
    #[must_use]
    pub fn rules_toml(&self) -> String {
        toml::to_string(&self.rules).expect("TOML")
    }

    /// The rules as JSON, for the Envoy module.
    ///
    /// # Panics
    /// When they are no JSON.
    #[must_use]
    pub fn rules_json(&self) -> String {
        serde_json::to_string(&self.rules).expect("JSON")
    }

    /// The rules, for a door in this process.
    ///
    /// # Panics
    /// When they are no rules.
    #[must_use]
    pub fn rules(&self) -> Rules {
        self.rules.clone().try_into().expect("rules")
    }

    /// The settings of a validator, for a door in this process.
    pub fn validator(&self) -> portcullis_validator::Builder {
        use crate::authority::{AUDIENCE, GATEWAY, ISSUER};
        let mut builder = portcullis_validator::Validator::builder(self.endpoint())
            .bearer(GATEWAY)
            .issuer(ISSUER)
            .audience(AUDIENCE)
            .name("door under test")
            .activity_interval(ACTIVITY_INTERVAL)
            .max_staleness(self.max_staleness);
        if let Some(stale_max) = self.best_effort {
            builder = builder.best_effort(stale_max);
        }
        builder
    }
}

/// A kind of door.
#[async_trait]
pub trait Door: Send + Sync {
    /// Its name in the table.
    fn name(&self) -> &'static str;

    /// What it can do.
    fn abilities(&self) -> Abilities;

    /// Starts it, and returns when it listens. It need not have a view yet.
    async fn start(&self, options: &DoorOptions) -> Box<dyn RunningDoor>;
}

/// A door that listens. Dropping it ends its processes.
#[async_trait]
pub trait RunningDoor: Send + Sync {
    /// The address of its HTTP/1.1 server, without TLS.
    fn http(&self) -> SocketAddr;

    /// The address at which it speaks HTTP/2 by prior knowledge, without TLS.
    fn http2(&self) -> SocketAddr {
        self.http()
    }

    /// The address of its HTTP/3 server.
    fn http3(&self) -> Option<SocketAddr> {
        None
    }

    /// Kills the process that the gateway asks. Called only where [`Abilities::decider`] says that there is one.
    async fn kill_decider(&self) {
        panic!("this door has no process of its own to decide");
    }

    /// Stops that process, so that it accepts connections and never answers. Called only where
    /// [`Abilities::bounds_decision`] says so.
    async fn stop_decider(&self) {
        panic!("this door has no process of its own to decide");
    }
}
