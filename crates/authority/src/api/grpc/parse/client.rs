//! Reads the fields about people and their clients.

use std::net::IpAddr;

use portcullis_contract::v1;

use super::Fields;
use crate::{
    app::ActingUser,
    domain::{
        ClientInfo, Profile,
        device::{AppWords, ClientHints},
    },
};

/// An address in its canonical form, or an empty text. For calls that a wrong address must not refuse.
pub(crate) fn address_or_empty(ip: &str) -> String {
    match ip.parse::<IpAddr>() {
        Ok(ip) => ip.to_string(),
        Err(_) => String::new(),
    }
}

impl Fields {
    /// An address in its canonical form, or an empty text.
    pub(crate) fn ip(&mut self, field: &str, ip: &str) -> String {
        if ip.is_empty() {
            return String::new();
        }
        match ip.parse::<IpAddr>() {
            // The canonical form, because addresses are compared as texts.
            Ok(ip) => ip.to_string(),
            Err(_) => {
                self.wrong(field, "is not an IPv4 or IPv6 address");
                String::new()
            }
        }
    }

    /// The person for whom a service calls.
    pub(crate) fn acting_user(&mut self, acting: Option<&v1::ActingUser>) -> Option<ActingUser> {
        let acting = acting?;
        let ip = self.ip("acting_user.ip", &acting.ip);
        let id = self.user("acting_user.id", &acting.id)?;
        Some(ActingUser { id, ip })
    }

    pub(crate) fn profile(&mut self, user: &v1::SessionUser) -> Profile {
        Profile {
            user_name: self.text::<256>("user.user_name", &user.user_name),
            given_name: self.text::<256>("user.given_name", &user.given_name),
            family_name: self.text::<256>("user.family_name", &user.family_name),
            email: self.text::<320>("user.email", &user.email),
        }
    }

    pub(crate) fn client(&mut self, client: Option<&v1::Client>) -> ClientInfo {
        let Some(client) = client else {
            return ClientInfo::default();
        };
        ClientInfo {
            ip: self.ip("client.ip", &client.ip),
            user_agent: self.text::<1024>("client.user_agent", &client.user_agent),
            device_id: self.text::<128>("client.device_id", &client.device_id),
            app_name: self.text::<128>("client.app_name", &client.app_name),
        }
    }

    /// The caller's description of the device, beside the user agent.
    pub(crate) fn device(&mut self, client: Option<&v1::Client>) -> (ClientHints, AppWords) {
        let Some(client) = client else {
            return Default::default();
        };
        // `client` reports a problem of the name.
        let app_words = AppWords {
            app_name: client.app_name.clone(),
            app_version: self.text::<64>("client.app_version", &client.app_version),
            os: self.text::<64>("client.os", &client.os),
            os_version: self.text::<64>("client.os_version", &client.os_version),
            model: self.text::<64>("client.device_model", &client.device_model),
        };
        let hints = client.hints.clone().unwrap_or_default();
        (self.client_hints(&hints), app_words)
    }

    fn client_hints(&mut self, sent: &v1::ClientHints) -> ClientHints {
        ClientHints {
            brands: self.hint("ua", &sent.ua),
            full_version_list: self.hint("full_version_list", &sent.full_version_list),
            platform: self.hint("platform", &sent.platform),
            platform_version: self.hint("platform_version", &sent.platform_version),
            model: self.hint("model", &sent.model),
            mobile: self.hint("mobile", &sent.mobile),
            form_factors: self.hint("form_factors", &sent.form_factors),
        }
    }

    fn hint(&mut self, name: &str, value: &str) -> String {
        self.text::<512>(&format!("client.hints.{name}"), value)
    }
}
