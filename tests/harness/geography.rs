//! Databases of places, made for a test.

use std::path::Path;

use maxminddb_writer::{Database, metadata::IpVersion, paths::IpAddrWithMask};
use serde_json::{Value, json};

/// A city of a test: its name, its country's code and name, and where it is (degrees north and east).
pub type City = (&'static str, &'static str, &'static str, f64, f64);

/// Berlin.
pub const BERLIN: City = ("Berlin", "DE", "Germany", 52.52, 13.405);
/// Sydney, 16,000 km from there.
pub const SYDNEY: City = ("Sydney", "AU", "Australia", -33.87, 151.21);

/// Writes a database in which each network is in a city: an IPv4 network of 24 bits, such as `8.8.8`, or one of IPv6, such
/// as `2a02:8109::/32`.
///
/// # Panics
/// When it cannot be written.
pub fn write_cities(path: &Path, networks: &[(&str, City)]) {
    let record = |(network, (city, code, country, latitude, longitude)): &(&str, City)| {
        let record = json!({
            "city": { "names": { "en": city } },
            "country": { "iso_code": code, "names": { "en": country } },
            "location": { "latitude": latitude, "longitude": longitude, "accuracy_radius": 10 },
        });
        ((*network).to_owned(), record)
    };
    write(path, "GeoIP2-City", networks.iter().map(record).collect());
}

/// Writes a database in which each IPv4 network of 24 bits has an operator.
///
/// # Panics
/// When it cannot be written.
pub fn write_operators(path: &Path, networks: &[(&str, &str)]) {
    let record =
        |(network, operator): &(&str, &str)| ((*network).to_owned(), json!({ "isp": operator }));
    write(path, "GeoIP2-ISP", networks.iter().map(record).collect());
}

fn write(path: &Path, database_type: &str, records: Vec<(String, Value)>) {
    let mut writer = Database::default();
    writer.metadata.ip_version = IpVersion::V6;
    writer.metadata.database_type = database_type.into();
    writer.metadata.binary_format_major_version = 2;
    writer.metadata.description = [("en".to_owned(), "a test".to_owned())].into();
    for (network, record) in records {
        let data = writer.insert_value(record).expect("a value");
        let network = if network.contains(':') {
            network
        } else {
            format!("::{network}.0/120")
        };
        let network = network.parse::<IpAddrWithMask>().expect("a network");
        writer.insert_node(network, data);
    }
    // As an update does it: by a rename.
    let new = path.with_extension("new");
    std::fs::write(&new, writer.write_to(Vec::new()).expect("a database")).expect("written");
    std::fs::rename(&new, path).expect("renamed");
}
