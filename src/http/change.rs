//! A change to a header map, as a value.

/// What is to be done with the headers of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderChange {
    /// All of them go.
    Remove(Vec<u8>),
    /// One more is put after them.
    Add(Vec<u8>, Vec<u8>),
    /// This one stands instead of them.
    Replace(Vec<u8>, Vec<u8>),
}

impl HeaderChange {
    /// Leaves exactly these values under a name, each in a line of its own.
    pub fn replace_all<'a>(name: &[u8], values: impl IntoIterator<Item = &'a [u8]>, changes: &mut Vec<Self>) {
        changes.push(Self::Remove(name.to_vec()));
        changes.extend(values.into_iter().map(|value| Self::Add(name.to_vec(), value.to_vec())));
    }

    /// What the host does with the change.
    #[cfg(test)]
    pub fn apply(self, pairs: &mut Vec<(Vec<u8>, Vec<u8>)>) {
        match self {
            Self::Remove(name) => pairs.retain(|(other, _)| *other != name),
            Self::Add(name, value) => pairs.push((name, value)),
            Self::Replace(name, value) => {
                pairs.retain(|(other, _)| *other != name);
                pairs.push((name, value));
            }
        }
    }
}
