//! The people of the demonstration: a school and a company.

use portcullis_contract::v1::{SessionUser, UserRole, UserRoles};

use super::places::Town;

/// A person who can be chosen on the sign-in page, or only has sessions in the demo data.
pub(super) struct Person {
    pub(super) tenant: &'static str,
    /// The application's own id of the person. It says nothing about them, because ids stand in URLs.
    pub(super) id: &'static str,
    user_name: &'static str,
    given_name: &'static str,
    family_name: &'static str,
    pub(super) role: Option<UserRole>,
    /// The person's work, for the sign-in page.
    pub(super) work: &'static str,
    pub(super) home: Town,
}

/// The tenant of the school.
pub(crate) const SCHOOL: &str = "northfield-school";
/// The tenant of the company.
pub(super) const COMPANY: &str = "harbour-freight";

const ADMIN: Option<UserRole> = Some(UserRole::Admin);
const SUPPORT: Option<UserRole> = Some(UserRole::Support);

/// Everybody. The first of each tenant is its administrator.
pub(super) const PEOPLE: [Person; 20] = [
    person(
        SCHOOL,
        "n-100",
        ["joan.walker", "Joan", "Walker"],
        ADMIN,
        "head of IT",
        Town::Manchester,
    ),
    person(
        SCHOOL,
        "n-101",
        ["jose.garcia", "José", "García"],
        SUPPORT,
        "help desk",
        Town::Madrid,
    ),
    person(
        SCHOOL,
        "n-102",
        ["mari.tamm", "Mari", "Tamm"],
        None,
        "teacher",
        Town::Tartu,
    ),
    person(
        SCHOOL,
        "n-103",
        ["layla.haddad", "ليلى", "حداد"],
        None,
        "teacher",
        Town::Dubai,
    ),
    person(
        SCHOOL,
        "n-104",
        ["oskar.lind", "Oskar", "Lind"],
        None,
        "pupil",
        Town::Tallinn,
    ),
    person(
        SCHOOL,
        "n-105",
        ["aoife.byrne", "Aoife", "Byrne"],
        None,
        "pupil",
        Town::Manchester,
    ),
    person(
        SCHOOL,
        "n-106",
        ["tomas.novak", "Tomáš", "Novák"],
        None,
        "pupil",
        Town::Manchester,
    ),
    person(
        SCHOOL,
        "n-107",
        ["li.wei", "伟", "李"],
        None,
        "pupil",
        Town::Singapore,
    ),
    person(
        SCHOOL,
        "n-108",
        ["nina.petrova", "Нина", "Петрова"],
        None,
        "pupil",
        Town::Tartu,
    ),
    person(
        SCHOOL,
        "n-109",
        ["samir.khan", "Samir", "Khan"],
        None,
        "pupil",
        Town::Manchester,
    ),
    person(
        COMPANY,
        "h-200",
        ["priya.nair", "Priya", "Nair"],
        ADMIN,
        "security lead",
        Town::Austin,
    ),
    person(
        COMPANY,
        "h-201",
        ["daniel.osei", "Daniel", "Osei"],
        SUPPORT,
        "support engineer",
        Town::Manchester,
    ),
    person(
        COMPANY,
        "h-202",
        ["elena.ruiz", "Elena", "Ruiz"],
        None,
        "dispatcher",
        Town::Madrid,
    ),
    person(
        COMPANY,
        "h-203",
        ["kenji.sato", "健二", "佐藤"],
        None,
        "captain",
        Town::Singapore,
    ),
    person(
        COMPANY,
        "h-204",
        ["katrin.saar", "Katrin", "Säär"],
        None,
        "accountant",
        Town::Tallinn,
    ),
    person(
        COMPANY,
        "h-205",
        ["omar.aziz", "عمر", "عزيز"],
        None,
        "broker",
        Town::Dubai,
    ),
    person(
        COMPANY,
        "h-206",
        ["grace.miller", "Grace", "Miller"],
        None,
        "analyst",
        Town::Austin,
    ),
    person(
        COMPANY,
        "h-207",
        ["pavel.horak", "Pavel", "Horák"],
        None,
        "developer",
        Town::Tallinn,
    ),
    person(
        COMPANY,
        "h-208",
        ["ines.costa", "Inês", "Costa"],
        None,
        "sales",
        Town::Madrid,
    ),
    person(
        COMPANY,
        "h-209",
        ["victor.hale", "Victor", "Hale"],
        None,
        "contractor",
        Town::Austin,
    ),
];

/// The people on the sign-in page, by their ids: one of each kind in each tenant.
const CHOICES: [&str; 6] = ["n-100", "n-101", "n-102", "h-200", "h-201", "h-202"];

const fn person(
    tenant: &'static str,
    id: &'static str,
    [user_name, given_name, family_name]: [&'static str; 3],
    role: Option<UserRole>,
    work: &'static str,
    home: Town,
) -> Person {
    Person {
        tenant,
        id,
        user_name,
        given_name,
        family_name,
        role,
        work,
        home,
    }
}

/// The people on the sign-in page.
pub(super) fn choices() -> impl Iterator<Item = &'static Person> {
    CHOICES.iter().filter_map(|id| find(id))
}

/// The person with this id.
pub(super) fn find(id: &str) -> Option<&'static Person> {
    PEOPLE.iter().find(|person| person.id == id)
}

impl Person {
    /// The name that people say.
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.given_name, self.family_name)
    }

    /// The role in the tenant, by a word for people.
    pub(super) fn role_word(&self) -> &'static str {
        match self.role {
            Some(UserRole::Admin) => "administrator",
            Some(UserRole::Support) => "support",
            _ => "no role",
        }
    }

    /// The tenant by a name for people.
    pub(super) fn tenant_name(&self) -> &'static str {
        if self.tenant == SCHOOL {
            "Northfield School"
        } else {
            "Harbour Freight"
        }
    }

    /// The person as a sign-in tells them.
    pub(super) fn session_user(&self) -> SessionUser {
        SessionUser {
            id: self.id.into(),
            user_name: self.user_name.into(),
            given_name: self.given_name.into(),
            family_name: self.family_name.into(),
            // A domain that is reserved, so that nobody ever gets a mail of it.
            email: format!("{}@{}.example", self.user_name, self.tenant),
            roles: None,
        }
    }

    /// The person's role as the first sign-in tells it. Later ones leave it as an administrator may have changed it.
    pub(super) fn roles(&self) -> UserRoles {
        UserRoles {
            roles: self.role.iter().map(|role| (*role).into()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn everybody_has_an_id_of_their_own_and_every_choice_exists() {
        let ids: BTreeSet<_> = PEOPLE.iter().map(|person| person.id).collect();
        assert_eq!(ids.len(), PEOPLE.len());
        assert_eq!(choices().count(), CHOICES.len());
    }

    #[test]
    fn each_tenant_has_an_administrator_among_the_choices() {
        for tenant in [SCHOOL, COMPANY] {
            let mut of_tenant = choices().filter(|person| person.tenant == tenant);
            assert!(
                of_tenant.any(|person| person.role == ADMIN),
                "nobody can show the pages of {tenant}'s administrator"
            );
        }
    }
}
