//! What every engine has to do, and what each engine promises beside that.
//!
//! A case of the suite is an `async fn` that takes an [`Engine`] and is named in the `on_every_engine!` at the end of its
//! file. The compiler reports a case that is not named there as dead code.

use portcullis_tests::place::Place;

/// Makes a test for each engine of every named case: `cutoffs::sqlite::…` and `cutoffs::postgres::…`.
macro_rules! on_every_engine {
    ($($case:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $case() {
                super::$case($crate::Engine::Sqlite).await;
            })+
        }

        mod postgres {
            $(#[tokio::test]
            async fn $case() {
                super::$case($crate::Engine::Postgres).await;
            })+
        }
    };
}
pub(crate) use on_every_engine;

mod activity;
mod api_key_uses;
mod api_keys;
mod append;
mod audit;
mod audit_exports;
mod audit_outbox;
mod audit_removal_cost;
mod audit_retention;
mod audit_verification;
mod batches;
mod clocks;
mod contention;
mod cutoffs;
mod erasure;
mod gates;
mod groups;
mod hostile_text;
mod installation;
mod large_entries;
mod list_plans;
mod lost_answers;
mod postgres_activity;
mod postgres_errors;
mod postgres_finish;
mod postgres_plans;
mod postgres_roles;
mod previews;
mod providers;
mod races;
mod recover;
mod refresh;
mod restart;
mod schema_versions;
mod secrets;
mod session_filters;
mod session_limits;
mod session_lists;
mod sign_in;
mod sign_in_history;
mod sign_out_counts;
mod signing_keys;
mod sqlite_directory;
mod sweep;
mod tenants;
mod turns;
mod user_lists;
mod user_roles;
mod user_totals;
mod users;

/// A database that the suite runs on.
#[derive(Clone, Copy)]
enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    /// A fresh place for the rows of one case.
    async fn place(self) -> Place {
        match self {
            Self::Sqlite => Place::sqlite().await,
            Self::Postgres => Place::postgres().await,
        }
    }
}

#[test]
fn every_file_of_the_suite_is_included() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/conformance");
    for file in std::fs::read_dir(directory).expect("the suite") {
        let file = file
            .expect("a file")
            .file_name()
            .into_string()
            .expect("an ASCII name");
        let module = file.trim_end_matches(".rs");
        let included = include_str!("main.rs").contains(&format!("\nmod {module};\n"));
        assert!(module == "main" || included, "{file} is not in main.rs");
    }
}
