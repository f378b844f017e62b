//! Places of addresses, from MaxMind-format databases (GeoIP2, GeoLite2, and those of others in their schema).
//!
//! Without a database, or for an address it does not know, what is told is empty. Databases are read into memory whole
//! and verified before they are used, so nothing that happens to the file on disk can hurt a look-up.

use std::{
    fs::File,
    io::{self, Read},
    net::IpAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use maxminddb::{MaxMindDbError, Reader};
use serde::Deserialize;
use serde_json::Number;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::domain::{
    place::{Coordinates, Place, is_public},
    text::tidy,
};

/// The largest database that is read, in bytes: more than twice the largest that MaxMind sells.
pub const DATABASE_BYTES_MAX: u64 = 1 << 30;

/// Databases of places. The default has none.
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
        /// Why.
        source: io::Error,
    },
    /// The file is not a database, or a damaged one.
    #[error("{}: {source}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Why.
        source: MaxMindDbError,
    },
}

/// One database, and which file it was.
struct Database {
    path: PathBuf,
    reader: ArcSwap<Reader<Vec<u8>>>,
    /// Of the file that was looked at last, whether it could be used or not; none: there was none.
    seen: Mutex<Option<Stamp>>,
}

/// Tells one file from another at the same path, and from itself after a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    /// Seconds and nanoseconds, of the content and of the file.
    modified: (i64, i64),
    changed: (i64, i64),
}

/// How often the files are looked at.
const RELOAD_INTERVAL: Duration = Duration::from_secs(10);

/// Looks at the files from time to time, until `stop`.
pub(crate) async fn reload(places: Arc<Places>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(RELOAD_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let places = Arc::clone(&places);
        let looked = tokio::task::spawn_blocking(move || places.take_new_files());
        if looked.await.is_err() {
            tracing::error!("looking at the databases of places failed");
        }
    }
}

impl Places {
    fn take_new_files(&self) {
        for taken in self.reload_if_changed() {
            match taken {
                Ok(path) => {
                    tracing::info!(path = %path.display(), "a database of places was replaced");
                }
                Err(error) => {
                    tracing::error!(%error, "a database of places is not used; the one before it is");
                }
            }
        }
    }

    /// Opens the databases that the operator names: one of cities or countries, one of networks (ISP or ASN). It reads
    /// and verifies them whole, which takes seconds for large ones.
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

    /// Where an address is. What is not known is empty; of an address that is not public nothing is known.
    #[must_use]
    pub fn lookup(&self, ip: IpAddr) -> Place {
        let mut place = Place::default();
        if is_public(ip) {
            for database in &self.databases {
                database.tell(ip.to_canonical(), &mut place);
            }
        }
        place
    }

    /// Takes the files that were replaced since they were last looked at: for each, its path, or why what was in force
    /// before stays in force. A file is judged once: one that cannot be used is an error only until it changes again.
    /// It reads and verifies files like [`Places::open`], so it must not be called where nothing may wait.
    pub fn reload_if_changed(&self) -> Vec<Result<&Path, PlacesError>> {
        self.databases
            .iter()
            .filter_map(|database| database.reload_if_changed().transpose())
            .collect()
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
        if std::fs::metadata(&self.path)
            .ok()
            .map(|metadata| Stamp::of(&metadata))
            == *seen
        {
            return Ok(None);
        }
        let (stamp, reader) = read(&self.path);
        *seen = stamp;
        self.reader.store(reader?.into());
        Ok(Some(&self.path))
    }

    /// Adds what the database knows. A record of another schema is none.
    fn tell(&self, ip: IpAddr, place: &mut Place) {
        let reader = self.reader.load();
        let record = reader
            .lookup(ip)
            .and_then(|found| found.decode::<Record<'_>>());
        if let Ok(Some(record)) = record {
            record.tell(place);
        }
    }
}

/// Reads and verifies a database. The stamp is of what was read, or else of what could not be.
fn read(path: &Path) -> (Option<Stamp>, Result<Reader<Vec<u8>>, PlacesError>) {
    let unreadable = |source| PlacesError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let corrupt = |source| PlacesError::Corrupt {
        path: path.to_owned(),
        source,
    };
    let stamp = std::fs::metadata(path)
        .ok()
        .map(|metadata| Stamp::of(&metadata));
    match read_bytes(path) {
        Err(error) => (stamp, Err(unreadable(error))),
        Ok((stamp, bytes)) => {
            let reader =
                Reader::from_source(bytes).and_then(|reader| reader.verify().map(|()| reader));
            (Some(stamp), reader.map_err(corrupt))
        }
    }
}

fn read_bytes(path: &Path) -> io::Result<(Stamp, Vec<u8>)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > DATABASE_BYTES_MAX {
        let problem = format!("not a file of at most {DATABASE_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
    }
    let mut bytes = Vec::new();
    file.take(metadata.len()).read_to_end(&mut bytes)?;
    Ok((Stamp::of(&metadata), bytes))
}

impl Stamp {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// What is read of a record, in the schema of GeoIP2: of a city's, a country's, a network's, or of all in one. Numbers
/// are of any width, for the writers of databases do not agree on it.
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
    fn tell(&self, place: &mut Place) {
        let operator = self.isp.or(self.autonomous_system_organization);
        let texts = [
            (&mut place.city, self.city.names.en),
            (
                &mut place.country,
                self.country.iso_code.filter(|code| is_country(code)),
            ),
            (&mut place.country_name, self.country.names.en),
            (&mut place.network_operator, operator),
        ];
        for (field, told) in texts {
            if let Some(told) = told {
                *field = tidy(told);
            }
        }
        place.coordinates = self.location.coordinates().or(place.coordinates);
        place.asn = self
            .autonomous_system_number
            .as_ref()
            .and_then(whole)
            .or(place.asn);
    }
}

impl Location {
    fn coordinates(&self) -> Option<Coordinates> {
        let latitude = self.latitude.as_ref().and_then(Number::as_f64)?;
        let longitude = self.longitude.as_ref().and_then(Number::as_f64)?;
        let on_earth = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
        let accuracy_km = self.accuracy_radius.as_ref().and_then(whole).unwrap_or(0);
        on_earth.then_some(Coordinates {
            latitude,
            longitude,
            accuracy_km,
        })
    }
}

fn whole<T: TryFrom<u64>>(number: &Number) -> Option<T> {
    number.as_u64().and_then(|number| T::try_from(number).ok())
}

/// Of the form of ISO 3166-1 alpha-2.
fn is_country(code: &str) -> bool {
    code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests;
