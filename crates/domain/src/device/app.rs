//! A native application's description of itself and its device.

use super::{Device, DeviceKind, tidy};

/// A native application's description of itself and its device. An empty field was not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppWords {
    /// The application's name.
    pub app_name: String,
    /// The application's version.
    pub app_version: String,
    /// The operating system, like `iPadOS`.
    pub os: String,
    /// The operating system's version.
    pub os_version: String,
    /// The device's model, like `iPhone 14 Pro`.
    pub model: String,
}

impl Device {
    /// Adds the application's description. It overrides the other sources: a native application can ask the system.
    #[must_use]
    pub fn with_app(mut self, app: &AppWords) -> Self {
        // Not learned like the rest: no other source names the application.
        self.app_name = tidy(&app.app_name);
        self.app_version = tidy(&app.app_version);
        self.learn_os(&app.os, &app.os_version);
        self.learn_model(&app.model);
        if let Some(kind) = app.kind(self.kind) {
            self.kind = kind;
        }
        self
    }
}

impl AppWords {
    /// The kind of device. `seen` is the kind that the other sources name.
    fn kind(&self, seen: DeviceKind) -> Option<DeviceKind> {
        let model = self.model.trim_start();
        // Before the system, because an older application on an iPad names its system `iOS`.
        if model.starts_with("iPad") {
            return Some(DeviceKind::Tablet);
        }
        match self.os.trim().to_ascii_lowercase().as_str() {
            "ipados" => Some(DeviceKind::Tablet),
            // Android has one name on phones, tablets and television sets. Only the user agent tells them apart.
            "android" if matches!(seen, DeviceKind::Tablet | DeviceKind::Tv) => Some(seen),
            "android tv" | "google tv" | "tvos" => Some(DeviceKind::Tv),
            "ios" | "android" | "kaios" => Some(DeviceKind::Phone),
            "windows" | "macos" | "mac os x" | "linux" | "chrome os" | "chromeos" => {
                Some(DeviceKind::Desktop)
            }
            _ if model.starts_with("iPhone") => Some(DeviceKind::Phone),
            _ => None,
        }
    }
}
