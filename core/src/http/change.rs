//! Header mutations as values: the caller applies them to the host's header map.

use super::bytes::Bytes;

/// One mutation of a header map. Names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderChange {
    /// Removes all headers of this name.
    Remove(Bytes),
    /// Appends a header with this name and value.
    Add(Bytes, Bytes),
    /// Replaces all headers of this name with one of this value.
    Replace(Bytes, Bytes),
}

impl HeaderChange {
    /// Pushes the changes that leave exactly these values under a name, one header for each value.
    pub fn replace_all<'a>(name: &Bytes, values: impl IntoIterator<Item = &'a [u8]>, changes: &mut Vec<Self>) {
        changes.push(Self::Remove(name.clone()));
        changes.extend(values.into_iter().map(|value| Self::Add(name.clone(), value.to_vec().into())));
    }

    /// Applies the change to a list of pairs, as Envoy applies it to its header map.
    pub fn apply(self, pairs: &mut Vec<(Vec<u8>, Vec<u8>)>) {
        match self {
            Self::Remove(name) => pairs.retain(|(other, _)| *other != *name),
            Self::Add(name, value) => pairs.push((name.to_vec(), value.to_vec())),
            Self::Replace(name, value) => {
                pairs.retain(|(other, _)| *other != *name);
                pairs.push((name.to_vec(), value.to_vec()));
            }
        }
    }
}
