//! What a native application says about the device it runs on.

use super::{Device, DeviceKind, tidy};

/// What a native application says about itself and its device. Empty: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppWords {
    /// Its name.
    pub app_name: String,
    /// Its version.
    pub app_version: String,
    /// The operating system, like `iPadOS`.
    pub os: String,
    /// The operating system's version.
    pub os_version: String,
    /// The device's model, like `iPhone 14 Pro`.
    pub model: String,
}

impl Device {
    /// What the application says is believed before all else: who runs on a device knows it best.
    #[must_use]
    pub fn with_app(mut self, app: &AppWords) -> Self {
        self.app_name = tidy(&app.app_name);
        self.app_version = tidy(&app.app_version);
        self.learn_os(&app.os, &app.os_version);
        self.learn_model(&app.model);
        self.kind = app.kind(self.kind).unwrap_or(self.kind);
        self
    }
}

impl AppWords {
    /// The kind of device that it speaks of. An Android device may be a tablet if one was `seen` there.
    fn kind(&self, seen: DeviceKind) -> Option<DeviceKind> {
        if self.model.trim_start().starts_with("iPad") {
            return Some(DeviceKind::Tablet);
        }
        match self.os.trim().to_ascii_lowercase().as_str() {
            "ipados" => Some(DeviceKind::Tablet),
            "android" if seen == DeviceKind::Tablet => Some(seen),
            "ios" | "android" => Some(DeviceKind::Phone),
            "windows" | "macos" | "mac os x" | "linux" | "chrome os" | "chromeos" => {
                Some(DeviceKind::Desktop)
            }
            _ if self.model.trim_start().starts_with("iPhone") => Some(DeviceKind::Phone),
            _ => None,
        }
    }
}
