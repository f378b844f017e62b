//! The devices of the demonstration, as their browsers and applications describe themselves.

use portcullis_contract::v1::Client;

/// A kind of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hardware {
    /// The name in forms.
    pub(super) key: &'static str,
    /// The name for people.
    pub(super) name: &'static str,
    user_agent: &'static str,
    /// The name and the version of a native application.
    app: Option<(&'static str, &'static str)>,
}

pub(super) const PHONE: Hardware = Hardware {
    key: "phone",
    name: "Safari on an iPhone",
    user_agent: "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
    app: None,
};
pub(super) const TABLET: Hardware = Hardware {
    key: "tablet",
    name: "Chrome on an Android tablet",
    user_agent: "Mozilla/5.0 (Linux; Android 14; SM-X710) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    app: None,
};
pub(super) const LAPTOP: Hardware = Hardware {
    key: "laptop",
    name: "Firefox on Windows",
    user_agent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:127.0) Gecko/20100101 Firefox/127.0",
    app: None,
};
pub(super) const MAC: Hardware = Hardware {
    key: "mac",
    name: "Safari on a Mac",
    user_agent: "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
    app: None,
};
pub(super) const DESKTOP: Hardware = Hardware {
    key: "desktop",
    name: "Edge on Windows",
    user_agent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0",
    app: None,
};
pub(super) const APP: Hardware = Hardware {
    key: "app",
    name: "The app on an Android phone",
    user_agent: "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36",
    app: Some(("Classroom", "4.2")),
};
pub(super) const SCRIPT: Hardware = Hardware {
    key: "script",
    name: "A script",
    user_agent: "curl/8.8.0",
    app: None,
};

/// The devices that a person may sign in on beside the browser.
pub(super) const CHOICES: [Hardware; 3] = [PHONE, TABLET, LAPTOP];

impl Hardware {
    /// The client of a sign-in of one person on this device.
    pub(super) fn client(&self, person: &str, ip: std::net::IpAddr) -> Client {
        let (app_name, app_version) = self.app.unwrap_or_default();
        Client {
            ip: ip.to_string(),
            user_agent: self.user_agent.into(),
            device_id: format!("demo-{person}-{}", self.key),
            app_name: app_name.into(),
            app_version: app_version.into(),
            ..Default::default()
        }
    }
}
