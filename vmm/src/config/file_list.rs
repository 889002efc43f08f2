//! Files in a machine's file: one name, or an array of names.

use std::fmt;
use std::path::PathBuf;

use serde::de::{Error, SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserializer, Serialize, Serializer};

pub fn serialize<S: Serializer>(files: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
    if let [file] = files {
        return file.serialize(serializer);
    }
    let mut names = serializer.serialize_seq(Some(files.len()))?;
    files.iter().try_for_each(|file| names.serialize_element(file))?;
    names.end()
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
    deserializer.deserialize_any(Names)
}

struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = Vec<PathBuf>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a string or an array of strings")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(vec![PathBuf::from(name)])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Self::Value, A::Error> {
        let mut files = Vec::new();
        while let Some(name) = names.next_element()? {
            files.push(name);
        }
        Ok(files)
    }
}
