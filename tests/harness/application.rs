//! The example applications in other languages: installed from pinned packages, and run.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::{process::Dev, wait::eventually};

/// The longest time for an installation: it fetches packages.
const INSTALL_TIMEOUT: Duration = Duration::from_secs(300);

/// A running application, with all that it wrote.
pub struct Application {
    _child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    /// Host and port at which it listens.
    pub address: String,
}

impl Application {
    /// Installs and starts `examples/python`.
    pub async fn python(dev: &Dev, directory: &Path) -> Self {
        let source = root().join("examples/python");
        let requirements = source.join("requirements.txt");
        let protos = root().join("proto/portcullis/v1");
        let home = Home::new("python", &[&requirements, &protos]);
        let python = home.directory.join("bin/python");
        if !home.is_installed() {
            let mut environment = Command::new("python3");
            environment.args(["-m", "venv", "--clear"]);
            run(environment.arg(&home.directory)).await;
            let mut install = Command::new(&python);
            install.args(["-m", "pip", "install", "--quiet", "--require-hashes", "-r"]);
            run(install.arg(&requirements)).await;
            run(Command::new(&python).arg(source.join("generate.py"))).await;
            home.set_installed();
        }
        let mut command = Command::new(&python);
        command.arg(source.join("app.py"));
        Self::start(command, dev, directory).await
    }

    /// Installs and starts `examples/node`.
    pub async fn node(dev: &Dev, directory: &Path) -> Self {
        let home = node_home("node", "examples/node").await;
        let mut command = Command::new("node");
        command
            .arg(home.join("app.js"))
            .env("PROTO", root().join("proto"));
        Self::start(command, dev, directory).await
    }

    async fn start(mut command: Command, dev: &Dev, directory: &Path) -> Self {
        let mut child = command
            .env("AUTHORITY", &dev.grpc)
            .env("CREDENTIALS", directory.join("dev-credentials.json"))
            .env("LISTEN", "127.0.0.1:0")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the application starts");
        let lines = Arc::new(Mutex::new(Vec::new()));
        collect(child.stdout.take().expect("piped"), &lines);
        collect(child.stderr.take().expect("piped"), &lines);
        let address = eventually("the application to listen", async || {
            let lines = lines.lock().expect("whole");
            let line = lines
                .iter()
                .find_map(|line| line.strip_prefix("listening on http://"));
            line.map(str::to_owned)
        })
        .await;
        Self {
            _child: child,
            lines,
            address,
        }
    }

    /// All that it wrote.
    #[must_use]
    pub fn output(&self) -> String {
        self.lines.lock().expect("whole").join("\n")
    }
}

/// Installs the packages of a program for Node, and returns the directory in which it can run.
///
/// # Panics
/// When they cannot be installed.
pub async fn node_home(name: &str, source: &str) -> PathBuf {
    let source = root().join(source);
    let packages = ["package.json", "package-lock.json", ".npmrc"].map(|file| source.join(file));
    let home = Home::new(name, &packages.each_ref().map(PathBuf::as_path));
    // Node looks for packages beside the program, so the program is copied to them.
    copy(&source, &home.directory);
    if !home.is_installed() {
        let mut install = Command::new("npm");
        install.args(["ci", "--loglevel=error"]);
        run(install.current_dir(&home.directory)).await;
        home.set_installed();
    }
    home.directory
}

fn collect(output: impl AsyncRead + Send + Unpin + 'static, lines: &Arc<Mutex<Vec<String>>>) {
    let lines = Arc::clone(lines);
    tokio::spawn(async move {
        let mut reader = BufReader::new(output).lines();
        while let Ok(Some(line)) = reader.next_line().await {
            lines.lock().expect("whole").push(line);
        }
    });
}

pub(crate) fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the workspace").to_owned()
}

/// The place of an installation.
pub(crate) struct Home {
    pub(crate) directory: PathBuf,
    /// A digest of what is installed.
    version: String,
}

impl Home {
    /// The place of an installation whose packages follow the content of `sources`.
    pub(crate) fn new(name: &str, sources: &[&Path]) -> Self {
        let mut content = Vec::new();
        for source in sources {
            read_all(source, &mut content);
        }
        let digest = portcullis_contract::position::sha256(&content);
        Self {
            directory: root().join("target/examples").join(name),
            version: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }

    /// Whether this version was installed to the end.
    pub(crate) fn is_installed(&self) -> bool {
        fs::read_to_string(self.mark()).is_ok_and(|version| version == self.version)
    }

    pub(crate) fn set_installed(&self) {
        fs::write(self.mark(), &self.version).expect("written");
    }

    fn mark(&self) -> PathBuf {
        self.directory.join("installed")
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    // What a person installed to run the example by hand is no source.
    paths.retain(|path| !path.ends_with("node_modules"));
    paths.sort();
    paths
}

fn read_all(source: &Path, content: &mut Vec<u8>) {
    if source.is_dir() {
        for path in entries(source) {
            read_all(&path, content);
        }
    } else {
        content.extend(source.file_name().expect("a name").as_encoded_bytes());
        content.extend(fs::read(source).expect("a file"));
    }
}

pub(crate) fn copy(source: &Path, target: &Path) {
    if !source.is_dir() {
        fs::copy(source, target).expect("copied");
        return;
    }
    fs::create_dir_all(target).expect("a directory");
    for path in entries(source) {
        copy(&path, &target.join(path.file_name().expect("a name")));
    }
}

pub(crate) async fn run(command: &mut Command) {
    let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(INSTALL_TIMEOUT, running).await;
    let output = output.expect("it ends").expect("it starts");
    let written = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {written}");
}
