//! `portcullis manual`: the manual pages, made of the commands' own help.

use std::{fs, path::PathBuf};

use clap::{Args, CommandFactory};

use crate::{Cli, failure::Result};

/// Options of `manual`.
#[derive(Args)]
pub(crate) struct Options {
    /// The directory.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Writes one page a command.
pub(crate) fn run(options: &Options) -> Result<()> {
    fs::create_dir_all(&options.directory)?;
    clap_mangen::generate_to(Cli::command(), &options.directory)?;
    Ok(())
}
