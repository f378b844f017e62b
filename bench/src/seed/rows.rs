//! Tenants, users and sessions as rows, copied in binary.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    pin::pin,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use indicatif::ProgressBar;
use portcullis_authority::domain::{Profile, listing::address_key, names::NameKeys};
use portcullis_contract::id::{SessionId, TenantId, UserId};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio_postgres::{
    Client,
    binary_copy::BinaryCopyInWriter,
    types::{ToSql, Type},
};

use super::{
    ENDED_ONE_IN, Ending, Options,
    people::{self, SeededDevice, SeededPlace},
};

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;
/// The oldest session is this old.
const SPAN_US: i64 = 30 * DAY_US;
/// Between two updates of the bar.
const BAR_ROWS: u64 = 10_000;
/// The large tenant has a user for so many sessions.
const LARGE_SESSIONS_A_USER: u64 = 5;

/// Draws rows. The same options give the same ones, but for the time.
pub(super) struct Seeder {
    options: Options,
    random: StdRng,
    devices: Vec<SeededDevice>,
    places: Vec<SeededPlace>,
    now: i64,
}

impl Seeder {
    pub(super) fn new(options: &Options) -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_micros();
        Self {
            options: options.clone(),
            random: StdRng::seed_from_u64(4),
            devices: people::devices(),
            places: people::places(),
            now: i64::try_from(now).unwrap_or(i64::MAX),
        }
    }

    pub(super) fn large_users(&self) -> u64 {
        self.options.large_tenant.div_ceil(LARGE_SESSIONS_A_USER)
    }

    /// The tenant of a user by number, and its serial. The large one comes after the others, as its users do.
    fn tenant(&self, user: u64) -> (String, u64) {
        match user < self.options.users {
            true => (
                tenant_id(user % self.options.tenants),
                user % self.options.tenants + 1,
            ),
            false => (LARGE.into(), self.options.tenants + 1),
        }
    }

    /// Who signs in next.
    fn user(&mut self) -> u64 {
        let (small, large) = (self.options.sessions, self.options.large_tenant);
        match self.random.random_range(0..small + large) < small {
            true => self.random.random_range(0..self.options.users),
            false => self.options.users + self.random.random_range(0..self.large_users()),
        }
    }
}

/// The id of the large tenant.
pub(crate) const LARGE: &str = "large";

/// The id of a tenant by number.
pub(crate) fn tenant_id(number: u64) -> String {
    format!("tenant-{number:05}")
}

/// The id of a user by number.
pub(crate) fn user_id(number: u64) -> String {
    format!("user-{number:08}")
}

/// Copies everything in; what is to be ended.
pub(super) async fn copy(
    client: &Client,
    seeder: &mut Seeder,
    bar: &ProgressBar,
) -> Result<Vec<(TenantId, Ending)>> {
    let mut ending = BTreeMap::new();
    tenants(client, seeder).await?;
    bar.set_message("users");
    users(client, seeder, bar, &mut ending).await?;
    bar.set_message("sessions");
    sessions(client, seeder, bar, &mut ending).await?;
    let tenant = |(id, ending): (String, Ending)| Ok((TenantId::parse(id)?, ending));
    ending.into_iter().map(tenant).collect()
}

async fn tenants(client: &Client, seeder: &Seeder) -> Result<()> {
    let insert =
        "INSERT INTO tenants (tenant_id, tenant_serial) VALUES ($1, nextval('tenant_serial'))";
    for number in 0..seeder.options.tenants {
        client.execute(insert, &[&tenant_id(number)]).await?;
    }
    if seeder.options.large_tenant > 0 {
        client.execute(insert, &[&LARGE]).await?;
    }
    Ok(())
}

/// A copy into these columns.
async fn writer(
    client: &Client,
    table: &str,
    columns: &[(&str, Type)],
) -> Result<BinaryCopyInWriter> {
    let names = columns
        .iter()
        .map(|(name, _)| *name)
        .collect::<Vec<_>>()
        .join(", ");
    let sink = client
        .copy_in(&format!("COPY {table} ({names}) FROM STDIN BINARY"))
        .await?;
    let types: Vec<_> = columns.iter().map(|(_, of)| of.clone()).collect();
    Ok(BinaryCopyInWriter::new(sink, &types))
}

fn serial(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

async fn users(
    client: &Client,
    seeder: &mut Seeder,
    bar: &ProgressBar,
    ending: &mut BTreeMap<String, Ending>,
) -> Result<()> {
    let names = [
        "tenant_id",
        "user_id",
        "user_name",
        "given_name",
        "family_name",
        "email",
        "name_key",
        "person_key",
        "email_key",
    ];
    let numbers = ["user_serial", "tenant_serial", "created_us", "signed_in_us"];
    let columns: Vec<_> = names
        .map(|name| (name, Type::TEXT))
        .into_iter()
        .chain(numbers.map(|name| (name, Type::INT8)))
        .collect();
    let mut writer = pin!(writer(client, "users", &columns).await?);
    let count = seeder.options.users + seeder.large_users();
    for number in 0..count {
        let (tenant, tenant_serial) = seeder.tenant(number);
        let [user_name, given, family] = people::name(&mut seeder.random);
        let profile = Profile {
            email: format!("{user_name}@example.com"),
            user_name,
            given_name: given,
            family_name: family,
        };
        let keys = NameKeys::of(&profile);
        let id = user_id(number);
        // Near enough to the newest of a user's few sessions.
        let signed_in = seeder.now - seeder.random.random_range(0..SPAN_US);
        let numbers = [
            serial(number + 1),
            serial(tenant_serial),
            seeder.now - SPAN_US,
            signed_in,
        ];
        let texts = [
            &tenant,
            &id,
            &profile.user_name,
            &profile.given_name,
            &profile.family_name,
            &profile.email,
            &keys.user_name,
            &keys.person,
            &keys.email,
        ];
        let row = texts.into_iter().map(|text| text as &(dyn ToSql + Sync));
        let row: Vec<_> = row
            .chain(numbers.iter().map(|number| number as &(dyn ToSql + Sync)))
            .collect();
        writer.as_mut().write(&row).await?;
        if seeder.random.random_range(0..ENDED_ONE_IN) == 0 {
            ending
                .entry(tenant)
                .or_default()
                .users
                .push(UserId::parse(id)?);
        }
        advance(bar, number);
    }
    writer.finish().await?;
    let next = format!("SELECT setval('user_serial', {})", count.max(1));
    Ok(client.batch_execute(&next).await?)
}

const SESSION_COLUMNS: [(&str, Type); 28] = [
    ("tenant_id", Type::TEXT),
    ("session_id", Type::BYTEA),
    ("serial", Type::INT8),
    ("user_id", Type::TEXT),
    ("user_serial", Type::INT8),
    ("tenant_serial", Type::INT8),
    ("opened_revision", Type::INT8),
    ("created_us", Type::INT8),
    ("expires_us", Type::INT8),
    ("remember_me", Type::INT8),
    ("auth_time_us", Type::INT8),
    ("facts", Type::TEXT),
    ("acr", Type::TEXT),
    ("ip", Type::TEXT),
    ("user_agent", Type::TEXT),
    ("device_id", Type::TEXT),
    ("app_name", Type::TEXT),
    ("salt", Type::BYTEA),
    ("generation", Type::INT8),
    ("device", Type::TEXT),
    ("device_type", Type::INT8),
    ("device_sign_ins", Type::INT8),
    ("place", Type::TEXT),
    ("country", Type::TEXT),
    ("network", Type::BYTEA),
    ("active_us", Type::INT8),
    ("actions", Type::INT8),
    ("due_us", Type::INT8),
];

async fn sessions(
    client: &Client,
    seeder: &mut Seeder,
    bar: &ProgressBar,
    ending: &mut BTreeMap<String, Ending>,
) -> Result<()> {
    let mut writer = pin!(writer(client, "sessions", &SESSION_COLUMNS).await?);
    let count = seeder.options.sessions + seeder.options.large_tenant;
    for number in 0..count {
        let row = Session::draw(seeder, number, count);
        writer.as_mut().write(&row.columns(seeder)).await?;
        if row.ends {
            ending
                .entry(row.tenant)
                .or_default()
                .sessions
                .push(SessionId::from_bytes(row.id.try_into().expect("16 bytes")));
        }
        advance(bar, number);
    }
    writer.finish().await?;
    let next = format!("SELECT setval('credential_serial', {})", count.max(1));
    Ok(client.batch_execute(&next).await?)
}

fn advance(bar: &ProgressBar, number: u64) {
    if number % BAR_ROWS == BAR_ROWS - 1 {
        bar.inc(BAR_ROWS);
    }
}

struct Session {
    tenant: String,
    id: Vec<u8>,
    user: String,
    /// Of the session, its user and its tenant.
    serials: [i64; 3],
    created: i64,
    expires: i64,
    remember_me: i64,
    ip: String,
    device_id: String,
    salt: Vec<u8>,
    device: usize,
    place: usize,
    network: Vec<u8>,
    active: i64,
    actions: i64,
    due: Option<i64>,
    ends: bool,
}

impl Session {
    /// The session of this number out of `count`, which follow each other in time.
    fn draw(seeder: &mut Seeder, number: u64, count: u64) -> Self {
        let user = seeder.user();
        let (tenant, tenant_serial) = seeder.tenant(user);
        let (now, random) = (seeder.now, &mut seeder.random);
        let age = i128::from(SPAN_US) * i128::from(count - number) / i128::from(count);
        let created = now - i64::try_from(age).unwrap_or(SPAN_US);
        let remember_me = random.random_bool(0.6);
        let expires = created + if remember_me { 30 } else { 7 } * DAY_US;
        // What can be used has been used within the idle timeout, or the sweep would end it now.
        let active =
            random.random_range(created.max(now.min(expires) - 6 * DAY_US)..=now.min(expires));
        // A user has a home, and three devices at most.
        let home = usize::try_from(user % 9).unwrap_or_default();
        let place = if random.random_bool(0.9) {
            home
        } else {
            random.random_range(0..seeder.places.len())
        };
        let device = usize::try_from(user)
            .unwrap_or_default()
            .wrapping_add(random.random_range(0..3))
            % seeder.devices.len();
        let low = u16::try_from(user % 60_000)
            .unwrap_or_default()
            .to_be_bytes();
        let ip = Ipv4Addr::new(
            seeder.places[place].network,
            random.random_range(0..4),
            low[0],
            low[1],
        );
        Self {
            tenant,
            id: session_id(created, random),
            user: user_id(user),
            serials: [serial(number + 1), serial(user + 1), serial(tenant_serial)],
            created,
            expires,
            remember_me: remember_me.into(),
            ip: ip.to_string(),
            device_id: format!("device-{user}-{device}"),
            salt: random.random::<[u8; 16]>().to_vec(),
            device,
            place,
            network: address_key(IpAddr::V4(ip)).to_vec(),
            active,
            actions: random.random_range(1..5_000),
            due: (expires > now).then_some(active + 7 * DAY_US),
            ends: expires > now && random.random_range(0..ENDED_ONE_IN) == 0,
        }
    }

    fn columns<'a>(&'a self, seeder: &'a Seeder) -> [&'a (dyn ToSql + Sync); 28] {
        let (device, place) = (&seeder.devices[self.device], &seeder.places[self.place]);
        [
            &self.tenant,
            &self.id,
            &self.serials[0],
            &self.user,
            &self.serials[1],
            &self.serials[2],
            &0_i64,
            &self.created,
            &self.expires,
            &self.remember_me,
            &self.created,
            &r#"{"amr":["pwd"],"audiences":["portcullis","gateway"]}"#,
            &"",
            &self.ip,
            &device.user_agent,
            &self.device_id,
            &"",
            &self.salt,
            &0_i64,
            &device.json,
            &device.kind,
            &1_i64,
            &place.json,
            &place.country,
            &self.network,
            &self.active,
            &self.actions,
            &self.due,
        ]
    }
}

/// A UUIDv7 of this time.
fn session_id(created: i64, random: &mut StdRng) -> Vec<u8> {
    let mut id: [u8; 16] = random.random();
    id[..6].copy_from_slice(&(created / 1_000).to_be_bytes()[2..]);
    (id[6], id[8]) = (0x70 | id[6] & 0x0f, 0x80 | id[8] & 0x3f);
    id.to_vec()
}
