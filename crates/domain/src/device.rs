//! Devices as people know them: "Firefox on Windows", "Acme on Android (Pixel 8)".
//!
//! A device is described by three sources, each better than the one before: the user agent (which the authority parses),
//! the browser's client hints ([`Device::with_hints`]), and the application itself ([`Device::with_app`]). Apply them in
//! this order.

mod app;
mod hints;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::text::tidy;

pub use self::{
    app::AppWords,
    hints::{ClientHints, HINT_BYTES_MAX},
};

/// The device of a session. An unknown field is empty, and no text is longer than
/// [`TIDY_BYTES_MAX`](super::text::TIDY_BYTES_MAX).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Device {
    /// The browser's family, like `Firefox`, or a program's name, like `curl`.
    pub browser: String,
    /// The browser's version, as far as known: `128`, `17.2`.
    pub browser_version: String,
    /// The operating system, like `Windows`, `macOS`, `iOS`.
    pub os: String,
    /// The system's version, as far as known.
    pub os_version: String,
    /// The model, like `Pixel 8`.
    pub model: String,
    /// The kind of device.
    pub kind: DeviceKind,
    /// The native application's name.
    pub app_name: String,
    /// The native application's version.
    pub app_version: String,
}

/// The kind of a device.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize,
)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// No source names a kind.
    #[default]
    Unknown,
    /// A phone.
    Phone,
    /// A tablet.
    Tablet,
    /// A desktop or laptop computer.
    Desktop,
    /// A script, a library or a crawler: no person's device.
    Program,
    /// A television set, or a box beside one.
    Tv,
}

impl Device {
    /// The name for people, without the model. Empty when that would be all, or when no model is known.
    #[must_use]
    pub fn name_without_model(&self) -> String {
        if self.model.is_empty() {
            return String::new();
        }
        let unmodelled = Self {
            model: String::new(),
            ..self.clone()
        };
        unmodelled.to_string()
    }

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
        let model = tidy(model);
        if !model.is_empty() {
            self.model = model;
        }
    }
}

fn learn((name, version): (&mut String, &mut String), better: &str, better_version: &str) {
    let better = tidy(better);
    let better_version = short_version(better_version);
    if better.is_empty() {
        return;
    }
    // A version belongs to its name: that of another name must not stay.
    if !better_version.is_empty() || !better.eq_ignore_ascii_case(name) {
        *version = better_version;
    }
    *name = better;
}

/// Removes the zeros at the end of a version: `124.0.0.0` becomes `124`.
#[must_use]
pub fn short_version(version: &str) -> String {
    let mut version = tidy(version);
    while let Some(shorter) = version.strip_suffix(".0") {
        version.truncate(shorter.len());
    }
    version
}

/// The name for people, without versions: an update must not make another device of it.
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A native application has no browser of its own. Its user agent names a web view.
        let client = match self.app_name.as_str() {
            "" => &self.browser,
            _ => &self.app_name,
        };
        // A user's history keeps this text as a footprint. Another form of it would make every known device a new one.
        let named = match (client.as_str(), self.os.as_str()) {
            (client, "") => client.to_owned(),
            ("", os) => os.to_owned(),
            (client, os) => format!("{client} on {os}"),
        };
        match (named.as_str(), self.model.as_str()) {
            (named, "") => f.write_str(named),
            ("", model) => f.write_str(model),
            (named, model) => write!(f, "{named} ({model})"),
        }
    }
}

#[cfg(test)]
mod tests;
