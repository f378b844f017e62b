//! What a user agent says, by the expressions of the ua-parser project, which are in the binary (`data/README.md`).

use std::{sync::LazyLock, thread};

use ua_parser::{Extractor, Regexes, device, os, user_agent};

use crate::domain::{
    device::{Device, DeviceKind, short_version},
    text::tidy,
};

/// The most of a user agent that is read, in bytes.
pub const USER_AGENT_BYTES_MAX: usize = 1024;

/// The longest name of a program, in bytes.
const PROGRAM_BYTES_MAX: usize = 64;

/// The expressions, compiled: a tenth of a second and some 25 MiB.
static EXTRACTOR: LazyLock<Extractor<'static>> = LazyLock::new(|| {
    let regexes: Regexes<'static> =
        serde_json::from_str(include_str!("../../data/user_agents.json"))
            .expect("the file in the binary is JSON");
    Extractor::try_from(regexes).expect("the expressions in the binary compile")
});

/// Compiles the expressions in the background, so that no call has to wait for it.
pub fn warm_up() {
    let compile = || {
        LazyLock::force(&EXTRACTOR);
    };
    // Without a thread, the first call does it.
    drop(
        thread::Builder::new()
            .name("user-agents".into())
            .spawn(compile),
    );
}

/// The device that a `User-Agent` tells of. Of a long one only the beginning is read.
#[must_use]
pub fn parse(user_agent: &str) -> Device {
    let agent = &user_agent[..user_agent.floor_char_boundary(USER_AGENT_BYTES_MAX)];
    let (browser, system, device) = EXTRACTOR.extract(agent);
    let is_crawler = device
        .as_ref()
        .is_some_and(|device| device.device == "Spider");
    let (os, os_version) = system.as_ref().map(read_system).unwrap_or_default();
    let (mut browser, mut browser_version) = browser.as_ref().map(read_browser).unwrap_or_default();
    let kind = if is_crawler || browser.starts_with("Headless") {
        DeviceKind::Program
    } else {
        kind(agent)
    };
    if kind == DeviceKind::Program && browser.is_empty() {
        let (name, version) = program(agent).unwrap_or_default();
        (browser, browser_version) = (tidy(name), short_version(version));
    }
    // `Dalvik`, of which only the system is known.
    if browser == os {
        (browser, browser_version) = Default::default();
    }
    let model = device
        .filter(|_| kind != DeviceKind::Program)
        .and_then(read_model)
        .unwrap_or_default();
    Device {
        browser,
        browser_version,
        os,
        os_version,
        model,
        kind,
        ..Device::default()
    }
}

/// The family without what the device says already: `Chrome Mobile iOS` is Chrome.
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
    (
        tidy(family),
        version([
            browser.major,
            browser.minor,
            browser.patch,
            browser.patch_minor,
        ]),
    )
}

fn read_system(system: &os::ValueRef<'_>) -> (String, String) {
    let name = if system.os == "Mac OS X" {
        "macOS".into()
    } else {
        tidy(&system.os)
    };
    let os::ValueRef {
        major,
        minor,
        patch,
        patch_minor,
        ..
    } = system;
    (
        name,
        version([
            major.as_deref(),
            minor.as_deref(),
            patch.as_deref(),
            patch_minor.as_deref(),
        ]),
    )
}

/// The model, when it is more than the kind of device: Chrome says `K` for all of Android.
fn read_model(device: device::ValueRef<'_>) -> Option<String> {
    let model = tidy(&device.model?);
    let says_nothing = [
        "K",
        "Smartphone",
        "Tablet",
        "Feature Phone",
        "Mac",
        "iOS-Device",
    ];
    (!says_nothing.contains(&model.as_str())).then_some(model)
}

fn version(numbers: [Option<&str>; 4]) -> String {
    let numbers: Vec<&str> = numbers.into_iter().map_while(|number| number).collect();
    short_version(&numbers.join("."))
}

/// By the words that browsers use for it: Android's say `Mobile` on phones only (Chrome, "User-Agent Strings").
fn kind(agent: &str) -> DeviceKind {
    let says = |word: &str| agent.contains(word);
    if says("iPad") {
        DeviceKind::Tablet
    } else if says("iPhone")
        || says("iPod")
        || says("Windows Phone")
        || says("iOS")
        || says("Darwin/")
    {
        DeviceKind::Phone
    } else if says("Android") {
        let tablet = agent.starts_with("Mozilla/") && !says("Mobile");
        if tablet {
            DeviceKind::Tablet
        } else {
            DeviceKind::Phone
        }
    } else if program(agent).is_some() {
        DeviceKind::Program
    } else if says("Windows NT") || says("Macintosh") || says("X11") {
        DeviceKind::Desktop
    } else {
        DeviceKind::Unknown
    }
}

/// The name and version that a program puts first (RFC 9110, 10.1.5), where browsers put `Mozilla/5.0`.
fn program(agent: &str) -> Option<(&str, &str)> {
    let first = agent.split(' ').next()?;
    let (name, version) = first.split_once('/')?;
    let is_token = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte))
    };
    let fits = (1..=PROGRAM_BYTES_MAX).contains(&name.len()) && is_token(name) && is_token(version);
    let is_browser = ["Mozilla", "Opera", "Dalvik"].contains(&name);
    (fits && !is_browser && version.starts_with(|first: char| first.is_ascii_digit()))
        .then_some((name, version))
}

#[cfg(test)]
mod tests;
