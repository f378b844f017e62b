//! `portcullis context`: the named authorities and credentials of the other commands.

use std::{
    io::{self, IsTerminal, Read},
    path::PathBuf,
};

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCompleter;
use serde::Serialize;

use super::completion;
use crate::{
    context::{
        CREDENTIAL_BYTES_MAX, Context, Contexts, ContextsFile, Shown, Source, check_name,
        no_such_context,
    },
    failure::{Failure, Result},
    output::{Record, document::Document, note, text::cell},
};

/// Options of `context`.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    shown: Shown,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List all contexts.
    List,
    /// Show one context, or the current one. Credentials are never shown.
    Show(NamedOrCurrent),
    /// Make a context the current one.
    Use(Named),
    /// Make or change a context.
    Set(Box<SetOptions>),
    /// Remove a context, and the credential that was kept for it.
    Remove(Named),
}

#[derive(Args)]
struct Named {
    /// The context.
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(completion::contexts))]
    name: String,
}

#[derive(Args)]
struct NamedOrCurrent {
    /// The context. The current one if left out.
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(completion::contexts))]
    name: Option<String>,
}

#[derive(Args)]
struct SetOptions {
    /// The context.
    #[arg(value_name = "NAME", value_parser = check_name, add = ArgValueCompleter::new(completion::contexts))]
    name: String,
    /// The authority: https://host:7400, or http:// with a loopback address.
    #[arg(long, value_name = "URL")]
    address: Option<String>,
    /// PEM file with the certificates that sign the authority's.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// The tenant of commands that name none.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Allow http to other machines: the credential crosses the network in clear.
    #[arg(long)]
    insecure: bool,
    /// PEM file with this caller's certificate.
    #[arg(long, value_name = "FILE", requires = "client_key_file")]
    client_certificate_file: Option<PathBuf>,
    /// PEM file with its key.
    #[arg(long, value_name = "FILE", requires = "client_certificate_file")]
    client_key_file: Option<PathBuf>,
    #[command(flatten)]
    credential: CredentialOptions,
}

/// Where the credential is. None of these is the credential itself.
#[derive(Args)]
#[group(multiple = false)]
struct CredentialOptions {
    /// Read the credential from this file, with mode 0600, at each command.
    #[arg(long, value_name = "FILE")]
    credential_file: Option<PathBuf>,
    /// Read it from this variable of the environment.
    #[arg(long, value_name = "VARIABLE")]
    credential_env: Option<String>,
    /// Run this program, with its arguments separated by spaces; its output is the credential.
    #[arg(long, value_name = "COMMAND")]
    credential_helper: Option<String>,
    /// Read it from standard input now, and keep it in a file beside the contexts.
    #[arg(long)]
    credential_stdin: bool,
}

/// Runs `context`.
pub(crate) fn run(options: &Options) -> Result<()> {
    let file = ContextsFile::locate()?;
    let printer = options.shown.printer();
    match &options.command {
        Command::List => printer.list(&all(file.read()?)),
        Command::Show(named) => {
            let contexts = file.read()?;
            let current = contexts.current.clone();
            let (name, context) = contexts.choose(named.name.as_deref())?;
            printer.one(&Described::new(name, context, current.as_deref()))
        }
        Command::Use(named) => use_context(&file, &named.name),
        Command::Set(set) => set_context(&file, set),
        Command::Remove(named) => remove_context(&file, &named.name),
    }
}

fn all(contexts: Contexts) -> Vec<Described> {
    let current = contexts.current;
    let described = contexts
        .contexts
        .into_iter()
        .map(|(name, context)| Described::new(name, context, current.as_deref()));
    described.collect()
}

fn use_context(file: &ContextsFile, name: &str) -> Result<()> {
    let mut contexts = file.read()?;
    if !contexts.contexts.contains_key(name) {
        return Err(no_such_context(name));
    }
    contexts.current = Some(name.to_owned());
    file.write(&contexts)?;
    note(&format!("the current context is {name}"));
    Ok(())
}

fn set_context(file: &ContextsFile, options: &SetOptions) -> Result<()> {
    let mut contexts = file.read()?;
    let name = &options.name;
    let mut context = contexts.contexts.remove(name).unwrap_or_default();
    options.apply(&mut context)?;
    if context.address.is_empty() {
        return Err(Failure::usage("a new context needs --address"));
    }
    // Wrong addresses and missing certificates are found here, not at the first command.
    context.check()?;
    if options.credential.credential_stdin {
        let bearer = read_credential()?;
        // Written before the context that names it: an interruption leaves a file that nobody uses,
        // and no context without its credential.
        context.credential = Some(Source::File(file.keep_credential(name, &bearer)?));
    }
    // A first context is the only one that later commands can mean.
    if contexts.contexts.is_empty() && contexts.current.is_none() {
        contexts.current = Some(name.clone());
    }
    contexts.contexts.insert(name.clone(), context);
    file.write(&contexts)?;
    note(&format!("{name} is in {}", file.path().display()));
    Ok(())
}

impl SetOptions {
    fn apply(&self, context: &mut Context) -> Result<()> {
        if let Some(address) = &self.address {
            context.address.clone_from(address);
            // Permission for one address is none for another.
            context.insecure = false;
        }
        context.insecure |= self.insecure;
        if self.tenant.is_some() {
            context.tenant.clone_from(&self.tenant);
        }
        for (given, kept) in [
            (&self.ca_file, &mut context.ca_file),
            (
                &self.client_certificate_file,
                &mut context.client_certificate_file,
            ),
            (&self.client_key_file, &mut context.client_key_file),
        ] {
            if let Some(given) = given {
                *kept = Some(absolute(given)?);
            }
        }
        if let Some(source) = self.credential.source()? {
            context.credential = Some(source);
        }
        Ok(())
    }
}

impl CredentialOptions {
    fn source(&self) -> Result<Option<Source>> {
        if let Some(file) = &self.credential_file {
            return Ok(Some(Source::File(absolute(file)?)));
        }
        if let Some(variable) = &self.credential_env {
            return Ok(Some(Source::Environment(variable.clone())));
        }
        let Some(command) = &self.credential_helper else {
            return Ok(None);
        };
        // No shell takes part, so nothing in the words is a command of its own.
        let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        if words.is_empty() {
            return Err(Failure::usage("--credential-helper names no program"));
        }
        Ok(Some(Source::Helper(words)))
    }
}

/// A path that means the same in every directory.
fn absolute(file: &std::path::Path) -> Result<PathBuf> {
    Ok(std::path::absolute(file)?)
}

/// Reads a credential that is typed or piped.
fn read_credential() -> Result<String> {
    let text = if io::stdin().is_terminal() {
        let prompt = inquire::Password::new("Credential:").without_confirmation();
        prompt
            .prompt()
            .map_err(|error| Failure::failed(error.to_string()))?
    } else {
        let mut text = String::new();
        // One more than is allowed, so that too long is told from just fitting.
        let bound = u64::try_from(CREDENTIAL_BYTES_MAX).unwrap_or(u64::MAX) + 1;
        io::stdin().take(bound).read_to_string(&mut text)?;
        text
    };
    let text = text.trim();
    if text.is_empty() || text.len() > CREDENTIAL_BYTES_MAX {
        return Err(Failure::usage(format!(
            "the credential must be 1 to {CREDENTIAL_BYTES_MAX} bytes"
        )));
    }
    Ok(text.to_owned())
}

fn remove_context(file: &ContextsFile, name: &str) -> Result<()> {
    let mut contexts = file.read()?;
    if contexts.contexts.remove(name).is_none() {
        return Err(no_such_context(name));
    }
    if contexts.current.as_deref() == Some(name) {
        contexts.current = None;
    }
    file.write(&contexts)?;
    // After the context is gone: an interruption leaves a file that nobody uses, and no context
    // without its credential.
    file.forget_credential(name)?;
    note(&format!("{name} is removed"));
    Ok(())
}

/// A context as it is shown: with the place of its credential, never the credential.
#[derive(Serialize)]
struct Described {
    name: String,
    current: bool,
    #[serde(flatten)]
    context: Context,
}

impl Described {
    fn new(name: String, context: Context, current: Option<&str>) -> Self {
        Self {
            current: current == Some(name.as_str()),
            name,
            context,
        }
    }
}

impl Record for Described {
    const COLUMNS: &'static [&'static str] = &[
        "current",
        "name",
        "address",
        "tenant",
        "credential",
        "ca file",
    ];

    fn cells(&self) -> Vec<String> {
        let context = &self.context;
        let credential = match (&context.credential, &context.client_certificate_file) {
            (Some(source), _) => source.describe(),
            (None, Some(file)) => format!("certificate {}", file.display()),
            (None, None) => String::new(),
        };
        let ca_file = context
            .ca_file
            .as_ref()
            .map(|file| file.display().to_string());
        vec![
            if self.current { "*" } else { "" }.to_owned(),
            self.name.clone(),
            cell(&context.address),
            cell(context.tenant.as_deref().unwrap_or_default()),
            crate::output::text::visible(&credential).into_owned(),
            crate::output::text::visible(&ca_file.unwrap_or_default()).into_owned(),
        ]
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn document(&self) -> Result<Document> {
        Document::of_value(self)
    }
}
