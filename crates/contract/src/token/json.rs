//! JSON written from plain structs, and a pass that finds a member that stands twice.

use std::{collections::HashSet, fmt};

use serde::{
    Serialize,
    de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor},
};

pub(super) fn to_json(part: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(part).expect("plain structs serialize")
}

/// Returns whether JSON is an object, if it is JSON at all.
///
/// Typed parsing also takes an array of a struct's values in their order. Other readers refuse it (RFC 7515, section 4;
/// RFC 7519, section 7.2).
pub(super) fn is_object(json: &[u8]) -> bool {
    json.trim_ascii_start().first() == Some(&b'{')
}

/// Fails when any object, at any depth, has two members of the same name.
///
/// Typed parsing overlooks such a member, and two readers could disagree about which of the two counts (RFC 8725,
/// section 2.4; RFC 7519, section 4).
pub(super) fn reject_duplicate_members(bytes: &[u8]) -> Result<(), serde_json::Error> {
    let _unique: Unique = serde_json::from_slice(bytes)?;
    Ok(())
}

/// JSON of any form in which no object has two members of the same name.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate members")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique, A::Error> {
        // A set for each object: the same name in two objects is not a duplicate.
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("duplicate member"));
            }
            map.next_value::<Unique>()?;
        }
        Ok(Unique)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Unique, A::Error> {
        // The depth needs no bound of our own: the parser refuses what is nested too deeply.
        while seq.next_element::<Unique>()?.is_some() {}
        Ok(Unique)
    }

    // Scalars have no members. All of them are listed, because a visitor refuses a type that it does not name.
    fn visit_bool<E>(self, _: bool) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_str<E>(self, _: &str) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique)
    }
}
