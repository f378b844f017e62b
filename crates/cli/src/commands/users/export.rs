//! `portcullis users export`: everything that is held about a user, as JSON lines.

use std::{
    fs::OpenOptions,
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

use clap::Args;
use portcullis_contract::v1;

use super::OneUser;
use crate::{
    commands::sessions::PAGE_SIZE_MAX,
    context::Session as Connected,
    failure::{Failure, Result},
    output::{document::Document, json_line, note},
};

/// Options of `users export`.
#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    user: OneUser,
    /// Write to this new file, that only its owner may read.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Writes one JSON object a line: a kind, and fields by name.
pub(super) async fn run(connected: &Connected, tenant: String, options: &Options) -> Result<()> {
    let mut request = v1::ExportUserRequest {
        tenant_id: tenant,
        user_id: options.user.user.clone(),
        page_size: i32::try_from(PAGE_SIZE_MAX).unwrap_or(i32::MAX),
        page_token: String::new(),
    };
    // Asked first: an unknown user makes no file.
    let mut page = read_page(connected, &request).await?;
    let mut output = open(options)?;
    let mut written = 0_u64;
    loop {
        for record in &page.records {
            write_record(&mut output, record)?;
            written += 1;
        }
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
        page = read_page(connected, &request).await?;
    }
    // A buffer that is dropped loses the error of its last write.
    output.flush()?;
    note(&format!("{written} records written"));
    Ok(())
}

async fn read_page(
    connected: &Connected,
    request: &v1::ExportUserRequest,
) -> Result<v1::ExportUserResponse> {
    let mut client = connected.authority.users();
    let page = client.export_user(request.clone()).await?;
    Ok(page.into_inner())
}

fn write_record(output: &mut impl Write, record: &v1::ExportedRecord) -> Result<()> {
    let line = json_line(&Document::of_message("ExportedRecord", record)?)?;
    output.write_all(line.as_bytes())?;
    Ok(())
}

fn open(options: &Options) -> Result<Box<dyn Write>> {
    let Some(path) = &options.file else {
        return Ok(Box::new(BufWriter::new(io::stdout().lock())));
    };
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        // Everything that is held about a person.
        .mode(0o600)
        .open(path)
        .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
    Ok(Box::new(BufWriter::new(file)))
}
