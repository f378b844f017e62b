//! Devices from user agents, by the expressions of the ua-parser project, which are in the binary (`data/README.md`).

use std::{sync::LazyLock, thread};

use ua_parser::{Extractor, Regexes, device, os, user_agent};

use crate::domain::{
    device::{Device, DeviceKind, short_version},
    text::tidy,
};

/// The most bytes of a user agent that are read.
pub const USER_AGENT_BYTES_MAX: usize = 1024;

/// The most bytes of a program's name.
const PROGRAM_BYTES_MAX: usize = 64;

/// The compiled expressions. Compiling takes a tenth of a second and some 25 MiB.
static EXTRACTOR: LazyLock<Extractor<'static>> = LazyLock::new(|| {
    let regexes: Regexes<'static> =
        serde_json::from_str(include_str!("../../data/user_agents.json"))
            .expect("the file in the binary is JSON");
    Extractor::try_from(regexes).expect("the expressions in the binary compile")
});

/// Compiles the expressions in the background, so that no call has to wait for it.
pub fn warm_up() {
    let thread = thread::Builder::new().name("user-agents".into());
    // If no thread can be started, the first call compiles them.
    let _ = thread.spawn(compile);
}

fn compile() {
    LazyLock::force(&EXTRACTOR);
}

/// Reads the device from a `User-Agent`. Only the first [`USER_AGENT_BYTES_MAX`] bytes of it are read.
#[must_use]
pub fn parse(user_agent: &str) -> Device {
    // The expressions take time in proportion to the length, and the caller chooses the length.
    let agent = &user_agent[..user_agent.floor_char_boundary(USER_AGENT_BYTES_MAX)];
    let (browser, system, device) = EXTRACTOR.extract(agent);
    let is_crawler = match &device {
        Some(device) => device.device == "Spider",
        None => false,
    };
    let (os, os_version) = system.as_ref().map(read_system).unwrap_or_default();
    let (mut browser, mut browser_version) = browser.as_ref().map(read_browser).unwrap_or_default();

    let kind = if is_crawler || browser.starts_with("Headless") {
        DeviceKind::Program
    } else {
        kind_of(agent)
    };
    // The expressions know few programs; their own first product is as good a name.
    if kind == DeviceKind::Program && browser.is_empty() {
        let (name, version) = leading_program(agent).unwrap_or_default();
        browser = tidy(name);
        browser_version = short_version(version);
    }
    // The parser reports `Dalvik` as the browser Android: an app, of which only the system is known.
    if browser == os {
        browser = String::new();
        browser_version = String::new();
    }
    // The model of a crawler is the phone that it pretends to be.
    let model = match device {
        Some(device) if kind != DeviceKind::Program => read_model(device),
        _ => None,
    };

    Device {
        browser,
        browser_version,
        os,
        os_version,
        model: model.unwrap_or_default(),
        kind,
        ..Device::default()
    }
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

fn read_system(system: &os::ValueRef<'_>) -> (String, String) {
    let name = match system.os.as_ref() {
        "Mac OS X" => "macOS".into(),
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
        "K" | "Smartphone" | "Tablet" | "Feature Phone" | "Mac" | "iOS-Device" => None,
        _ => Some(model),
    }
}

fn join_version(numbers: [Option<&str>; 4]) -> String {
    // A version ends at its first missing part.
    let known: Vec<&str> = numbers.into_iter().map_while(|number| number).collect();
    short_version(&known.join("."))
}

/// Words that only phones have in their user agents.
const PHONE_WORDS: [&str; 5] = ["iPhone", "iPod", "Windows Phone", "iOS", "Darwin/"];
/// Words that only desktops have, once phones, tablets and programs are excluded.
const DESKTOP_WORDS: [&str; 3] = ["Windows NT", "Macintosh", "X11"];

/// Tells the kind of device by the words that browsers use for it.
fn kind_of(agent: &str) -> DeviceKind {
    // Before the phones: apps on an iPad also say `iOS`.
    if agent.contains("iPad") {
        return DeviceKind::Tablet;
    }
    if contains_any(agent, &PHONE_WORDS) {
        return DeviceKind::Phone;
    }
    if agent.contains("Android") {
        // Browsers on Android say `Mobile` on phones only (Chrome, "User-Agent Strings").
        let is_tablet = agent.starts_with("Mozilla/") && !agent.contains("Mobile");
        return match is_tablet {
            true => DeviceKind::Tablet,
            false => DeviceKind::Phone,
        };
    }
    // Before the desktops: a program may name the system that it runs on.
    if leading_program(agent).is_some() {
        return DeviceKind::Program;
    }
    if contains_any(agent, &DESKTOP_WORDS) {
        return DeviceKind::Desktop;
    }
    DeviceKind::Unknown
}

fn contains_any(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| text.contains(word))
}

/// Reads the name and version that a program puts first (RFC 9110, 10.1.5), where browsers put `Mozilla/5.0`.
fn leading_program(agent: &str) -> Option<(&str, &str)> {
    let first = agent.split(' ').next()?;
    let (name, version) = first.split_once('/')?;
    let fits = (1..=PROGRAM_BYTES_MAX).contains(&name.len()) && is_token(name) && is_token(version);
    let is_browser = ["Mozilla", "Opera", "Dalvik"].contains(&name);
    let is_version = version.starts_with(|first: char| first.is_ascii_digit());
    (fits && !is_browser && is_version).then_some((name, version))
}

fn is_token(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte))
}

#[cfg(test)]
mod tests;
