//! The conformance suite over PostgreSQL.

use portcullis_tests::place::Place;

#[path = "../suite/mod.rs"]
mod suite;

async fn place() -> Place {
    Place::postgres().await
}
