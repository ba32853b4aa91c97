//! A change to a header map, as a value.

use super::bytes::Bytes;

/// What is to be done with the headers of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderChange {
    /// All of them go.
    Remove(Bytes),
    /// One more is put after them.
    Add(Bytes, Bytes),
    /// This one stands instead of them.
    Replace(Bytes, Bytes),
}

impl HeaderChange {
    /// Leaves exactly these values under a name, each in a line of its own.
    pub fn replace_all<'a>(name: &Bytes, values: impl IntoIterator<Item = &'a [u8]>, changes: &mut Vec<Self>) {
        changes.push(Self::Remove(name.clone()));
        changes.extend(values.into_iter().map(|value| Self::Add(name.clone(), value.to_vec().into())));
    }

    /// What the host does with the change.
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
