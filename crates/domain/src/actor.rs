//! Actors: whoever the audit trail names for a change.

use portcullis_contract::id::UserId;

/// The author of a change, as the audit trail names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// `user:<id>`, `service:<name>`, `idp:<issuer>` or `authority`.
    pub name: String,
    /// The service that called on a user's behalf. Empty when the actor called.
    pub via: String,
    /// The actor's address. Empty when unknown.
    pub ip: String,
}

impl Actor {
    /// The authority itself.
    #[must_use]
    pub fn authority() -> Self {
        Self {
            name: "authority".into(),
            via: String::new(),
            ip: String::new(),
        }
    }

    /// A configured caller.
    #[must_use]
    pub fn service(name: &str) -> Self {
        Self {
            name: format!("service:{name}"),
            ..Self::authority()
        }
    }

    /// A user with their own token.
    #[must_use]
    pub fn user(id: &UserId) -> Self {
        Self {
            name: format!("user:{id}"),
            ..Self::authority()
        }
    }

    /// A user on whose behalf a service calls.
    #[must_use]
    pub fn on_behalf(service: &str, user: &UserId, ip: String) -> Self {
        Self {
            name: format!("user:{user}"),
            via: format!("service:{service}"),
            ip,
        }
    }

    /// An identity provider, whose logout token ended sessions.
    #[must_use]
    pub fn identity_provider(issuer: &str) -> Self {
        Self {
            name: format!("idp:{issuer}"),
            ..Self::authority()
        }
    }

    /// Whether this is the authority itself.
    #[must_use]
    pub fn is_authority(&self) -> bool {
        self.name == Self::authority().name
    }

    /// Whether this is that user.
    #[must_use]
    pub fn is_user(&self, id: &UserId) -> bool {
        self.name.strip_prefix("user:") == Some(id.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_says_of_which_kind_an_actor_is() {
        let ada = UserId::parse("ada").expect("an id");
        let bob = UserId::parse("bob").expect("an id");
        let cases = [
            (Actor::authority(), "authority", ""),
            (Actor::service("login"), "service:login", ""),
            (Actor::user(&ada), "user:ada", ""),
            (
                Actor::on_behalf("app", &ada, "10.0.0.1".into()),
                "user:ada",
                "service:app",
            ),
            (
                Actor::identity_provider("https://idp"),
                "idp:https://idp",
                "",
            ),
        ];
        for (actor, name, via) in cases {
            assert_eq!((actor.name.as_str(), actor.via.as_str()), (name, via));
            assert_eq!(actor.is_authority(), name == "authority", "{name}");
            assert_eq!(actor.is_user(&ada), name == "user:ada", "{name}");
            assert!(!actor.is_user(&bob), "{name}");
        }
        // A service may have the name of a user.
        assert!(!Actor::service("ada").is_user(&ada));
    }
}
