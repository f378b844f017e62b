//! `portcullis init`: the files of a new authority. The bearer strings of its callers are printed, and kept nowhere.

mod certificates;
mod configuration;
mod place;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::Args;
use portcullis_authority::{config::Role, keys::MasterKey};
use serde::Serialize;

use self::{
    certificates::{Certificates, read_hosts},
    place::Place,
};
use crate::{
    context::Shown,
    credentials::{create_directory, digest, generate_bearer, write_secret},
    failure::{Exit, Failure, Result},
    output::{Record, document::Document, note, text::visible},
};

/// Options of `init`.
#[derive(Args)]
pub(crate) struct Options {
    /// The directory to make. It must not exist, or be empty, or have nothing but the samples of the Debian package.
    #[arg(value_name = "DIR", default_value = "./portcullis")]
    directory: PathBuf,
    /// What names the installation in every token (`iss`). It need not be reachable.
    #[arg(
        long,
        value_name = "URL",
        required_unless_present = "renew_certificate"
    )]
    issuer: Option<String>,
    /// A name or an address of the authority for its certificate. May be repeated; localhost is always one.
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<String>,
    /// Address of the gRPC server.
    #[arg(long, default_value = "127.0.0.1:7400", value_name = "ADDRESS")]
    grpc_listen: SocketAddr,
    /// Address of the HTTP server (verification keys, health, metrics). Beyond this machine it speaks TLS.
    #[arg(long, default_value = "127.0.0.1:7480", value_name = "ADDRESS")]
    http_listen: SocketAddr,
    /// The database. A directory of SQLite beside the configuration if left out, or /var/lib/portcullis with the Debian
    /// package. Other users can see a password in a flag: write it into the configuration afterwards.
    #[arg(long, value_name = "URL")]
    store_url: Option<String>,
    /// The group of the service, which may then read the configuration and the TLS files. `portcullis` with the Debian
    /// package.
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Only make a new certificate for the hosts, signed by the authority in DIR; without --host for those of the present
    /// one. A running authority takes it.
    #[arg(long, conflicts_with_all = ["issuer", "store_url", "group"])]
    renew_certificate: bool,
    #[command(flatten)]
    shown: Shown,
}

/// A caller of the new authority.
#[derive(Serialize)]
struct Caller {
    name: &'static str,
    roles: Vec<Role>,
    bearer: String,
}

impl Caller {
    fn new(name: &'static str, roles: &[Role]) -> Self {
        Self {
            name,
            roles: roles.to_vec(),
            bearer: generate_bearer(),
        }
    }

    fn role_words(&self) -> Vec<String> {
        let words = self
            .roles
            .iter()
            .map(|role| format!("{role:?}").to_lowercase());
        words.collect()
    }
}

/// Runs `init`.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.renew_certificate {
        return renew_certificate(options);
    }
    // A second master key would make the database of the first one unreadable.
    let place = Place::find(&options.directory)?;
    let callers = [
        Caller::new("sign-in", &[Role::Login]),
        Caller::new("back-office", &[Role::Support, Role::Admin]),
        Caller::new("gateways", &[Role::Gateway]),
        Caller::new("operations", &[Role::Operator]),
    ];
    let directory = std::path::absolute(&options.directory)?;
    write_all(options, place, &directory, &callers)?;
    // An error of the output is returned after the steps, because the files are in place by now.
    let printed = options.shown.printer().list(&callers);
    print_next_steps(options, place, &directory);
    printed
}

/// Writes everything beside the directory, and puts it there when it is whole.
fn write_all(options: &Options, place: Place, directory: &Path, callers: &[Caller]) -> Result<()> {
    // In a directory beside it, so that an interrupted `init` leaves no half installation in place.
    let part = part_of(directory)?;
    let written = write_files(options, place, directory, &part, callers);
    let placed = written.and_then(|()| place.take(&part, directory));
    if placed.is_err() {
        // It has keys that nobody will use.
        drop(fs::remove_dir_all(&part));
    }
    placed
}

fn part_of(directory: &Path) -> Result<PathBuf> {
    let name = directory.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| Failure::usage("the directory needs a name"))?;
    let part = directory.with_file_name(format!(".{name}.part"));
    if part.exists() {
        let failure = Failure::new(Exit::Conflict, format!("{} exists", part.display()));
        return Err(failure.hint("another init runs, or one was interrupted: then remove it"));
    }
    Ok(part)
}

fn write_files(
    options: &Options,
    place: Place,
    directory: &Path,
    part: &Path,
    callers: &[Caller],
) -> Result<()> {
    create_private(part)?;
    create_private(&part.join("tls"))?;
    write_private(&part.join("master.key"), &MasterKey::generate().to_base64())?;

    let certificates = Certificates::generate(&with_own(options.hosts.clone()))?;
    certificates.write(&part.join("tls"))?;

    let configuration = configuration(options, place, directory, callers)?;
    write_private(&part.join("portcullis.toml"), &configuration)?;

    match options.group.as_deref().or(place.default_group()) {
        // Before the files get their place, so that the service never finds a file that it may not
        // read.
        Some(group) => place::share(part, group),
        None => Ok(()),
    }
}

fn configuration(
    options: &Options,
    place: Place,
    directory: &Path,
    callers: &[Caller],
) -> Result<String> {
    let default_store = place.default_store(directory);
    let settings = configuration::Settings {
        // Every path is of the final directory: the part gets that name when it is whole.
        directory,
        issuer: options.issuer.as_deref().unwrap_or_default(),
        grpc_listen: options.grpc_listen,
        http_listen: options.http_listen,
        store_url: options.store_url.as_deref().unwrap_or(&default_store),
        callers: callers
            .iter()
            .map(|caller| (caller.name, digest(&caller.bearer), caller.role_words()))
            .collect(),
    };
    settings.render()
}

fn renew_certificate(options: &Options) -> Result<()> {
    let tls = options.directory.join("tls");
    // Signed by the authority that gates already trust, so none of them has to be told.
    let authority = Certificates::read_authority(&tls)?;
    let hosts = match options.hosts.is_empty() {
        // Without the present ones gates on other machines could not verify the server any more.
        true => read_hosts(&tls)?,
        false => options.hosts.clone(),
    };
    let hosts = with_own(hosts);
    authority.issue(&hosts)?.write_server(&tls)?;
    note(&format!("the new certificate is for {}", hosts.join(", ")));
    note("a running authority takes the new certificate within 5 s");
    Ok(())
}

/// Adds this machine's own names to the hosts of a certificate.
fn with_own(mut hosts: Vec<String>) -> Vec<String> {
    // The commands that are printed next connect from this machine.
    for own in ["localhost", "127.0.0.1", "::1"] {
        if !hosts.iter().any(|host| host == own) {
            hosts.push(own.to_owned());
        }
    }
    hosts
}

fn create_private(directory: &Path) -> Result<()> {
    create_directory(directory).map_err(|error| Failure::failed(format!("{error:#}")))
}

fn write_private(file: &Path, text: &str) -> Result<()> {
    write_secret(file, text).map_err(|error| Failure::failed(format!("{error:#}")))
}

fn print_next_steps(options: &Options, place: Place, directory: &Path) {
    let shown = directory.display();
    let start = match place {
        Place::New => format!("portcullis serve --config {shown}/portcullis.toml"),
        Place::Packaged => "systemctl enable --now portcullis".to_owned(),
    };
    let host = options.hosts.first().map_or("localhost", String::as_str);
    let address = format!("https://{host}:{}", options.grpc_listen.port());
    note(&format!(
        "\nThe credentials above are shown this once: keep them now, each where its caller reads it.\n\
         Keep a copy of {shown}/master.key away from the database's backups.\n\n\
         Next:\n\n  \
         {start}\n  \
         portcullis context set operations --address {address} --ca-file {shown}/tls/ca.pem --credential-stdin\n  \
         portcullis check --config {shown}/portcullis.toml --context operations"
    ));
}

impl Record for Caller {
    const COLUMNS: &'static [&'static str] = &["caller", "roles", "credential"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.to_owned(),
            self.role_words().join(", "),
            visible(&self.bearer).into_owned(),
        ]
    }

    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn document(&self) -> Result<Document> {
        Document::of_value(self)
    }
}
