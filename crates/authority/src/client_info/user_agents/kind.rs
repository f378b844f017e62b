//! The kind of a device, by the words that browsers, applications and programs use for it.

use crate::domain::device::DeviceKind;

/// The most bytes of a program's name.
const PROGRAM_BYTES_MAX: usize = 64;

/// Words that only television sets and the boxes beside them have.
const TV_WORDS: [&str; 20] = [
    "Android TV",
    "AndroidTV",
    "Google TV",
    "GoogleTV",
    "BRAVIA",
    "Chromecast",
    "CrKey/",
    "SMART-TV",
    "SmartTV",
    "Smart TV",
    "HbbTV/",
    "AppleTV",
    "Apple TV",
    "tvOS",
    "Web0S",
    "NetCast",
    "Roku",
    "MiTV",
    "MIBOX",
    "Nexus Player",
];
/// The beginning of the models of Amazon's Fire TV, as Android names models.
const FIRE_TV_MODEL: &str = "; AFT";
/// Words that only phones have in their user agents.
const PHONE_WORDS: [&str; 6] = [
    "iPhone",
    "iPod",
    "Windows Phone",
    "KAIOS/",
    "KaiOS/",
    "(Mobile;",
];
/// The browsers of iOS, and the build that they all name. They say `Macintosh` when they ask for pages of a desktop.
const IOS_MARKS: [&str; 5] = ["FxiOS/", "CriOS/", "EdgiOS/", "OPiOS/", "Mobile/"];
/// The processors of Macs before those that iPhones have too.
const MAC_WORDS: [&str; 4] = ["x86_64", "i386", "Macintosh", "MacBook"];
/// Words that only desktops have, once phones, tablets and programs are excluded.
const DESKTOP_WORDS: [&str; 4] = ["Windows NT", "Macintosh", "X11", "Wayland"];

/// Tells the kind of device.
pub(super) fn kind_of(agent: &str) -> DeviceKind {
    // It names itself a browser and its system.
    if agent.contains("PowerShell/") {
        return DeviceKind::Program;
    }
    if is_tv(agent) {
        return DeviceKind::Tv;
    }
    // Before the phones: apps on an iPad also say `iOS`.
    if agent.contains("iPad") || is_ipad_as_mac(agent) || agent.contains("(Tablet;") {
        return DeviceKind::Tablet;
    }
    if contains_any(agent, &PHONE_WORDS) || contains_word(agent, "iOS") {
        return DeviceKind::Phone;
    }
    mobile_system(agent)
        .or_else(|| apple_network(agent))
        .unwrap_or_else(|| immobile(agent))
}

fn is_tv(agent: &str) -> bool {
    contains_any(agent, &TV_WORDS) || agent.contains(FIRE_TV_MODEL)
}

/// Whether the agent is that of an iPad that asks for pages of a desktop. A Mac has no mobile browser.
pub(super) fn is_ipad_as_mac(agent: &str) -> bool {
    agent.contains("Macintosh") && contains_any(agent, &IOS_MARKS)
}

/// The kind of a device with one of the systems that phones and tablets share.
fn mobile_system(agent: &str) -> Option<DeviceKind> {
    // HarmonyOS NEXT names the kind. Its predecessors are Android, and say so.
    if agent.contains("OpenHarmony") {
        return Some(if contains_any(agent, &["(PC;", "(2in1;"]) {
            DeviceKind::Desktop
        } else if contains_any(agent, &["(Phone;", "Mobile"]) {
            DeviceKind::Phone
        } else {
            DeviceKind::Unknown
        });
    }
    if !agent.contains("Android") {
        return None;
    }
    // Browsers on Android say `Mobile` on phones only (Chrome, "User-Agent Strings").
    let is_tablet = agent.starts_with("Mozilla/") && !agent.contains("Mobile");
    Some(match is_tablet {
        true => DeviceKind::Tablet,
        false => DeviceKind::Phone,
    })
}

/// The kind of an Apple device whose application uses the system's own network library.
fn apple_network(agent: &str) -> Option<DeviceKind> {
    if is_mac_application(agent) {
        Some(DeviceKind::Desktop)
    } else if uses_apple_network(agent) {
        Some(DeviceKind::Phone)
    } else {
        None
    }
}

/// Whether the agent is that of an application on a Mac. The library names the processor where phones have another one.
pub(super) fn is_mac_application(agent: &str) -> bool {
    uses_apple_network(agent) && contains_any(agent, &MAC_WORDS)
}

fn uses_apple_network(agent: &str) -> bool {
    // `Darwin/` alone is the kernel's name, which command lines give.
    agent.contains("CFNetwork/") && agent.contains("Darwin/")
}

fn immobile(agent: &str) -> DeviceKind {
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

/// Whether a text has this word. `BIOS` and `FxiOS` do not have the word `iOS`; a version may follow it.
fn contains_word(text: &str, word: &str) -> bool {
    let mut rest = text;
    let mut before: Option<char> = None;
    while let Some((head, tail)) = rest.split_once(word) {
        let previous = head.chars().next_back().or(before);
        let next = tail.chars().next();
        let begins = !previous.is_some_and(char::is_alphanumeric);
        let ends = !next.is_some_and(char::is_alphabetic);
        if begins && ends {
            return true;
        }
        before = word.chars().next_back();
        rest = tail;
    }
    false
}

/// Reads the name and version that a program puts first (RFC 9110, 10.1.5), where browsers put `Mozilla/5.0`.
pub(super) fn leading_program(agent: &str) -> Option<(&str, &str)> {
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
mod tests {
    use super::*;

    #[test]
    fn a_word_stands_between_others() {
        for (text, expected) in [
            ("iOS", true),
            ("a (iOS 17)", true),
            ("iOS/17", true),
            ("iOS17.2", true),
            ("FxiOS iOS", true),
            ("iOSiOS iOS", true),
            ("FxiOS/125", false),
            ("BiOS", false),
            ("iOSApp", false),
            ("iOSiOS", false),
            ("\u{e9}iOS", false),
            ("", false),
        ] {
            assert_eq!(contains_word(text, "iOS"), expected, "{text}");
        }
    }
}
