//! Places of addresses, from databases in MaxMind's format (GeoIP2, GeoLite2, and others with their schema).
//!
//! The place of an address that no database knows is empty. A database is read into memory whole and verified before it
//! is used, so a change of the file on disk cannot hurt a look-up.

use std::{
    fs::File,
    io::{self, Read},
    net::IpAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use maxminddb::{MaxMindDbError, Reader};
use serde::Deserialize;
use serde_json::Number;

use crate::{
    config::{ConfigError, PlacesConfig},
    domain::{
        place::{Coordinates, Place, may_have_place},
        text::tidy,
    },
};

/// The largest database that is read, in bytes: more than twice the largest that MaxMind sells.
pub const DATABASE_BYTES_MAX: u64 = 1 << 30;

/// The databases of places. The default has none.
#[derive(Default)]
pub struct Places {
    databases: Vec<Database>,
}

/// Why a database is not used.
#[derive(Debug, thiserror::Error)]
pub enum PlacesError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of reading it.
        source: io::Error,
    },
    /// The file is not a database, or a damaged one.
    #[error("{}: {source}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The error of decoding or verifying it.
        source: MaxMindDbError,
    },
}

/// One database, and the file that it was read from.
struct Database {
    path: PathBuf,
    reader: ArcSwap<Reader<Vec<u8>>>,
    /// The stamp of the file that was examined last, even if it was not usable. None: there was no file.
    seen: Mutex<Option<Stamp>>,
}

/// The identity of a file's content: another file at the same path differs in it, and so does the same file after a
/// write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    /// Seconds and nanoseconds of the last change of the content.
    modified: (i64, i64),
    /// Seconds and nanoseconds of the last change of the content or of the metadata.
    changed: (i64, i64),
}

impl Places {
    /// Opens a database of cities or countries, and one of networks (ISP or ASN). Both are read and verified whole, which
    /// takes seconds for large ones.
    ///
    /// # Errors
    /// When one cannot be read, or is not a sound database.
    pub fn open(city: Option<&Path>, network: Option<&Path>) -> Result<Self, PlacesError> {
        let databases = [city, network]
            .into_iter()
            .flatten()
            .map(Database::open)
            .collect::<Result<_, _>>()?;
        Ok(Self { databases })
    }

    /// Opens the databases that the configuration names.
    ///
    /// # Errors
    /// When one of them cannot be read or is damaged; the error names its key.
    pub(crate) fn open_configured(config: &PlacesConfig) -> Result<Self, ConfigError> {
        let city = open_configured(
            "places.city_database_file",
            config.city_database_file.as_deref(),
        )?;
        let network = open_configured(
            "places.network_database_file",
            config.network_database_file.as_deref(),
        )?;
        Ok(Self {
            databases: city.into_iter().chain(network).collect(),
        })
    }

    /// Looks up an address. Unknown fields are empty. Of private ranges, a database has only the operator's own
    /// entries.
    #[must_use]
    pub fn lookup(&self, ip: IpAddr) -> Place {
        let mut place = Place::default();
        if may_have_place(ip) {
            for database in &self.databases {
                // A client over IPv4 may arrive as an IPv4-mapped address, which databases do not have.
                database.describe(ip.to_canonical(), &mut place);
            }
        }
        place
    }

    /// Loads the files that were replaced since the last call. Returns the path of each, or the error because of which
    /// the database before it stays in use. A file that cannot be used is reported once, until it changes again.
    ///
    /// It blocks, like [`Places::open`].
    pub fn reload_if_changed(&self) -> Vec<Result<&Path, PlacesError>> {
        let mut reloaded = Vec::new();
        for database in &self.databases {
            reloaded.extend(database.reload_if_changed().transpose());
        }
        reloaded
    }
}

fn open_configured(key: &str, file: Option<&Path>) -> Result<Option<Database>, ConfigError> {
    let Some(file) = file else {
        return Ok(None);
    };
    match Database::open(file) {
        Ok(database) => Ok(Some(database)),
        Err(error) => Err(ConfigError::new(key, error.to_string())),
    }
}

impl Database {
    fn open(path: &Path) -> Result<Self, PlacesError> {
        let (stamp, reader) = read(path);
        let reader = ArcSwap::from_pointee(reader?);
        Ok(Self {
            path: path.to_owned(),
            reader,
            seen: Mutex::new(stamp),
        })
    }

    fn reload_if_changed(&self) -> Result<Option<&Path>, PlacesError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if Stamp::of_path(&self.path) == *seen {
            return Ok(None);
        }
        let (stamp, reader) = read(&self.path);
        // Kept even if the file cannot be used, so that it is reported once and not every few seconds.
        *seen = stamp;
        self.reader.store(reader?.into());
        Ok(Some(&self.path))
    }

    /// Fills in the fields that the database knows. A record of another schema is ignored.
    fn describe(&self, ip: IpAddr, place: &mut Place) {
        // A look-up goes on with the reader that it has, even if the file is replaced meanwhile.
        let reader = self.reader.load();
        let record = reader
            .lookup(ip)
            .and_then(|found| found.decode::<Record<'_>>());
        // An error leaves the place as it is, because a sign-in must not fail for it.
        if let Ok(Some(record)) = record {
            record.describe(place);
        }
    }
}

/// Reads and verifies a database. The stamp is that of the file, whether it could be used or not.
fn read(path: &Path) -> (Option<Stamp>, Result<Reader<Vec<u8>>, PlacesError>) {
    // Before the file is opened. If that fails and a good file comes meanwhile, its stamp differs and it is read next
    // time.
    let stamp = Stamp::of_path(path);
    match read_bytes(path) {
        Ok((stamp, bytes)) => {
            let reader = decode(bytes).map_err(|source| PlacesError::Corrupt {
                path: path.to_owned(),
                source,
            });
            (Some(stamp), reader)
        }
        Err(source) => {
            let path = path.to_owned();
            (stamp, Err(PlacesError::Unreadable { path, source }))
        }
    }
}

fn decode(bytes: Vec<u8>) -> Result<Reader<Vec<u8>>, MaxMindDbError> {
    let reader = Reader::from_source(bytes)?;
    // A look-up in a damaged tree could return the record of another network.
    reader.verify()?;
    Ok(reader)
}

fn read_bytes(path: &Path) -> io::Result<(Stamp, Vec<u8>)> {
    let file = File::open(path)?;
    // Of the open file, not of the path: another file may be there by now.
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > DATABASE_BYTES_MAX {
        let problem = format!("not a file of at most {DATABASE_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
    }
    let mut bytes = Vec::new();
    // A file that grows while it is read must not fill the memory.
    file.take(metadata.len()).read_to_end(&mut bytes)?;
    Ok((Stamp::of(&metadata), bytes))
}

impl Stamp {
    /// Reads the stamp of the file at `path`. None: there is no readable file.
    fn of_path(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self::of(&metadata))
    }

    fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            // A copy may keep the time of the content, as `cp -p` does. It cannot keep this one.
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// A record in GeoIP2's schema: of a city, a country, a network, or all of them. Numbers may have any width, because the
/// writers of databases do not agree on it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Record<'a> {
    #[serde(borrow)]
    city: Named<'a>,
    #[serde(borrow)]
    country: Named<'a>,
    location: Location,
    isp: Option<&'a str>,
    autonomous_system_organization: Option<&'a str>,
    autonomous_system_number: Option<Number>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named<'a> {
    iso_code: Option<&'a str>,
    #[serde(borrow)]
    names: Names<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Names<'a> {
    en: Option<&'a str>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Location {
    latitude: Option<Number>,
    longitude: Option<Number>,
    accuracy_radius: Option<Number>,
}

impl Record<'_> {
    /// Fills in the fields of a place that the record has. Others stay as another database filled them.
    fn describe(&self, place: &mut Place) {
        set_text(&mut place.city, self.city.names.en);
        set_text(&mut place.country_name, self.country.names.en);
        // The provider's name says more to a user than that of the organization that has the number.
        let operator = self.isp.or(self.autonomous_system_organization);
        set_text(&mut place.network_operator, operator);
        if let Some(code) = self.country.iso_code
            && is_country_code(code)
        {
            set_text(&mut place.country, Some(code));
        }
        if let Some(coordinates) = self.location.coordinates() {
            place.coordinates = Some(coordinates);
        }
        if let Some(asn) = whole_number(self.autonomous_system_number.as_ref()) {
            place.asn = Some(asn);
        }
    }
}

fn set_text(field: &mut String, text: Option<&str>) {
    if let Some(text) = text {
        *field = tidy(text);
    }
}

impl Location {
    /// The coordinates, if the record has both and they are on earth.
    fn coordinates(&self) -> Option<Coordinates> {
        let latitude = self.latitude.as_ref()?.as_f64()?;
        let longitude = self.longitude.as_ref()?.as_f64()?;
        // A distance between coordinates that are not on earth would look like an impossible journey.
        let on_earth = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
        on_earth.then_some(Coordinates {
            latitude,
            longitude,
            accuracy_km: whole_number(self.accuracy_radius.as_ref()).unwrap_or(0),
        })
    }
}

fn whole_number<T: TryFrom<u64>>(number: Option<&Number>) -> Option<T> {
    T::try_from(number?.as_u64()?).ok()
}

/// Returns true if the code has the form of ISO 3166-1 alpha-2.
fn is_country_code(code: &str) -> bool {
    code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests;
