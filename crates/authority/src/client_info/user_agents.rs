//! Devices from user agents, by the expressions of the ua-parser project, which are in the binary (`data/README.md`).

mod kind;

use std::{sync::LazyLock, thread};

use serde::Deserialize;
use ua_parser::{Extractor, Regexes, device, os, user_agent};

use self::kind::{is_ipad_as_mac, is_mac_application, kind_of, leading_program};

use crate::domain::{
    device::{Device, DeviceKind, short_version},
    text::tidy,
};

/// The most bytes of a user agent that are read.
pub const USER_AGENT_BYTES_MAX: usize = 1024;

/// The data in the binary, compiled. Compiling takes a tenth of a second and some 25 MiB.
static DATA: LazyLock<Data> = LazyLock::new(|| {
    let file: DataFile<'static> = serde_json::from_str(include_str!("../../data/user_agents.json"))
        .expect("the file in the binary is JSON");
    let regexes = Regexes {
        user_agent_parsers: file.user_agent_parsers,
        os_parsers: file.os_parsers,
        device_parsers: file.device_parsers,
    };
    Data {
        version: file.version,
        extractor: Extractor::try_from(regexes).expect("the expressions in the binary compile"),
    }
});

struct Data {
    version: String,
    extractor: Extractor<'static>,
}

/// The file in the binary, as `cargo xtask user-agents` writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DataFile<'a> {
    version: String,
    user_agent_parsers: Vec<user_agent::Parser<'a>>,
    os_parsers: Vec<os::Parser<'a>>,
    device_parsers: Vec<device::Parser<'a>>,
}

/// The version of uap-core that the data in the binary is of.
#[must_use]
pub fn data_version() -> &'static str {
    &DATA.version
}

/// Compiles the expressions in the background, so that no call has to wait for it.
pub fn warm_up() {
    let thread = thread::Builder::new().name("user-agents".into());
    // If no thread can be started, the first call compiles them.
    let _ = thread.spawn(|| tracing::info!(version = data_version(), "user agents are recognized"));
}

/// Reads the device from a `User-Agent`. Only the first [`USER_AGENT_BYTES_MAX`] bytes of it are read.
#[must_use]
pub fn parse(user_agent: &str) -> Device {
    // The expressions take time in proportion to the length, and the caller chooses the length.
    let agent = &user_agent[..user_agent.floor_char_boundary(USER_AGENT_BYTES_MAX)];
    let (browser, system, device) = DATA.extractor.extract(agent);
    let is_crawler = match &device {
        Some(device) => device.device == "Spider",
        None => false,
    };
    let (os, os_version) = match system_of(agent) {
        Some(system) => system,
        None => system.as_ref().map(read_system).unwrap_or_default(),
    };
    let named = match powershell(agent) {
        Some(shell) => shell,
        None => browser.as_ref().map(read_browser).unwrap_or_default(),
    };
    let kind = if is_crawler || named.0.starts_with("Headless") {
        DeviceKind::Program
    } else {
        kind_of(agent)
    };
    let (browser, browser_version) = choose_browser(named, agent, kind, &os);

    Device {
        browser,
        browser_version,
        os,
        os_version,
        model: model_of(device, agent, kind).unwrap_or_default(),
        kind,
        ..Device::default()
    }
}

/// The name and version of the browser or program, where the expressions say nothing of use.
fn choose_browser(
    named: (String, String),
    agent: &str,
    kind: DeviceKind,
    os: &str,
) -> (String, String) {
    let (mut browser, mut version) = named;
    // The expressions know few programs; their own first product is as good a name.
    if kind == DeviceKind::Program && browser.is_empty() {
        let (name, number) = leading_program(agent).unwrap_or_default();
        browser = tidy(name);
        version = short_version(number);
    }
    // The parser reports `Dalvik` as the browser Android: an app, of which only the system is known.
    if browser == os {
        browser = String::new();
        version = String::new();
    }
    (browser, version)
}

fn model_of(device: Option<device::ValueRef<'_>>, agent: &str, kind: DeviceKind) -> Option<String> {
    match device {
        // The model of a crawler is the phone that it pretends to be.
        _ if kind == DeviceKind::Program => None,
        _ if is_ipad_as_mac(agent) => Some("iPad".to_owned()),
        // The expressions take every device of Amazon's for a tablet.
        Some(device) if kind == DeviceKind::Tv && device.device == "Kindle" => {
            Some("Fire TV".to_owned())
        }
        Some(device) => read_model(device),
        None => None,
    }
}

/// PowerShell and its version. It begins like a browser, and the expressions know only its old name.
fn powershell(agent: &str) -> Option<(String, String)> {
    let (_, version) = agent.split_once("PowerShell/")?;
    Some(("PowerShell".to_owned(), leading_version(version)))
}

/// The version that a text begins with.
fn leading_version(text: &str) -> String {
    let version = text.split(ends_version).next();
    short_version(version.unwrap_or_default())
}

fn ends_version(letter: char) -> bool {
    !letter.is_ascii_digit() && letter != '.'
}

/// Reads the family and version of a browser. Words that the device repeats are left out: `Chrome Mobile iOS` is
/// Chrome.
fn read_browser(browser: &user_agent::ValueRef<'_>) -> (String, String) {
    let family = match browser.family.as_ref() {
        "Mobile Safari UI/WKWebView" => "WKWebView",
        "Chrome Mobile WebView" => "Android WebView",
        "Python Requests" => "python-requests",
        family => {
            let family = family.strip_prefix("Mobile ").unwrap_or(family);
            let family = family.strip_suffix(" iOS").unwrap_or(family);
            family.strip_suffix(" Mobile").unwrap_or(family)
        }
    };
    let version = join_version([
        browser.major,
        browser.minor,
        browser.patch,
        browser.patch_minor,
    ]);
    (tidy(family), version)
}

/// The system and its version, where the agent says more than the expressions know.
fn system_of(agent: &str) -> Option<(String, String)> {
    // The version that it names is that of a Mac.
    if is_ipad_as_mac(agent) {
        return Some(("iOS".to_owned(), String::new()));
    }
    // The expressions take every application with Apple's network library for one on iOS.
    if is_mac_application(agent) {
        return Some(("macOS".to_owned(), String::new()));
    }
    let (_, version) = agent.split_once("OpenHarmony ")?;
    Some(("HarmonyOS".to_owned(), leading_version(version)))
}

fn read_system(system: &os::ValueRef<'_>) -> (String, String) {
    let name = match system.os.as_ref() {
        "Mac OS X" => "macOS".into(),
        "ATV OS X" => "tvOS".into(),
        "Chromecast Android" => "Android".into(),
        "Web0S" => "webOS".into(),
        name => tidy(name),
    };
    let version = join_version([
        system.major.as_deref(),
        system.minor.as_deref(),
        system.patch.as_deref(),
        system.patch_minor.as_deref(),
    ]);
    (name, version)
}

/// Reads the model. None: the name says no more than the kind of device, as the `K` that Chrome sends for all of Android.
fn read_model(device: device::ValueRef<'_>) -> Option<String> {
    let model = tidy(&device.model?);
    match model.as_str() {
        "K" | "Browser" | "Smartphone" | "Tablet" | "Feature Phone" | "Mac" | "iOS-Device" => None,
        _ => Some(model),
    }
}

fn join_version(numbers: [Option<&str>; 4]) -> String {
    // A version ends at its first missing part.
    let known: Vec<&str> = numbers.into_iter().map_while(|number| number).collect();
    short_version(&known.join("."))
}

#[cfg(test)]
mod tests;
