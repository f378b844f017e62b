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

mod builder;
mod cache;
mod clock;
mod layer;
mod state;
mod statistics;
mod sync;
mod telemetry;
mod validator;

pub use portcullis_contract::{
    position::Position,
    token::{ApiKeyIdentity, Identity},
    verdict::Rejection,
};

pub use self::{
    builder::{BuildError, Builder},
    layer::{ValidatorLayer, ValidatorService},
    state::{Freshness, Mode},
    statistics::{Statistics, Verdicts},
    validator::Validator,
};
