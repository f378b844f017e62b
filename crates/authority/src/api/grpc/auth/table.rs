//! The table of rpcs and their callers. An rpc that is not in it is denied.

use super::load::Class;
use crate::{app::TokenRequirement, config::Role};

/// The callers of an rpc.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// A service needs one of these roles.
    pub(crate) roles: &'static [Role],
    /// The requirement for users, whose calls reach only their own sessions and events. None: users may not call.
    pub(crate) user: Option<TokenRequirement>,
    /// Whether services that are bound to a tenant are denied.
    pub(crate) all_tenants: bool,
    /// Whether anybody may call, without credentials.
    pub(crate) public: bool,
    /// The class of its bounds.
    pub(crate) class: Class,
}

impl Rule {
    const fn or_user(self, requirement: TokenRequirement) -> Self {
        Self {
            user: Some(requirement),
            ..self
        }
    }

    const fn of_class(self, class: Class) -> Self {
        Self { class, ..self }
    }

    const fn over_all_tenants(self) -> Self {
        Self {
            all_tenants: true,
            ..self
        }
    }
}

/// A call that ends something.
const fn revoking(roles: &'static [Role]) -> Rule {
    Rule {
        roles,
        user: None,
        all_tenants: false,
        public: false,
        class: Class::Revocation,
    }
}

/// Any other call.
const fn calling(roles: &'static [Role]) -> Rule {
    Rule {
        class: Class::Call,
        ..revoking(roles)
    }
}

const PUBLIC: Rule = Rule {
    public: true,
    class: Class::Public,
    ..revoking(&[])
};

const PUBLIC_STREAM: Rule = Rule {
    class: Class::PublicStream,
    ..PUBLIC
};

use Role::{Admin, Gateway, Login, Operator, Support};
use TokenRequirement::{Genuine, LiveSession, RecentSignIn, SignOut};

/// Every rpc that is served.
pub(crate) const TABLE: &[(&str, Rule)] = &[
    (
        // Only a login service has authenticated the person. An administrator must not be able to sign in as a user.
        "/portcullis.v1.SessionService/CreateSession",
        calling(&[Login]),
    ),
    (
        "/portcullis.v1.SessionService/RefreshSession",
        calling(&[Login]),
    ),
    (
        "/portcullis.v1.SessionService/GetSession",
        calling(&[Support, Admin]).or_user(LiveSession),
    ),
    (
        // The handler holds a user to their own sessions and to the filters that are for users.
        "/portcullis.v1.SessionService/ListSessions",
        calling(&[Support, Admin]).or_user(LiveSession),
    ),
    (
        // A user may always end the session of the call. The use case holds every other session to `RecentSignIn`.
        "/portcullis.v1.SessionService/RevokeSession",
        revoking(&[Admin]).or_user(SignOut),
    ),
    (
        // The token is the permission: whoever holds it could use the session, so they may also end it.
        "/portcullis.v1.SessionService/RevokeToken",
        revoking(&[Login]),
    ),
    (
        "/portcullis.v1.SessionService/BatchRevokeSessions",
        revoking(&[Admin]),
    ),
    (
        "/portcullis.v1.SessionService/RevokeMatchingSessions",
        revoking(&[Admin]),
    ),
    (
        // A login service reports changes of credentials by this call. `ReportedChange` keeps it to those. A stolen token
        // alone must not sign its owner out, so the policy may ask users for a recent sign-in.
        "/portcullis.v1.SessionService/RevokeOtherSessions",
        revoking(&[Admin, Login]).or_user(RecentSignIn),
    ),
    (
        // A person who was signed out has only the old token, and asks with it why (decision 019).
        "/portcullis.v1.SessionService/IntrospectToken",
        calling(&[Support, Admin, Gateway]).or_user(Genuine),
    ),
    (
        "/portcullis.v1.UserService/GetUser",
        calling(&[Support, Admin]),
    ),
    (
        "/portcullis.v1.UserService/ListUsers",
        calling(&[Support, Admin]),
    ),
    (
        "/portcullis.v1.UserService/ForceSignOut",
        revoking(&[Admin]),
    ),
    ("/portcullis.v1.UserService/DisableUser", revoking(&[Admin])),
    // Enabling ends nothing, so it may be shed with other calls.
    ("/portcullis.v1.UserService/EnableUser", calling(&[Admin])),
    (
        "/portcullis.v1.TenantService/GetPolicy",
        calling(&[Support, Admin]),
    ),
    (
        "/portcullis.v1.TenantService/UpdatePolicy",
        calling(&[Admin]),
    ),
    (
        "/portcullis.v1.TenantService/SignOutTenant",
        revoking(&[Admin]),
    ),
    (
        "/portcullis.v1.ApiKeyService/CreateApiKey",
        calling(&[Admin]),
    ),
    (
        "/portcullis.v1.ApiKeyService/GetApiKey",
        calling(&[Support, Admin]),
    ),
    (
        "/portcullis.v1.ApiKeyService/ListApiKeys",
        calling(&[Support, Admin]),
    ),
    (
        "/portcullis.v1.ApiKeyService/RevokeApiKey",
        revoking(&[Admin]),
    ),
    (
        // The handler refuses operators the events of a tenant, and everybody else those of the installation.
        "/portcullis.v1.AuditService/ListAuditEvents",
        calling(&[Support, Admin, Operator]).or_user(LiveSession),
    ),
    (
        // One chain covers the events of all tenants.
        "/portcullis.v1.AuditService/VerifyAuditTrail",
        calling(&[Operator]).over_all_tenants(),
    ),
    (
        "/portcullis.v1.KeyService/ListSigningKeys",
        calling(&[Operator]).over_all_tenants(),
    ),
    (
        "/portcullis.v1.KeyService/RotateSigningKey",
        calling(&[Operator]).over_all_tenants(),
    ),
    (
        // Retiring a stolen key ends tokens, so it must not be shed with other calls.
        "/portcullis.v1.KeyService/RetireSigningKey",
        revoking(&[Operator]).over_all_tenants(),
    ),
    (
        // A view contains the revocations of all tenants.
        "/portcullis.v1.RevocationService/Watch",
        calling(&[Gateway])
            .over_all_tenants()
            .of_class(Class::GateStream),
    ),
    (
        "/portcullis.v1.RevocationService/ReportActivity",
        calling(&[Gateway])
            .over_all_tenants()
            .of_class(Class::Report),
    ),
    (
        "/portcullis.v1.RevocationService/ListValidators",
        calling(&[Operator]).over_all_tenants(),
    ),
    (
        "/portcullis.v1.RevocationService/SignOutEveryone",
        revoking(&[Operator]).over_all_tenants(),
    ),
    // Load balancers have no credentials.
    ("/grpc.health.v1.Health/Check", PUBLIC),
    ("/grpc.health.v1.Health/Watch", PUBLIC_STREAM),
    ("/grpc.health.v1.Health/List", PUBLIC),
    (
        // Reflection is served only if `server.reflection` is set. These rows allow calls and do not serve them.
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        PUBLIC_STREAM,
    ),
    (
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        PUBLIC_STREAM,
    ),
];

/// The rule of an rpc. None: nobody may call it.
pub(crate) fn rule(path: &str) -> Option<&'static Rule> {
    TABLE
        .iter()
        .find(|(served, _)| *served == path)
        .map(|(_, rule)| rule)
}

/// The table's own text of a path, if it is served. Metrics may be labelled with it: there are only so many.
pub(crate) fn served(path: &str) -> Option<&'static str> {
    TABLE
        .iter()
        .map(|(served, _)| *served)
        .find(|served| *served == path)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::*;

    /// The paths of all our rpcs, by the descriptors.
    fn described() -> BTreeSet<String> {
        let files = FileDescriptorSet::decode(portcullis_contract::DESCRIPTOR_SET)
            .expect("our own descriptors")
            .file;
        let mut paths = BTreeSet::new();
        for file in files {
            if file.package() != "portcullis.v1" {
                continue;
            }
            for service in &file.service {
                for method in &service.method {
                    let (service, method) = (service.name(), method.name());
                    paths.insert(format!("/portcullis.v1.{service}/{method}"));
                }
            }
        }
        paths
    }

    #[test]
    fn every_rpc_has_a_row_and_every_row_an_rpc() {
        let rows: BTreeSet<_> = TABLE.iter().map(|(path, _)| (*path).to_owned()).collect();
        let ours: BTreeSet<_> = rows
            .iter()
            .filter(|path| path.starts_with("/portcullis."))
            .cloned()
            .collect();
        assert_eq!(ours, described());
        assert_eq!(rows.len(), TABLE.len(), "a path stands twice");
        assert!(described().len() > 15);
    }

    #[test]
    fn only_health_and_reflection_are_public() {
        for (path, rule) in TABLE {
            assert_eq!(rule.public, path.starts_with("/grpc."), "{path}");
            assert!(
                rule.public || !rule.roles.is_empty(),
                "{path} is for nobody"
            );
        }
        assert!(rule("/portcullis.v1.SessionService/Nothing").is_none());
        assert!(rule("").is_none());
    }
}
