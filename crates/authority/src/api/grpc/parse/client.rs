//! Reads the fields about people and their clients.

use portcullis_contract::v1;

use super::Fields;
use crate::{
    app::ActingUser,
    domain::{
        ClientInfo, Profile, ProviderSession,
        device::{AppWords, ClientHints},
    },
};

impl Fields {
    /// The person for whom a service calls.
    pub(crate) fn acting_user(&mut self, acting: Option<&v1::ActingUser>) -> Option<ActingUser> {
        let acting = acting?;
        let ip = self.acting_ip("acting_user.ip", &acting.ip);
        let id = self.user("acting_user.id", &acting.id)?;
        Some(ActingUser { id, ip })
    }

    /// The session at an identity provider.
    pub(crate) fn provider_session(
        &mut self,
        named: Option<&v1::ProviderSession>,
    ) -> Option<ProviderSession> {
        let named = named?;
        if named.session_id.is_empty() && named.subject.is_empty() {
            let problem = "required unless identity_provider.subject is set";
            self.wrong("identity_provider.session_id", problem);
        }
        Some(ProviderSession {
            issuer: self.required_text::<512>("identity_provider.issuer", &named.issuer),
            session_id: self.text::<256>("identity_provider.session_id", &named.session_id),
            subject: self.text::<256>("identity_provider.subject", &named.subject),
        })
    }

    /// The names of a user, for display and search.
    pub(crate) fn profile(&mut self, user: &v1::SessionUser) -> Profile {
        Profile {
            user_name: self.decoration::<256>("user.user_name", &user.user_name),
            given_name: self.decoration::<256>("user.given_name", &user.given_name),
            family_name: self.decoration::<256>("user.family_name", &user.family_name),
            email: self.email_decoration::<320>("user.email", &user.email),
        }
    }

    /// The client of a sign-in or a refresh. Its device id is compared, and so the only field that is refused.
    pub(crate) fn client(&mut self, client: Option<&v1::Client>) -> ClientInfo {
        let Some(client) = client else {
            return ClientInfo::default();
        };
        ClientInfo {
            ip: self.ip("client.ip", &client.ip),
            user_agent: self.decoration::<1024>("client.user_agent", &client.user_agent),
            device_id: self.text::<128>("client.device_id", &client.device_id),
            app_name: self.decoration::<128>("client.app_name", &client.app_name),
        }
    }

    /// The caller's description of the device, beside the user agent.
    pub(crate) fn device(&mut self, client: Option<&v1::Client>) -> (ClientHints, AppWords) {
        let Some(client) = client else {
            return Default::default();
        };
        let app_words = AppWords {
            // `client` warns about the name, and the device keeps less of it.
            app_name: client.app_name.clone(),
            app_version: self.decoration::<64>("client.app_version", &client.app_version),
            os: self.decoration::<64>("client.os", &client.os),
            os_version: self.decoration::<64>("client.os_version", &client.os_version),
            model: self.decoration::<64>("client.device_model", &client.device_model),
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
        // A structured field without its end does not parse.
        self.whole_decoration::<512>(&format!("client.hints.{name}"), value)
    }
}
