//! The commands for administrators and operators, a file a subject. Each makes calls with its context's credential, and
//! decides nothing by itself.

mod api_keys;
mod audit;
pub(crate) mod completion;
mod contexts;
mod ending;
pub(crate) mod gates;
mod keys;
mod manual;
mod outcome;
mod policy;
mod receipt;
mod secrets;
mod sessions;
mod tenants;
mod users;

use clap::Subcommand;

use crate::{Running, check, failure::Result, init, size};

/// Commands that call an authority, and those that prepare one.
#[derive(Subcommand)]
pub(crate) enum Administration {
    /// Make the files of a new authority: keys, certificates, callers, a configuration.
    Init(init::Options),
    /// Check an installation: its configuration, its store, its gates, and a sign-out from end to end.
    Check(check::Options),
    /// Choose the authority, and the credential, of the other commands.
    Context(contexts::Options),
    /// Find, show and end sessions.
    Sessions(sessions::Options),
    /// Find users, sign them out, disable and enable them, set their roles.
    Users(users::Options),
    /// Sign out everybody of a tenant.
    Tenants(tenants::Options),
    /// Show and change the policy of a tenant.
    Policy(policy::Options),
    /// Make, show and revoke credentials of programs.
    ApiKeys(api_keys::Options),
    /// Read, follow, verify and export the audit trail.
    Audit(audit::Options),
    /// Rotate and retire signing keys.
    Keys(keys::Options),
    /// Watch the gates.
    Gates(gates::Options),
    /// Reckon how much room an installation takes.
    Size(size::Options),
    /// Write the manual pages into a directory.
    #[command(hide = true)]
    Manual(manual::Options),
}

/// Runs a command.
pub(crate) fn run(command: Administration) -> Running<Result<()>> {
    Box::pin(run_chosen(command))
}

async fn run_chosen(command: Administration) -> Result<()> {
    match command {
        // No connection is made here: `init`, `size`, `context` and `manual` work before there is
        // an authority.
        Administration::Init(options) => init::run(&options),
        Administration::Check(options) => check::run(&options).await,
        Administration::Context(options) => contexts::run(&options),
        Administration::Sessions(options) => sessions::run(&options).await,
        Administration::Users(options) => users::run(&options).await,
        Administration::Tenants(options) => tenants::run(&options).await,
        Administration::Policy(options) => policy::run(&options).await,
        Administration::ApiKeys(options) => api_keys::run(&options).await,
        Administration::Audit(options) => audit::run(&options).await,
        Administration::Keys(options) => keys::run(&options).await,
        Administration::Gates(options) => gates::run(&options).await,
        Administration::Size(options) => size::run(&options),
        Administration::Manual(options) => manual::run(&options),
    }
}
