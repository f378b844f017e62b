//! `dev --demo-data`: the sessions of a school and a company after a morning. They are made by the calls that anybody
//! can make, so every page, list and trail shows records of the authority itself.

use anyhow::{Context, Result};
use portcullis_contract::v1::{self, ActingUser, FindingCode, Policy, SessionEndCause, UserRole};
use portcullis_validator::Validator;

use super::{
    accounts::Accounts,
    hardware::{self, Hardware},
    people::{self, COMPANY, PEOPLE, Person, SCHOOL},
    places::Town,
};

/// The requests of the busiest API key. Each is a real check at the gate.
const KEY_REQUESTS_MAX: u32 = 240;

/// A sign-in that somebody else may have made.
struct Suspicious {
    person: &'static str,
    hardware: Hardware,
    town: Town,
}

/// Each has a device and a country that the person never used, in another network than their own: the towns that share
/// one do not count as travel.
const SUSPICIOUS: [Suspicious; 4] = [
    Suspicious {
        person: "n-100",
        hardware: hardware::DESKTOP,
        town: Town::Sydney,
    },
    Suspicious {
        person: "n-105",
        hardware: hardware::LAPTOP,
        town: Town::Sydney,
    },
    Suspicious {
        person: "h-200",
        hardware: hardware::PHONE,
        town: Town::Tallinn,
    },
    Suspicious {
        person: "h-206",
        hardware: hardware::SCRIPT,
        town: Town::Madrid,
    },
];

/// An API key of the demonstration.
struct Key {
    owner: &'static str,
    name: &'static str,
    scope: &'static str,
    /// Its part of [`KEY_REQUESTS_MAX`], in percent. 0: it was never used.
    use_percent: u32,
}

const KEYS: [Key; 6] = [
    Key {
        owner: "n-100",
        name: "Timetable sync",
        scope: "timetable:read",
        use_percent: 40,
    },
    Key {
        owner: "n-101",
        name: "Help desk bot",
        scope: "tickets:write",
        use_percent: 10,
    },
    Key {
        owner: "n-102",
        name: "Grade export",
        scope: "grades:read",
        use_percent: 0,
    },
    Key {
        owner: "h-200",
        name: "Ship tracker",
        scope: "positions:read",
        use_percent: 100,
    },
    Key {
        owner: "h-207",
        name: "Nightly build",
        scope: "build:write",
        use_percent: 25,
    },
    Key {
        owner: "h-204",
        name: "Invoices",
        scope: "invoices:read",
        use_percent: 5,
    },
];

/// Makes the data, once for a data directory. Returns false if it is there already.
pub(super) async fn make(accounts: &Accounts, gate: &Validator) -> Result<bool> {
    if exists(accounts).await? {
        return Ok(false);
    }
    // First of all: a user exists from their first sign-in on, and all else is about users.
    for person in &PEOPLE {
        sign_in_as_usual(accounts, person).await?;
    }
    for sign_in in &SUSPICIOUS {
        let person = find_person(sign_in.person)?;
        let client = sign_in.hardware.client(person.id, sign_in.town.address(7));
        accounts.sign_in(person, client, String::new()).await?;
    }
    make_keys(accounts, gate).await?;
    end_some(accounts).await?;
    change_roles(accounts).await?;
    Ok(true)
}

async fn exists(accounts: &Accounts) -> Result<bool> {
    let request = v1::ListUsersRequest {
        // The company's people come second, so a run that was interrupted among the school's is
        // made again.
        tenant_id: COMPANY.into(),
        page_size: 1,
        show_signed_out: true,
        ..Default::default()
    };
    let listed = accounts
        .users()
        .list_users(accounts.as_admin(request)?)
        .await?;
    Ok(!listed.into_inner().users.is_empty())
}

/// Sets the policies of both tenants, unless somebody has changed them already.
///
/// Everybody's second device would be marked as new, because all of them sign in within a second. So this finding is off
/// here, and a mark that remains is worth a look.
pub(super) async fn set_policies(accounts: &Accounts) -> Result<()> {
    for tenant in [SCHOOL, COMPANY] {
        let request = v1::GetPolicyRequest {
            tenant_id: tenant.into(),
        };
        let answer = accounts
            .tenants()
            .get_policy(accounts.as_admin(request)?)
            .await?;
        let policy = answer.into_inner().policy.context("no policy")?;
        // The default is off, so somebody has been here: the person's own changes are kept.
        if policy.keep_last_page {
            continue;
        }
        let request = v1::UpdatePolicyRequest {
            tenant_id: tenant.into(),
            policy: Some(Policy {
                keep_last_page: true,
                findings_disabled: vec![FindingCode::NewDevice.into()],
                ..policy
            }),
            reason: "rules of the demonstration".into(),
            acting_user: Some(administrator(tenant)?),
            ..Default::default()
        };
        accounts
            .tenants()
            .update_policy(accounts.as_admin(request)?)
            .await?;
    }
    Ok(())
}

/// The administrator of a tenant, for the trail.
fn administrator(tenant: &str) -> Result<ActingUser> {
    let mut people = PEOPLE.iter().filter(|person| person.tenant == tenant);
    let person = people.next().context("a tenant without people")?;
    Ok(ActingUser {
        id: person.id.into(),
        ip: person.home.address(household(person)).to_string(),
    })
}

fn find_person(id: &str) -> Result<&'static Person> {
    people::find(id).context("nobody has the id")
}

/// The number of a person's home in their town.
pub(super) fn household(person: &Person) -> u8 {
    let digits = person.id.bytes().filter(u8::is_ascii_digit);
    digits.fold(0, |number: u8, digit| {
        number.wrapping_mul(10).wrapping_add(digit - b'0')
    })
}

/// Opens the sessions that a person has on an ordinary day: one to three devices, at home.
async fn sign_in_as_usual(accounts: &Accounts, person: &Person) -> Result<()> {
    let own: &[Hardware] = match household(person) % 4 {
        0 => &[hardware::MAC, hardware::PHONE, hardware::TABLET],
        1 => &[hardware::DESKTOP, hardware::APP],
        2 => &[hardware::LAPTOP],
        _ => &[hardware::APP, hardware::TABLET],
    };
    for hardware in own {
        let client = hardware.client(person.id, person.home.address(household(person)));
        accounts.sign_in(person, client, String::new()).await?;
    }
    Ok(())
}

async fn make_keys(accounts: &Accounts, gate: &Validator) -> Result<()> {
    for key in &KEYS {
        let owner = find_person(key.owner)?;
        let scopes = vec![key.scope.into()];
        let reason = "needed for the new term";
        let created = make_key(accounts, owner, key.name, scopes, reason).await?;
        for _ in 0..KEY_REQUESTS_MAX * key.use_percent / 100 {
            // The gate counts what it admits, and reports it as it reports every request.
            gate.check_api_key(&created.secret).map_err(|rejection| {
                anyhow::anyhow!("the gate refuses a new key: {rejection:?}")
            })?;
        }
    }
    revoke_an_old_key(accounts, find_person(KEYS[0].owner)?).await
}

/// Makes a key as the administrator of the owner's tenant.
async fn make_key(
    accounts: &Accounts,
    owner: &Person,
    name: &str,
    scopes: Vec<String>,
    reason: &str,
) -> Result<v1::CreateApiKeyResponse> {
    let request = v1::CreateApiKeyRequest {
        tenant_id: owner.tenant.into(),
        owner_user_id: owner.id.into(),
        name: name.into(),
        scopes,
        reason: reason.into(),
        acting_user: Some(administrator(owner.tenant)?),
        ..Default::default()
    };
    let created = accounts
        .api_keys()
        .create_api_key(accounts.as_admin(request)?)
        .await?;
    Ok(created.into_inner())
}

/// A key that has ended is part of every list of keys.
async fn revoke_an_old_key(accounts: &Accounts, owner: &Person) -> Result<()> {
    let reason = "needed for the last term";
    let created = make_key(accounts, owner, "Old timetable sync", Vec::new(), reason).await?;
    let key = created.api_key.context("no key")?;
    let request = v1::RevokeApiKeyRequest {
        tenant_id: owner.tenant.into(),
        api_key_id: key.id,
        reason: "replaced by a new key".into(),
        acting_user: Some(administrator(owner.tenant)?),
        ..Default::default()
    };
    accounts
        .api_keys()
        .revoke_api_key(accounts.as_admin(request)?)
        .await?;
    Ok(())
}

/// Ends sessions in the ways that people and administrators end them.
async fn end_some(accounts: &Accounts) -> Result<()> {
    disable_a_contractor(accounts, find_person("h-209")?).await?;
    sign_a_pupil_out(accounts, find_person("n-107")?).await?;
    for id in ["n-100", "n-101", "h-200"] {
        sign_out_on_an_old_phone(accounts, find_person(id)?).await?;
    }
    for id in ["n-100", "h-206"] {
        end_a_program(accounts, find_person(id)?).await?;
    }
    change_password(accounts, find_person("n-103")?).await
}

/// A contractor leaves.
async fn disable_a_contractor(accounts: &Accounts, contractor: &Person) -> Result<()> {
    let request = v1::DisableUserRequest {
        tenant_id: contractor.tenant.into(),
        user_id: contractor.id.into(),
        reason: "the contract has ended".into(),
        user_message: "Your account is closed. Thank you for your work.".into(),
        acting_user: Some(administrator(contractor.tenant)?),
        ..Default::default()
    };
    accounts
        .users()
        .disable_user(accounts.as_admin(request)?)
        .await?;
    Ok(())
}

/// A pupil loses a tablet.
async fn sign_a_pupil_out(accounts: &Accounts, pupil: &Person) -> Result<()> {
    let request = v1::ForceSignOutRequest {
        tenant_id: pupil.tenant.into(),
        user_ids: vec![pupil.id.into()],
        reason: "a tablet was lost on the bus".into(),
        user_message: "Please sign in again, and tell the help desk when you find the tablet."
            .into(),
        acting_user: Some(administrator(pupil.tenant)?),
        ..Default::default()
    };
    accounts
        .users()
        .force_sign_out(accounts.as_admin(request)?)
        .await?;
    Ok(())
}

/// A person signs out on a device themselves.
async fn sign_out_on_an_old_phone(accounts: &Accounts, person: &Person) -> Result<()> {
    let address = person.home.address(household(person));
    let client = hardware::APP.client(person.id, address);
    // A session of its own for each end, so that the devices of the ordinary day stay.
    let tokens = accounts.sign_in(person, client, String::new()).await?;
    let request = v1::RevokeTokenRequest {
        tenant_id: person.tenant.into(),
        token: tokens.access,
        client_ip: address.to_string(),
    };
    accounts
        .sessions()
        .revoke_token(accounts.as_login(request)?)
        .await?;
    Ok(())
}

/// An administrator ends a program that nobody knows.
async fn end_a_program(accounts: &Accounts, person: &Person) -> Result<()> {
    let address = person.home.address(household(person));
    let client = hardware::SCRIPT.client(person.id, address);
    let tokens = accounts.sign_in(person, client, String::new()).await?;
    let request = v1::RevokeSessionRequest {
        tenant_id: person.tenant.into(),
        session_id: tokens.session_id,
        reason: "an unknown program".into(),
        user_message: "We ended a program that used your account.".into(),
        acting_user: Some(administrator(person.tenant)?),
        ..Default::default()
    };
    accounts
        .sessions()
        .revoke_session(accounts.as_admin(request)?)
        .await?;
    Ok(())
}

/// A person changes the password, which ends all sessions but the one in which they did.
async fn change_password(accounts: &Accounts, person: &Person) -> Result<()> {
    let address = person.home.address(household(person));
    let client = hardware::MAC.client(person.id, address);
    let tokens = accounts.sign_in(person, client, String::new()).await?;
    let request = v1::RevokeOtherSessionsRequest {
        tenant_id: person.tenant.into(),
        user_id: person.id.into(),
        keep_session_id: tokens.session_id,
        cause: SessionEndCause::PasswordChanged.into(),
        ..Default::default()
    };
    accounts
        .sessions()
        .revoke_other_sessions(accounts.as_login(request)?)
        .await?;
    Ok(())
}

/// A pupil helps at the help desk for a week.
async fn change_roles(accounts: &Accounts) -> Result<()> {
    let pupil = find_person("n-109")?;
    for (roles, reason) in [
        (
            vec![UserRole::Support.into()],
            "helps at the help desk this week",
        ),
        (vec![], "the week is over"),
    ] {
        let request = v1::SetUserRolesRequest {
            tenant_id: pupil.tenant.into(),
            user_id: pupil.id.into(),
            roles,
            reason: reason.into(),
            acting_user: Some(administrator(pupil.tenant)?),
        };
        accounts
            .users()
            .set_user_roles(accounts.as_admin(request)?)
            .await?;
    }
    Ok(())
}
