//! The table of rpcs and their callers. An rpc that is not in it is denied.

use super::load::Class;
use crate::{
    app::{People, TokenRequirement},
    config::Role,
};

/// The callers of an rpc.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// A service needs one of these roles.
    pub(crate) roles: &'static [Role],
    /// The requirement for users, whose calls reach only their own sessions and events. None: users may not call.
    pub(crate) user: Option<TokenRequirement>,
    /// The people who may call in a role of their own tenant. None: no role of a person is enough.
    pub(crate) people: Option<People>,
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

    const fn by_people(self, people: People) -> Self {
        Self {
            people: Some(people),
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
        people: None,
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

/// A call of operators that only reads. It concerns all tenants, so people may make it only in the one tenant that the
/// configuration names.
const fn inspecting() -> Rule {
    calling(&[Operator])
        .over_all_tenants()
        .by_people(People::Operating)
}

/// A call of staff that reads the data of a tenant.
const fn reading() -> Rule {
    calling(&[Support, Admin]).by_people(People::Reading)
}

/// A call of administrators that ends something in a tenant.
const fn ending() -> Rule {
    revoking(&[Admin]).by_people(People::Administering)
}

/// Any other call of administrators that changes something in a tenant.
const fn changing() -> Rule {
    calling(&[Admin]).by_people(People::Administering)
}

/// A call that returns the receipt of a change, which tells nothing about any tenant.
const fn receipts() -> Rule {
    calling(&[Login, Gateway, Support, Admin, Operator])
        .or_user(Genuine)
        .by_people(People::Reading)
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
        reading().or_user(LiveSession),
    ),
    (
        // The handler holds a user to their own sessions and to the filters that are for users.
        "/portcullis.v1.SessionService/ListSessions",
        reading().or_user(LiveSession),
    ),
    (
        // A user may always end the session of the call. The use case holds every other session to `RecentSignIn`.
        "/portcullis.v1.SessionService/RevokeSession",
        ending().or_user(SignOut),
    ),
    (
        // The token is the permission: whoever holds it could use the session, so they may also end it.
        "/portcullis.v1.SessionService/RevokeToken",
        revoking(&[Login]),
    ),
    (
        "/portcullis.v1.SessionService/BatchRevokeSessions",
        ending(),
    ),
    (
        "/portcullis.v1.SessionService/RevokeMatchingSessions",
        ending(),
    ),
    (
        // A login service reports changes of credentials by this call. `ReportedChange` keeps it to those. A stolen token
        // alone must not sign its owner out, so the policy may ask users for a recent sign-in.
        "/portcullis.v1.SessionService/RevokeOtherSessions",
        revoking(&[Admin, Login])
            .or_user(RecentSignIn)
            .by_people(People::Administering),
    ),
    (
        // A person who was signed out has only the old token, and asks with it why (decision 019).
        "/portcullis.v1.SessionService/IntrospectToken",
        calling(&[Support, Admin, Gateway])
            .or_user(Genuine)
            .by_people(People::Reading),
    ),
    ("/portcullis.v1.UserService/GetUser", reading()),
    ("/portcullis.v1.UserService/ListUsers", reading()),
    ("/portcullis.v1.UserService/ForceSignOut", ending()),
    ("/portcullis.v1.UserService/DisableUser", ending()),
    // Enabling ends nothing, so it may be shed with other calls.
    ("/portcullis.v1.UserService/EnableUser", changing()),
    ("/portcullis.v1.UserService/SetUserRoles", changing()),
    // More than the lists show, so support people may not.
    ("/portcullis.v1.UserService/ExportUser", changing()),
    (
        // Whoever runs the installation answers requests of people for a tenant that has nobody left to do it.
        "/portcullis.v1.UserService/EraseUser",
        revoking(&[Admin, Operator]).by_people(People::Administering),
    ),
    (
        // The ids of tenants are the names of customers, so nobody of one tenant reads them.
        "/portcullis.v1.TenantService/ListTenants",
        calling(&[Support, Admin, Operator]).over_all_tenants(),
    ),
    ("/portcullis.v1.TenantService/GetPolicy", reading()),
    ("/portcullis.v1.TenantService/UpdatePolicy", changing()),
    ("/portcullis.v1.TenantService/SignOutTenant", ending()),
    (
        // Nobody of the tenant is left afterwards who could answer for it.
        "/portcullis.v1.TenantService/DeleteTenant",
        revoking(&[Operator]).over_all_tenants(),
    ),
    ("/portcullis.v1.ApiKeyService/CreateApiKey", changing()),
    ("/portcullis.v1.ApiKeyService/GetApiKey", reading()),
    ("/portcullis.v1.ApiKeyService/ListApiKeys", reading()),
    ("/portcullis.v1.ApiKeyService/RevokeApiKey", ending()),
    (
        // The handler refuses operators the events of a tenant, and everybody else those of the installation.
        "/portcullis.v1.AuditService/ListAuditEvents",
        calling(&[Support, Admin, Operator])
            .or_user(LiveSession)
            .by_people(People::Reading),
    ),
    (
        // As for the list, but for users: a stream would have to end with the session of its user.
        "/portcullis.v1.AuditService/WatchAuditEvents",
        calling(&[Support, Admin, Operator]).by_people(People::Reading),
    ),
    (
        // One chain covers the events of all tenants.
        "/portcullis.v1.AuditService/VerifyAuditTrail",
        inspecting(),
    ),
    (
        // An export has the events of several tenants.
        "/portcullis.v1.AuditService/ListDeadLetters",
        calling(&[Operator]).over_all_tenants(),
    ),
    (
        "/portcullis.v1.AuditService/RetryDeadLetters",
        calling(&[Operator]).over_all_tenants(),
    ),
    (
        "/portcullis.v1.AuditService/DropDeadLetters",
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
        "/portcullis.v1.KeyService/ListSecrets",
        calling(&[Operator]).over_all_tenants(),
    ),
    (
        "/portcullis.v1.KeyService/RotateSecret",
        calling(&[Operator]).over_all_tenants(),
    ),
    (
        // Its tokens end, so it must not be shed with other calls.
        "/portcullis.v1.KeyService/RetireSecret",
        revoking(&[Operator]).over_all_tenants(),
    ),
    (
        "/portcullis.v1.KeyService/ResealSecrets",
        calling(&[Operator]).over_all_tenants(),
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
        // Counts only. A person whose session just ended asks with the old token whether it has ended everywhere.
        "/portcullis.v1.RevocationService/WaitForEnforcement",
        receipts(),
    ),
    (
        "/portcullis.v1.RevocationService/WatchEnforcement",
        receipts(),
    ),
    (
        "/portcullis.v1.RevocationService/ListValidators",
        inspecting(),
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
    fn people_may_call_what_their_role_may_in_their_tenant() {
        const INSPECTED: [&str; 2] = [
            "/portcullis.v1.AuditService/VerifyAuditTrail",
            "/portcullis.v1.RevocationService/ListValidators",
        ];
        for (path, rule) in TABLE {
            let people = if INSPECTED.contains(path) {
                // They read, and end nothing. The role `operator` stays with services.
                Some(People::Operating)
            } else if rule.all_tenants || rule.public {
                // A person has a role in one tenant only.
                None
            } else if rule.roles.contains(&Role::Support) {
                Some(People::Reading)
            } else if rule.roles.contains(&Role::Admin) {
                Some(People::Administering)
            } else {
                // Nobody signs people in by their own token, nor reports or watches.
                None
            };
            assert_eq!(rule.people, people, "{path}");
        }
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
