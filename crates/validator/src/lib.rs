//! What a gateway embeds: it admits or refuses each request locally, and learns of a sign-out in milliseconds.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use portcullis_validator::Validator;
//!
//! let validator = Validator::builder("http://127.0.0.1:7400")
//!     .bearer("the gateway's credential")
//!     .issuer("http://127.0.0.1:7480")
//!     .audience("gateway")
//!     .start()?;
//! validator.ready().await;
//! match validator.check("a token") {
//!     Ok(identity) => println!("hello {}", identity.user_id),
//!     Err(rejection) => println!("no: {}", rejection.reason()),
//! }
//! # Ok(()) }
//! ```

mod activity;
mod builder;
mod cache;
mod clock;
mod database_clock;
mod first_sight;
mod identity;
mod layer;
mod report;
mod state;
mod statistics;
mod sync;
mod telemetry;
mod validator;

pub use portcullis_contract::{position::Position, rejection::Rejection};

pub use self::{
    activity::RequestInfo,
    builder::{BuildError, Builder},
    identity::{Admitted, ApiKeyIdentity, Identity},
    layer::{ValidatorLayer, ValidatorService},
    state::{Freshness, Mode},
    statistics::{Statistics, Verdicts},
    validator::Validator,
};
