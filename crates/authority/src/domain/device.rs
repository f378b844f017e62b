//! Devices, as people know them: "Firefox on Windows", "Acme on Android (Pixel 8)".

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a session runs on. What is not known is empty.
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
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

/// Without versions, so that an update makes no other device of it.
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client = if self.app_name.is_empty() { &self.browser } else { &self.app_name };
        f.write_str(client)?;
        if !self.os.is_empty() {
            write!(f, "{}{}", if client.is_empty() { "" } else { " on " }, self.os)?;
        }
        if self.model.is_empty() { Ok(()) } else { write!(f, " ({})", self.model) }
    }
}
