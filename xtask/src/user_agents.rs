//! `cargo xtask user-agents`: the data by which user agents are recognized, from a copy of the uap-core project.
//!
//! The chore downloads nothing. A maintainer gives it a directory with `regexes.yaml`: a clone of uap-core, its unpacked
//! package, or the directory `uap-core` of the crate `ua-parser`.

use std::{
    borrow::Cow,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use ua_parser::{Extractor, Regexes};

/// The data in the tree, which the authority has in its binary.
const DATA: &str = "crates/authority/data/user_agents.json";
/// The longest version, in bytes: it is written into a log line.
const VERSION_BYTES_MAX: usize = 64;

/// The source of the data.
#[derive(Args)]
pub struct Options {
    /// A directory with regexes.yaml and package.json: a clone of uap-core, its unpacked package, or uap-core/ of the
    /// crate ua-parser. Nothing is downloaded.
    uap_core: PathBuf,
    /// The version to record, for example 0.18.0+e3c5e634bee0. Without it that of package.json is recorded.
    #[arg(long)]
    data_version: Option<String>,
}

/// The file of uap-core. A field that is not named here is an error, so that nothing new is dropped without a word.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lists {
    user_agent_parsers: Vec<Browser>,
    os_parsers: Vec<System>,
    device_parsers: Vec<Device>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Browser {
    regex: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    family_replacement: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    v1_replacement: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    v2_replacement: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    v3_replacement: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    v4_replacement: Option<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct System {
    regex: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    os_replacement: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    os_v1_replacement: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    os_v2_replacement: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    os_v3_replacement: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    os_v4_replacement: Option<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Device {
    regex: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    regex_flag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_replacement: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    brand_replacement: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_replacement: Option<String>,
}

/// The part of `package.json` that is read.
#[derive(Deserialize)]
struct Package {
    version: String,
}

/// Writes the data into the tree.
pub fn write(root: &Path, options: &Options) -> Result<()> {
    let version = match &options.data_version {
        Some(version) => version.clone(),
        None => read_version(&options.uap_core)?,
    };
    let is_printable = version.bytes().all(|byte| byte.is_ascii_graphic());
    ensure!(
        is_printable && (1..=VERSION_BYTES_MAX).contains(&version.len()),
        "the version must be 1 to {VERSION_BYTES_MAX} visible ASCII characters"
    );

    let source = options.uap_core.join("regexes.yaml");
    let yaml = read(&source)?;
    let lists: Lists = serde_saphyr::from_str(&yaml)
        .with_context(|| format!("{} is not a list of uap-core", source.display()))?;
    let json = render(&version, &lists)?;
    // Before it is written: an expression that does not compile would stop every authority at its first sign-in.
    check(&json).context("the authority cannot use these expressions")?;
    fs::write(root.join(DATA), json).with_context(|| format!("writing {DATA}"))?;
    println!("{DATA} is of uap-core {version}: run the tests of `client_info::user_agents`");
    Ok(())
}

fn read_version(directory: &Path) -> Result<String> {
    let path = directory.join("package.json");
    let package: Package = serde_json::from_str(&read(&path)?)
        .with_context(|| format!("{} names no version", path.display()))?;
    Ok(package.version)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| {
        format!(
            "reading {}: give the directory of a copy of uap-core",
            path.display()
        )
    })
}

/// One parser a line, so that a refresh is readable as a difference.
fn render(version: &str, lists: &Lists) -> Result<String> {
    let version = serde_json::to_string(version)?;
    let browsers = render_list("user_agent_parsers", &lists.user_agent_parsers)?;
    let systems = render_list("os_parsers", &lists.os_parsers)?;
    let devices = render_list("device_parsers", &lists.device_parsers)?;
    Ok(format!(
        "{{\n\"version\": {version},\n{browsers},\n{systems},\n{devices}\n}}\n"
    ))
}

fn render_list<T: Serialize>(name: &str, parsers: &[T]) -> Result<String> {
    ensure!(!parsers.is_empty(), "{name} is empty");
    let mut lines = Vec::with_capacity(parsers.len());
    for parser in parsers {
        lines.push(serde_json::to_string(parser)?);
    }
    Ok(format!("\"{name}\": [\n{}\n]", lines.join(",\n")))
}

/// Compiles the expressions as the authority does.
fn check(json: &str) -> Result<()> {
    #[derive(Deserialize)]
    struct Data<'a> {
        user_agent_parsers: Vec<ua_parser::user_agent::Parser<'a>>,
        os_parsers: Vec<ua_parser::os::Parser<'a>>,
        device_parsers: Vec<ua_parser::device::Parser<'a>>,
        #[serde(rename = "version", borrow)]
        _version: Cow<'a, str>,
    }
    let data: Data<'_> = serde_json::from_str(json)?;
    Extractor::try_from(Regexes {
        user_agent_parsers: data.user_agent_parsers,
        os_parsers: data.os_parsers,
        device_parsers: data.device_parsers,
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const YAML: &str = r#"
user_agent_parsers:
  # A comment.
  - regex: '(curl)/(\d+)'
    family_replacement: 'cURL'
    v1_replacement: '8'
os_parsers:
  - regex: '(Wayland)'
device_parsers:
  - regex: 'bot'
    regex_flag: 'i'
    device_replacement: 'Spider'
"#;

    fn directory(yaml: &str) -> PathBuf {
        // Tests run at the same time, and several have the same text.
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let unique = format!("portcullis-xtask-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(unique);
        fs::create_dir_all(directory.join("crates/authority/data")).expect("created");
        fs::write(directory.join("regexes.yaml"), yaml).expect("written");
        fs::write(
            directory.join("package.json"),
            r#"{"name":"uap-core","version":"0.99.0"}"#,
        )
        .expect("written");
        directory
    }

    fn written(yaml: &str, data_version: Option<&str>) -> Result<String> {
        let directory = directory(yaml);
        let options = Options {
            uap_core: directory.clone(),
            data_version: data_version.map(str::to_owned),
        };
        let written = write(&directory, &options)
            .and_then(|()| Ok(fs::read_to_string(directory.join(DATA))?));
        fs::remove_dir_all(&directory).expect("removed");
        written
    }

    #[test]
    fn the_data_has_one_parser_a_line_and_its_version() {
        let json = written(YAML, None).expect("written");
        let expected = r#"{
"version": "0.99.0",
"user_agent_parsers": [
{"regex":"(curl)/(\\d+)","family_replacement":"cURL","v1_replacement":"8"}
],
"os_parsers": [
{"regex":"(Wayland)"}
],
"device_parsers": [
{"regex":"bot","regex_flag":"i","device_replacement":"Spider"}
]
}
"#;
        assert_eq!(json, expected);
        let json = written(YAML, Some("0.99.0+abc")).expect("written");
        assert!(json.contains("\"version\": \"0.99.0+abc\""), "{json}");
    }

    #[test]
    fn data_that_the_authority_cannot_use_is_not_written() {
        let broken = [
            YAML.replace("(curl)", "(curl"),
            YAML.replace("regex_flag", "regex_flags"),
            YAML.replace("os_parsers:\n  - regex: '(Wayland)'\n", "os_parsers: []\n"),
            "user_agent_parsers: []".to_owned(),
        ];
        for yaml in &broken {
            written(yaml, None).expect_err(yaml);
        }
        for version in ["", "a b", "\n", &"1".repeat(65)] {
            written(YAML, Some(version)).expect_err(version);
        }
        let options = Options {
            uap_core: "no/such/directory".into(),
            data_version: Some("1".into()),
        };
        let error = write(Path::new("."), &options).expect_err("missing");
        assert!(
            format!("{error:#}").contains("copy of uap-core"),
            "{error:#}"
        );
    }
}
