//! Values that are read from files, and read again when the files change.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use tokio::sync::watch;

const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Time for a writer to finish the file. A truncated file can still be valid.
const SETTLE_TIME: Duration = Duration::from_millis(200);
const MAX_FILE: u64 = 1 << 20;

/// The files that a value was read from, and what they contained.
#[derive(Default)]
pub struct Files(Vec<(PathBuf, Option<Vec<u8>>)>);

impl Files {
    /// Reads a whole file. The error names it.
    pub fn read(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        let content = read(path);
        self.0.push((path.to_owned(), content.as_ref().ok().cloned()));
        content.map_err(|error| format!("{} cannot be read: {error}", path.display()))
    }

    fn changed(&self) -> bool {
        self.0.iter().any(|(path, known)| read(path).ok() != *known)
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut content)?;
    if u64::try_from(content.len()).is_ok_and(|length| length <= MAX_FILE) {
        Ok(content)
    } else {
        Err(io::Error::other(format!("it is larger than {MAX_FILE} bytes")))
    }
}

/// The latest valid value.
pub type Current<T> = watch::Receiver<Arc<T>>;

/// Calls `load`, and again whenever one of the files that it read has changed. If it fails then, the error is logged and
/// the value stays.
pub fn watch<T, F>(load: F) -> Result<Current<T>, String>
where
    T: Send + Sync + 'static,
    F: Fn(&mut Files) -> Result<T, String> + Send + 'static,
{
    let mut files = Files::default();
    let (sender, receiver) = watch::channel(Arc::new(load(&mut files)?));
    // A thread, because a file on a network may block its reader.
    let polling = thread::Builder::new().name("reload".to_owned()).spawn(move || {
        while !sender.is_closed() {
            thread::sleep(POLL_INTERVAL);
            if files.changed() {
                files = reload(&load, &sender);
            }
        }
    });
    polling.map_err(|error| format!("cannot start a thread: {error}"))?;
    Ok(receiver)
}

fn reload<T>(load: impl Fn(&mut Files) -> Result<T, String>, sender: &watch::Sender<Arc<T>>) -> Files {
    loop {
        let mut files = Files::default();
        let loaded = load(&mut files);
        thread::sleep(SETTLE_TIME);
        if files.changed() {
            continue;
        }
        match loaded {
            Ok(value) => {
                sender.send_replace(Arc::new(value));
                tracing::info!(files = %names(&files), "changed files are in use");
            }
            Err(error) => tracing::error!(%error, "a changed file is not used; what it contained before stays in use"),
        }
        return files;
    }
}

fn names(files: &Files) -> String {
    let names: Vec<String> = files.0.iter().map(|(path, _)| path.display().to_string()).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use test_support::wait::{until_equal, until_true};

    fn number(files: &mut Files, path: &Path) -> Result<u32, String> {
        let text = String::from_utf8(files.read(path)?).unwrap();
        text.parse().map_err(|_| format!("{}: {text:?} is no number", path.display()))
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_bad_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        fs::write(&path, "1").unwrap();
        let failures = Arc::new(AtomicU32::new(0));
        let current = watch({
            let (path, failures) = (path.clone(), Arc::clone(&failures));
            move |files| number(files, &path).inspect_err(|_| _ = failures.fetch_add(1, Ordering::SeqCst))
        })
        .unwrap();
        fs::write(&path, "2").unwrap();
        until_equal("the new number", &2, || **current.borrow());
        for (mistake, failed) in [(Some("x"), 1), (None, 2)] {
            match mistake {
                Some(content) => fs::write(&path, content).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            until_true("the mistake is read", || failures.load(Ordering::SeqCst) >= failed);
            assert_eq!(**current.borrow(), 2);
        }
        fs::write(&path, "3").unwrap();
        until_equal("the number after the mistake", &3, || **current.borrow());
    }

    #[test]
    fn the_files_that_the_value_is_made_of_may_change() {
        let folder = tempfile::tempdir().unwrap();
        let (index, target) = (folder.path().join("index"), folder.path().join("target"));
        fs::write(&index, "target").unwrap();
        fs::write(&target, "1").unwrap();
        let base = folder.path().to_owned();
        let current = watch(move |files| {
            let name = String::from_utf8(files.read(&base.join("index"))?).unwrap();
            number(files, &base.join(name))
        })
        .unwrap();
        fs::write(folder.path().join("other"), "5").unwrap();
        fs::write(&index, "other").unwrap();
        until_true("the other file is read", || **current.borrow() == 5);
        fs::write(folder.path().join("other"), "6").unwrap();
        until_true("the other file is watched", || **current.borrow() == 6);
    }

    #[test]
    fn a_file_that_is_missing_or_too_large_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large");
        let load = |path: PathBuf| watch(move |files| number(files, &path)).unwrap_err();
        assert!(load(path.clone()).contains("large cannot be read: No such file"));
        fs::write(&path, vec![b'1'; (1 << 20) + 1]).unwrap();
        assert!(load(path).ends_with("large cannot be read: it is larger than 1048576 bytes"));
    }
}
