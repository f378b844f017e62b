//! The towns of the demonstration, and databases in which its addresses have these places.
//!
//! All addresses are of ranges that are reserved for documentation, so they are nobody's. Names of operators are made up.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use maxminddb_writer::{Database, metadata::IpVersion, paths::IpAddrWithMask};
use portcullis_authority::config::PlacesConfig;
use serde_json::{Value, json};

/// A town with a network of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Town {
    Tallinn,
    Tartu,
    Madrid,
    Manchester,
    Austin,
    Dubai,
    Singapore,
    Sydney,
}

/// The number of addresses of a town.
const ADDRESSES: u8 = 32;
/// The bits of a town's network, as a network of IPv6: 96 before the address, and 27 of it.
const PREFIX_BITS: u8 = 96 + 27;

struct Record {
    city: &'static str,
    country_code: &'static str,
    country: &'static str,
    latitude: f64,
    longitude: f64,
    network: Ipv4Addr,
    operator: &'static str,
}

impl Town {
    const ALL: [Self; 8] = [
        Self::Tallinn,
        Self::Tartu,
        Self::Madrid,
        Self::Manchester,
        Self::Austin,
        Self::Dubai,
        Self::Singapore,
        Self::Sydney,
    ];

    fn record(self) -> Record {
        match self {
            Self::Tallinn => record(
                ["Tallinn", "EE", "Estonia", "Baltic Fibre"],
                (59.44, 24.75),
                [198, 51, 100, 0],
            ),
            Self::Tartu => record(
                ["Tartu", "EE", "Estonia", "Emajõgi Net"],
                (58.38, 26.72),
                [198, 51, 100, 32],
            ),
            Self::Madrid => record(
                ["Madrid", "ES", "Spain", "Red Meseta"],
                (40.42, -3.70),
                [198, 51, 100, 64],
            ),
            Self::Manchester => record(
                ["Manchester", "GB", "United Kingdom", "Pennine Broadband"],
                (53.48, -2.24),
                [203, 0, 113, 0],
            ),
            Self::Austin => record(
                ["Austin", "US", "United States", "Hill Country Cable"],
                (30.27, -97.74),
                [203, 0, 113, 32],
            ),
            Self::Dubai => record(
                ["Dubai", "AE", "United Arab Emirates", "Creek Mobile"],
                (25.20, 55.27),
                [203, 0, 113, 64],
            ),
            Self::Singapore => record(
                ["Singapore", "SG", "Singapore", "Strait Telecom"],
                (1.35, 103.82),
                [203, 0, 113, 96],
            ),
            Self::Sydney => record(
                ["Sydney", "AU", "Australia", "Harbour Wireless"],
                (-33.87, 151.21),
                [192, 0, 2, 0],
            ),
        }
    }

    /// An address of the town. The same number is the same household.
    pub(super) fn address(self, household: u8) -> IpAddr {
        let [a, b, c, first] = self.record().network.octets();
        // The first address of a network is the network itself.
        IpAddr::from([a, b, c, first + 1 + household % (ADDRESSES - 2)])
    }

    /// The town's name.
    pub(super) fn name(self) -> &'static str {
        self.record().city
    }
}

impl Record {
    /// The network as one of IPv6.
    fn network(&self) -> Result<IpAddrWithMask> {
        let network = format!("::{}/{PREFIX_BITS}", self.network);
        network
            .parse()
            .with_context(|| format!("{network} is no network"))
    }
}

fn record(
    [city, country_code, country, operator]: [&'static str; 4],
    (latitude, longitude): (f64, f64),
    network: [u8; 4],
) -> Record {
    Record {
        city,
        country_code,
        country,
        latitude,
        longitude,
        network: network.into(),
        operator,
    }
}

/// Writes the databases into a directory, and returns the configuration that names them.
pub(crate) fn write_databases(directory: &Path) -> Result<PlacesConfig> {
    let cities = write(directory.join("demo-cities.mmdb"), "GeoIP2-City", |town| {
        json!({
            "city": { "names": { "en": town.city } },
            "country": { "iso_code": town.country_code, "names": { "en": town.country } },
            "location": { "latitude": town.latitude, "longitude": town.longitude, "accuracy_radius": 10 },
        })
    })?;
    let operators = write(
        directory.join("demo-networks.mmdb"),
        "GeoIP2-ISP",
        |town| json!({ "isp": town.operator }),
    )?;
    Ok(PlacesConfig {
        city_database_file: Some(cities),
        network_database_file: Some(operators),
    })
}

fn write(file: PathBuf, kind: &str, describe: fn(&Record) -> Value) -> Result<PathBuf> {
    let mut database = Database::default();
    // Such databases have IPv4 addresses behind 96 bits of zeros, and the real ones are of this
    // kind.
    database.metadata.ip_version = IpVersion::V6;
    database.metadata.database_type = kind.into();
    database.metadata.binary_format_major_version = 2;
    database.metadata.description =
        [("en".to_owned(), "places of a demonstration".to_owned())].into();
    for town in Town::ALL {
        let town = town.record();
        let data = database.insert_value(describe(&town))?;
        database.insert_node(town.network()?, data);
    }
    let bytes = database.write_to(Vec::new())?;
    // By a rename, as an authority that runs would read half of the file otherwise.
    let new = file.with_extension("new");
    fs::write(&new, bytes)
        .and_then(|()| fs::rename(&new, &file))
        .with_context(|| format!("writing {}", file.display()))?;
    Ok(file)
}
