//! Named contexts: which authority a command talks to, and where its credential is kept.
//!
//! No credential is ever an argument: other users of a machine can see those, and shells remember them.

mod connect;
mod credential;
mod entry;
mod file;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;

pub(crate) use self::{
    connect::Authority,
    credential::{CREDENTIAL_BYTES_MAX, Source},
    entry::Context,
    file::{Contexts, ContextsFile, check_name, no_such_context},
};
use crate::{
    commands::completion,
    failure::{Failure, Result},
    output::{Format, Printer},
};

/// Flags of every command that calls an authority.
#[derive(Args)]
pub(crate) struct Remote {
    /// The context: which authority, and with which credential. The current one if left out.
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "PORTCULLIS_CONTEXT",
        hide_env_values = true,
        help_heading = "Connection",
        add = ArgValueCompleter::new(completion::contexts)
    )]
    context: Option<String>,
    #[command(flatten)]
    shown: Shown,
}

/// The flag of every command that prints data.
#[derive(Args)]
pub(crate) struct Shown {
    /// The form of the data on standard output.
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        value_name = "FORM",
        default_value_t,
        help_heading = "Output"
    )]
    output: Format,
}

impl Shown {
    /// The printer for this form.
    pub(crate) fn printer(&self) -> Printer {
        Printer::new(self.output)
    }
}

/// Flags of commands about one tenant.
#[derive(Args)]
pub(crate) struct InTenant {
    #[command(flatten)]
    pub(crate) remote: Remote,
    /// The tenant. The context's if left out.
    #[arg(
        long,
        global = true,
        value_name = "TENANT",
        env = "PORTCULLIS_TENANT",
        hide_env_values = true,
        help_heading = "Connection",
        add = ArgValueCompleter::new(completion::tenants)
    )]
    tenant: Option<String>,
}

/// A connected command.
pub(crate) struct Session {
    /// The authority, with the credential.
    pub(crate) authority: Authority,
    pub(crate) printer: Printer,
    /// The context's tenant.
    tenant: Option<String>,
}

impl Remote {
    /// Connects by the chosen context.
    pub(crate) async fn connect(&self) -> Result<Session> {
        let (name, context) = ContextsFile::locate()?
            .read()?
            .choose(self.context.as_deref())?;
        let authority = Authority::connect(&name, &context).await?;
        Ok(Session {
            authority,
            printer: self.shown.printer(),
            tenant: context.tenant,
        })
    }

    /// The printer for the chosen form, for commands without a connection.
    pub(crate) fn printer(&self) -> Printer {
        self.shown.printer()
    }

    /// The name of the context as it was typed.
    pub(crate) fn chosen(&self) -> Option<&str> {
        self.context.as_deref()
    }
}

impl InTenant {
    /// Connects, and finds the tenant that is meant.
    pub(crate) async fn connect(&self) -> Result<(Session, String)> {
        // Connected before the tenant is known: it may be the context's, which is read there.
        let session = self.remote.connect().await?;
        let tenant = self.tenant.clone().or_else(|| session.tenant.clone());
        let tenant = tenant.ok_or_else(|| {
            Failure::usage("no tenant is named")
                .hint("add --tenant, or give the context one: `portcullis context set`")
        })?;
        Ok((session, tenant))
    }

    /// Connects for a command that may be about no tenant. `None` if none is named.
    pub(crate) async fn connect_anywhere(&self) -> Result<(Session, Option<String>)> {
        let session = self.remote.connect().await?;
        let tenant = self.tenant.clone().or_else(|| session.tenant.clone());
        Ok((session, tenant))
    }
}
