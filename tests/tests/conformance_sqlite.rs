//! The conformance suite over SQLite.

use portcullis_tests::place::Place;

#[path = "../suite/mod.rs"]
mod suite;

async fn place() -> Place {
    Place::sqlite().await
}
