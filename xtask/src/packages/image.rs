//! The images, without Docker: the files of one layer, put into an OCI layout by umoci.
//!
//! An image has the program, the libraries that it is linked to, and the names of its user. There is no shell and no
//! package manager, so nothing in it has to be updated but the program.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use super::{DIRECTORY, VERSION, copy, fresh, sbom, service};
use crate::{
    dist, install,
    shell::{self, command},
    tools,
};

/// The user and group of every image: none that a machine has.
const USER: &str = "65532";
/// The most bytes of an image, as a registry keeps it.
const BYTES_MAX: u64 = 30_000_000;
/// Owned by the user: SQLite's data, if no database is elsewhere.
const STATE: &str = "var/lib/portcullis";

struct Image {
    name: &'static str,
    /// The package of the workspace.
    package: &'static str,
    arguments: &'static [&'static str],
    ports: &'static [&'static str],
    has_state: bool,
}

const IMAGES: [Image; 2] = [
    // The console and the command line are the same program, with other arguments.
    Image {
        name: dist::AUTHORITY,
        package: "portcullis-cli",
        arguments: &["serve", "--config", "/etc/portcullis/portcullis.toml"],
        ports: &["7400/tcp", "7470/tcp", "7480/tcp"],
        has_state: true,
    },
    Image {
        name: dist::SIDECAR,
        package: "portcullis-sidecar",
        arguments: &["--config", "/etc/portcullis/sidecar.toml"],
        ports: &["7500/tcp", "7501/tcp", "7502/tcp"],
        has_state: false,
    },
];

/// Makes both images, checks what is in them, and starts the authority in its own.
pub(super) fn make(programs: &Path) -> Result<()> {
    install::ensure(&[tools::UMOCI, tools::SKOPEO])?;
    let directory = Path::new(DIRECTORY).join("images");
    fresh(&directory)?;
    for image in &IMAGES {
        image.make(programs, &directory)?;
    }
    Ok(())
}

impl Image {
    fn make(&self, programs: &Path, directory: &Path) -> Result<()> {
        let files = directory.join(format!("{}.files", self.name));
        self.collect(programs, &files)?;
        let layer = directory.join(format!("{}.layer.tar", self.name));
        self.write_layer(&files, &layer)?;

        let layout = directory.join(self.name);
        let reference = format!("{}:{VERSION}", layout.display());
        self.write_image(&layout, &reference, &layer)?;
        check_size(&layout)?;

        let bundle = directory.join(format!("{}.bundle", self.name));
        let mut unpack = command("umoci", ["unpack", "--rootless", "--image", &reference]);
        unpack.arg(&bundle);
        shell::run(unpack)?;
        let root = bundle.join("rootfs");
        check_files(&root, self.name)?;
        self.start(&root, directory)?;

        // For `docker load` and for registries.
        let archive = format!("{}/{}-{VERSION}.oci.tar", directory.display(), self.name);
        let (from, to) = (format!("oci:{reference}"), format!("oci-archive:{archive}"));
        shell::run(command("skopeo", ["--insecure-policy", "copy", &from, &to]))
    }

    /// Puts the files of the image into a directory.
    fn collect(&self, programs: &Path, files: &Path) -> Result<()> {
        fresh(files)?;
        let program = files.join("usr/bin").join(self.name);
        for place in ["usr/bin", "etc/portcullis", "usr/share/sbom", STATE] {
            fs::create_dir_all(files.join(place)).with_context(|| format!("creating {place}"))?;
        }
        copy(&programs.join(self.name), &program)?;
        for library in libraries(&program)? {
            let place = files.join(library.strip_prefix("/").unwrap_or(&library));
            fs::create_dir_all(place.parent().context("a library in no directory")?)?;
            copy(&library, &place)?;
        }
        let names = [
            (
                "etc/passwd",
                format!("portcullis:x:{USER}:{USER}::/:/none\n"),
            ),
            ("etc/group", format!("portcullis:x:{USER}:\n")),
            ("etc/nsswitch.conf", "hosts: files dns\n".to_owned()),
        ];
        for (file, text) in names {
            fs::write(files.join(file), text).with_context(|| format!("writing {file}"))?;
        }
        let sbom = files.join(format!("usr/share/sbom/{}.cdx.json", self.name));
        sbom::write(self.package, &sbom)
    }

    /// Archives the files: the same files make the same bytes, whoever runs this and when.
    fn write_layer(&self, files: &Path, layer: &Path) -> Result<()> {
        let mut archive = command("tar", ["--create", "--sort=name", "--numeric-owner"]);
        archive.args(["--mtime=@0", "--owner=0", "--group=0", "--mode=go-w"]);
        archive.arg(format!("--exclude=./{STATE}"));
        archive
            .arg("--file")
            .arg(layer)
            .arg("--directory")
            .arg(files)
            .arg(".");
        shell::run(archive)?;
        if !self.has_state {
            return Ok(());
        }
        let mut append = command("tar", ["--append", "--numeric-owner", "--mtime=@0"]);
        append.args([format!("--owner={USER}"), format!("--group={USER}")]);
        append.arg("--mode=0700");
        append
            .arg("--file")
            .arg(layer)
            .arg("--directory")
            .arg(files);
        append.arg(format!("./{STATE}"));
        shell::run(append)
    }

    fn write_image(&self, layout: &Path, reference: &str, layer: &Path) -> Result<()> {
        let mut init = command("umoci", ["init", "--layout"]);
        init.arg(layout);
        shell::run(init)?;
        shell::run(command("umoci", ["new", "--image", reference]))?;
        let mut add = command("umoci", ["raw", "add-layer", "--image", reference]);
        add.arg(layer);
        shell::run(add)?;

        let mut config = command("umoci", ["config", "--image", reference]);
        config.args(["--config.user", &format!("{USER}:{USER}")]);
        config.args(["--config.entrypoint", &format!("/usr/bin/{}", self.name)]);
        for argument in self.arguments {
            config.args(["--config.cmd", argument]);
        }
        for port in self.ports {
            config.args(["--config.exposedports", port]);
        }
        if self.has_state {
            config.args(["--config.volume", &format!("/{STATE}")]);
        }
        config.args(["--config.stopsignal", "SIGTERM"]);
        config.args(["--config.label", &label("title", self.name)]);
        config.args(["--config.label", &label("version", VERSION)]);
        config.args(["--config.label", &label("licenses", "Apache-2.0")]);
        shell::run(config)
    }

    /// Starts the program with the image's root, read-only, as the image's user.
    fn start(&self, root: &Path, directory: &Path) -> Result<()> {
        let program = PathBuf::from("/usr/bin").join(self.name);
        let program = program.to_str().context("a path")?;
        let mut version = confined(root, None);
        version.args([program, "--version"]);
        shell::run(version)?;
        if !self.has_state {
            return Ok(());
        }

        let inside = root.join(program.trim_start_matches('/'));
        let made = directory.join("installation");
        let installation = service::Installation::make(&inside, &made)?;
        fs::create_dir(installation.directory().join("state")).context("creating state")?;
        // As the volumes of a container, which belong to its user.
        let mut own = command("chown", ["--recursive", &format!("{USER}:{USER}")]);
        own.arg(installation.directory());
        shell::run(own)?;
        let mut authority = confined(root, Some(installation.directory()));
        authority.arg(program).args(self.arguments);
        installation.add_variables(&mut authority);
        // `init` wrote the paths of this machine.
        for (setting, value) in [
            ("STORE__URL", "sqlite:/var/lib/portcullis/data"),
            ("KEYS__MASTER_KEY_FILE", "/etc/portcullis/master.key"),
            (
                "SERVER__TLS_CERTIFICATE_FILE",
                "/etc/portcullis/tls/chain.pem",
            ),
            ("SERVER__TLS_KEY_FILE", "/etc/portcullis/tls/key.pem"),
        ] {
            authority.env(format!("PORTCULLIS_{setting}"), value);
        }
        service::start_and_stop(authority, installation.http())
    }
}

fn label(name: &str, value: &str) -> String {
    format!("org.opencontainers.image.{name}={value}")
}

/// The libraries that a program is linked to, by their names as the loader looks for them.
fn libraries(program: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut question = command("ldd", [] as [&str; 0]);
    question.arg(program);
    let answer = shell::answer(question).context("ldd does not answer")?;
    let mut libraries = BTreeSet::new();
    for line in answer.lines() {
        // `libc.so.6 => /lib/… (0x…)`, or the loader's path alone. The kernel's own has no path.
        let path = line.split_whitespace().find(|word| word.starts_with('/'));
        libraries.extend(path.map(PathBuf::from));
    }
    ensure!(
        !libraries.is_empty(),
        "{} has no libraries",
        program.display()
    );
    Ok(libraries)
}

/// Fails when the layout is larger than an image may be.
fn check_size(layout: &Path) -> Result<()> {
    let mut bytes = 0;
    for entry in fs::read_dir(layout.join("blobs/sha256")).context("reading the layout")? {
        bytes += entry?.metadata()?.len();
    }
    println!("{}: {} MB", layout.display(), bytes.div_ceil(1_000_000));
    ensure!(
        bytes <= BYTES_MAX,
        "an image must be at most {BYTES_MAX} bytes"
    );
    Ok(())
}

/// Fails when the image has a program beside its own, or a file with more rights than its user.
fn check_files(root: &Path, program: &str) -> Result<()> {
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).context("reading the image")? {
            let entry = entry?;
            let (file, mode) = (entry.path(), entry.metadata()?.permissions().mode());
            if entry.file_type()?.is_dir() {
                open.push(file);
                continue;
            }
            ensure!(
                mode & 0o6000 == 0,
                "{} is set-uid or set-gid",
                file.display()
            );
            let name = entry.file_name();
            let is_library = name.to_string_lossy().contains(".so");
            if mode & 0o111 != 0 && !is_library && name != program {
                bail!("the image has the program {}", file.display());
            }
        }
    }
    Ok(())
}

/// Returns a command that runs its arguments with this root, read-only, as the image's user. A directory is its
/// configuration, and another one its state.
fn confined(root: &Path, installation: Option<&Path>) -> Command {
    // `$1` is the root, `$2` the configuration or nothing, `$3` the user.
    const SCRIPT: &str = r#"
        set -eu
        root=$1 files=$2 user=$3
        shift 3
        mount --bind "$root" "$root"
        if [ -n "$files" ]; then
            mount --bind "$files" "$root/etc/portcullis"
            mount --bind "$files/state" "$root/var/lib/portcullis"
        fi
        mount -o remount,bind,ro "$root"
        exec chroot --userspec="$user:$user" "$root" "$@"
    "#;
    let mut unshare = command("unshare", ["--mount", "--propagation", "private"]);
    unshare.args(["sh", "-c", SCRIPT, "sh"]).arg(root);
    unshare.arg(installation.unwrap_or(Path::new("")));
    unshare.arg(USER);
    unshare
}
