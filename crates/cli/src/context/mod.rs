//! Named contexts: which authority a command talks to, and where its credential is kept.
//!
//! No credential is ever an argument: other users of a machine can see those, and shells remember them.

mod connect;
mod credential;
mod file;

use std::path::PathBuf;

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use serde::{Deserialize, Serialize};

pub(crate) use self::{
    connect::Authority,
    credential::{CREDENTIAL_BYTES_MAX, Source},
    file::{Contexts, ContextsFile, check_name, no_such_context},
};
use crate::{
    commands::completion,
    failure::{Failure, Result},
    output::{Format, Printer},
};

/// An authority, and the credential for calls to it.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    /// `https://host:port`, or `http://` with a loopback address.
    pub(crate) address: String,
    /// PEM file with the certificates that may sign the authority's. Required with `https`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<PathBuf>,
    /// The tenant of commands that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<String>,
    /// Allows `http` to other machines.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) insecure: bool,
    /// PEM file with this caller's certificate, for an authority that knows callers by theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_certificate_file: Option<PathBuf>,
    /// PEM file with its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_key_file: Option<PathBuf>,
    /// Where the bearer string is kept. Unset: the certificate is the credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) credential: Option<Source>,
}

impl Context {
    /// Fails if the address or the certificates cannot be used.
    pub(crate) fn check(&self) -> Result<()> {
        connect::endpoint(self).map(drop)
    }

    /// The bearer string. None if the certificate is the credential.
    pub(crate) async fn bearer(&self, name: &str) -> Result<Option<String>> {
        match &self.credential {
            Some(source) => Ok(Some(source.read(name).await?)),
            None => Ok(None),
        }
    }

    /// The certificates that may sign the authority's.
    pub(crate) fn ca_certificate(&self) -> Result<Option<Vec<u8>>> {
        self.ca_file.as_deref().map(connect::read).transpose()
    }

    /// This caller's certificate and its key.
    pub(crate) fn client_certificate(&self) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        match (&self.client_certificate_file, &self.client_key_file) {
            (Some(certificate), Some(key)) => {
                credential::check_private(key)?;
                Ok(Some((connect::read(certificate)?, connect::read(key)?)))
            }
            (None, None) => Ok(None),
            _ => Err(Failure::usage(
                "client_certificate_file needs client_key_file, and the reverse",
            )),
        }
    }
}

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
