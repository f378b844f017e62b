//! Devices, as people know them: "Firefox on Windows", "Acme on Android (Pixel 8)".
//!
//! Three tell of one, each better than the one before: the user agent (parsed by the authority), the browser's client
//! hints, and the application itself. `user_agents::parse(…).with_hints(…).with_app(…)` hears them in this order.

mod app;
mod hints;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::text::tidy;

pub use self::{
    app::AppWords,
    hints::{ClientHints, HINT_BYTES_MAX},
};

/// What a session runs on. What is not known is empty, and no text is longer than
/// [`TIDY_BYTES_MAX`](super::text::TIDY_BYTES_MAX).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Device {
    /// The browser's family, like `Firefox`; of a program, its name, like `curl`.
    pub browser: String,
    /// Its version, as far as it is told: `128`, `17.2`.
    pub browser_version: String,
    /// The operating system, like `Windows`, `macOS`, `iOS`.
    pub os: String,
    /// Its version, as far as it is told.
    pub os_version: String,
    /// The device's model, like `Pixel 8`.
    pub model: String,
    /// What kind of device it is.
    pub kind: DeviceKind,
    /// The native application's name.
    pub app_name: String,
    /// The native application's version.
    pub app_version: String,
}

/// What kind of device it is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize,
)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// Nothing says so.
    #[default]
    Unknown,
    /// A phone.
    Phone,
    /// A tablet.
    Tablet,
    /// A desktop or laptop computer.
    Desktop,
    /// No person's device: a script, a library, a crawler.
    Program,
}

impl Device {
    /// Takes the browser's name and version from a better source.
    fn learn_browser(&mut self, name: &str, version: &str) {
        learn(
            (&mut self.browser, &mut self.browser_version),
            name,
            version,
        );
    }

    /// Takes the system's name and version from a better source.
    fn learn_os(&mut self, name: &str, version: &str) {
        learn((&mut self.os, &mut self.os_version), name, version);
    }

    fn learn_model(&mut self, model: &str) {
        if !tidy(model).is_empty() {
            self.model = tidy(model);
        }
    }
}

/// A name and its version stay together: a version that was told of another name is forgotten.
fn learn((name, version): (&mut String, &mut String), better: &str, better_version: &str) {
    let (better, better_version) = (tidy(better), short_version(better_version));
    if better.is_empty() {
        return;
    }
    if !better_version.is_empty() || !better.eq_ignore_ascii_case(name) {
        *version = better_version;
    }
    *name = better;
}

/// A version without the zeros at its end: `124.0.0.0` is 124.
pub fn short_version(version: &str) -> String {
    let mut version = tidy(version);
    while let Some(shorter) = version.strip_suffix(".0") {
        version.truncate(shorter.len());
    }
    version
}

/// Without versions, so that an update makes no other device of it.
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client = if self.app_name.is_empty() {
            &self.browser
        } else {
            &self.app_name
        };
        let named: Vec<&str> = [client, &self.os]
            .into_iter()
            .map(String::as_str)
            .filter(|name| !name.is_empty())
            .collect();
        match (named.join(" on ").as_str(), self.model.as_str()) {
            (named, "") => f.write_str(named),
            ("", model) => f.write_str(model),
            (named, model) => write!(f, "{named} ({model})"),
        }
    }
}

#[cfg(test)]
mod tests;
