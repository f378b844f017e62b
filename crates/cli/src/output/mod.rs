//! The output of commands: data on standard output in the form that was asked for, everything else on standard error.

pub(crate) mod document;
mod escape;
pub(crate) mod progress;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod times;
pub(crate) mod words;

use std::io::{self, ErrorKind, IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;

use self::{
    document::{Document, Quoted},
    escape::{EscapingFormatter, escape_quoted},
    table::Table,
    text::visible,
};
use crate::failure::{Failure, Result};

/// The form of a command's data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// One JSON document, with the fields of the contract.
    Json,
    /// The same in YAML.
    Yaml,
    /// One name or id a line.
    Name,
}

/// Something that a command prints.
pub(crate) trait Record {
    /// The columns of its table.
    const COLUMNS: &'static [&'static str];

    /// Its cells, as many as columns, harmless for a terminal.
    fn cells(&self) -> Vec<String>;

    /// Its lines when it is shown alone: by default its cells.
    fn details(&self) -> Vec<(&'static str, String)> {
        Self::COLUMNS.iter().copied().zip(self.cells()).collect()
    }

    /// Its name or id, for the next command.
    fn name(&self) -> String;

    /// It as data.
    fn document(&self) -> Result<Document>;
}

/// Prints the data of one command.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    format: Format,
}

impl Printer {
    /// Prints in this form.
    pub(crate) fn new(format: Format) -> Self {
        Self { format }
    }

    /// Prints a list, also an empty one: a script gets a document, a person the head of a table.
    pub(crate) fn list<R: Record>(self, records: &[R]) -> Result<()> {
        match self.format {
            Format::Table => {
                let mut table = Table::new(R::COLUMNS);
                for record in records {
                    table.add(record.cells());
                }
                write_styled(&table.render())
            }
            Format::Name => self.names(records),
            Format::Json | Format::Yaml => {
                let documents = records.iter().map(Record::document);
                let documents: Vec<Document> = documents.collect::<Result<_>>()?;
                self.data(&documents)
            }
        }
    }

    /// Prints one record.
    pub(crate) fn one<R: Record>(self, record: &R) -> Result<()> {
        match self.format {
            Format::Table => write_styled(&table::details(&record.details())),
            Format::Name => self.names(std::slice::from_ref(record)),
            Format::Json | Format::Yaml => self.data(&record.document()?),
        }
    }

    /// Prints one record as a line of its own, for lists without an end: a line of JSON, of YAML or of cells.
    pub(crate) fn line<R: Record>(self, record: &R) -> Result<()> {
        match self.format {
            Format::Table => write_out(&format!("{}\n", record.cells().join("  "))),
            Format::Name => self.names(std::slice::from_ref(record)),
            Format::Json => write_out(&json_line(&record.document()?)?),
            Format::Yaml => {
                let text = yaml(&record.document()?)?;
                // The mark between documents: a reader of the stream sees where a record ends.
                write_out(&format!("---\n{text}"))
            }
        }
    }

    fn data(self, data: &impl Serialize) -> Result<()> {
        let text = match self.format {
            Format::Yaml => yaml(data)?,
            _ => json(data)?,
        };
        write_out(&text)
    }

    fn names<R: Record>(self, records: &[R]) -> Result<()> {
        // A program gets the name as it is, because it may pass it on. A terminal never does.
        let raw = !io::stdout().is_terminal();
        let mut text = String::new();
        for record in records {
            let name = record.name();
            let shown = if raw { &*name } else { &*visible(&name) };
            text.push_str(shown);
            text.push('\n');
        }
        write_out(&text)
    }
}

/// A document of JSON with hostile characters escaped, over several lines.
pub(crate) fn json(data: &impl Serialize) -> Result<String> {
    let mut bytes = Vec::new();
    let mut serializer =
        serde_json::Serializer::with_formatter(&mut bytes, EscapingFormatter::pretty());
    serialized(data.serialize(&mut serializer))?;
    bytes.push(b'\n');
    // Nothing is lost: the serializer writes UTF-8.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A line of JSON with hostile characters escaped.
pub(crate) fn json_line(data: &impl Serialize) -> Result<String> {
    let mut bytes = Vec::new();
    let mut serializer =
        serde_json::Serializer::with_formatter(&mut bytes, EscapingFormatter::compact());
    serialized(data.serialize(&mut serializer))?;
    bytes.push(b'\n');
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn yaml(data: &impl Serialize) -> Result<String> {
    // By way of JSON, so that both forms have the same fields and names.
    let value = serialized(serde_json::to_value(data))?;
    let text = serde_saphyr::to_string(&Quoted(&value))
        .map_err(|error| Failure::failed(error.to_string()))?;
    Ok(escape_quoted(&text))
}

fn serialized<T>(result: std::result::Result<T, serde_json::Error>) -> Result<T> {
    result.map_err(|error| Failure::failed(error.to_string()))
}

/// Writes data to standard output.
pub(crate) fn write_out(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    finish(
        stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush()),
    )
}

/// Writes text with styles, which stay only on a terminal without `NO_COLOR`.
fn write_styled(text: &str) -> Result<()> {
    let mut stdout = anstream::stdout().lock();
    finish(
        stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush()),
    )
}

#[expect(
    clippy::disallowed_methods,
    reason = "nothing is left to drain when the reader of the output has gone"
)]
fn finish(written: io::Result<()>) -> Result<()> {
    match written {
        // `… | head` has read enough. That is no failure of ours.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(()),
    }
}

/// Tells the person something that is no data. Nobody reads it if standard error is closed.
pub(crate) fn note(text: &str) {
    // No reason to fail: the change that it tells of may have been made.
    drop(writeln!(anstream::stderr(), "{text}"));
}
