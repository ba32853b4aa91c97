//! The callers: how each is known, and what it may do.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use axum::http::Request;
use serde::Deserialize;

use super::Refusal;
use super::certificate::{CertificateName, ClientCertificate};
use super::secret::Secret;
use super::target::{Target, Verb};
use crate::params::App;
use crate::reload::{self, Current, Files};

/// The files that say who may call.
#[derive(Debug, Clone)]
pub struct AccessFiles {
    pub secret_file: Option<PathBuf>,
    pub access_file: Option<PathBuf>,
    /// Whether clients have certificates.
    pub has_client_ca: bool,
}

/// Everybody who may call.
#[derive(Debug)]
pub struct Callers(Vec<Caller>);

#[derive(Debug)]
struct Caller {
    proof: Proof,
    /// `None` is all.
    apps: Option<Vec<String>>,
    /// `None` is all.
    verbs: Option<Vec<Verb>>,
}

/// How a caller is known.
#[derive(Debug)]
enum Proof {
    Secret(Vec<Secret>),
    Certificate(CertificateName),
}

impl Callers {
    /// Reads the files, and again when they change. `None` if there are none: then everybody may call.
    pub fn watch(from: AccessFiles) -> Result<Option<Current<Self>>, String> {
        if from.secret_file.is_none() && from.access_file.is_none() {
            return Ok(None);
        }
        reload::watch(move |files| Self::read(&from, files)).map(Some)
    }

    fn read(from: &AccessFiles, files: &mut Files) -> Result<Self, String> {
        let mut callers = Vec::new();
        if let Some(path) = &from.secret_file {
            let secrets = Secret::read(path, files).map_err(|error| format!("--secret-file: {error}"))?;
            callers.push(Caller { proof: Proof::Secret(secrets), apps: None, verbs: None });
        }
        if let Some(path) = &from.access_file {
            let problem = |error| format!("--access-file: {}: {error}", path.display());
            let text = String::from_utf8(files.read(path).map_err(|error| format!("--access-file: {error}"))?)
                .map_err(|_| problem("it is not UTF-8".to_owned()))?;
            let parsed = parse(&text).map_err(problem)?;
            let folder = path.parent().unwrap_or(Path::new(""));
            let mut names = HashSet::new();
            for raw in parsed {
                let name = raw.name.clone();
                let problem = |error| problem(format!("caller {name:?}: {error}"));
                if !names.insert(name.clone()) {
                    return Err(problem("there are two of this name".to_owned()));
                }
                callers.push(raw.resolve(folder, from.has_client_ca, files).map_err(problem)?);
            }
        }
        Ok(Self(callers))
    }

    /// A request needs a caller that is known by its secret or certificate, and one of those has to be permitted what
    /// it asks for. Every caller is compared, so that the time tells nothing of the others.
    pub fn check<B>(&self, request: &Request<B>, target: &Target<'_>) -> Result<(), Refusal> {
        let secret = Secret::of_request(request.headers());
        let certificate = request.extensions().get::<ClientCertificate>();
        let (mut known, mut permitted) = (false, false);
        for caller in &self.0 {
            let is_this = match &caller.proof {
                Proof::Secret(secrets) => {
                    let equal = |secret: &Secret| secrets.iter().fold(false, |any, own| any | own.equals(secret));
                    secret.as_ref().is_some_and(equal)
                }
                Proof::Certificate(name) => certificate.is_some_and(|certificate| certificate.has(name)),
            };
            known |= is_this;
            permitted |= is_this && caller.may(target);
        }
        match (known, permitted) {
            (true, true) => Ok(()),
            (true, false) => Err(Refusal::Forbidden),
            (false, _) => Err(Refusal::Unauthorized),
        }
    }
}

impl Caller {
    fn may(&self, target: &Target<'_>) -> bool {
        match target {
            Target::Health | Target::Metrics => true,
            Target::Endpoint { app, verb } => {
                self.apps.as_ref().is_none_or(|apps| apps.iter().any(|permitted| permitted == app))
                    && self.verbs.as_ref().is_none_or(|verbs| verbs.contains(verb))
            }
            Target::Other => self.apps.is_none() && self.verbs.is_none(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    caller: Vec<RawCaller>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCaller {
    name: String,
    secret_file: Option<PathBuf>,
    certificate: Option<String>,
    apps: Option<Vec<String>>,
    verbs: Option<Vec<Verb>>,
}

fn parse(text: &str) -> Result<Vec<RawCaller>, String> {
    let file: RawFile = toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let message: Vec<&str> = error.message().lines().collect();
        format!("line {line}: {}", message.join("; "))
    })?;
    if file.caller.is_empty() {
        return Err("there is no caller; expected at least one [[caller]]".to_owned());
    }
    Ok(file.caller)
}

impl RawCaller {
    /// `folder` is the one of the access file, where relative paths start.
    fn resolve(self, folder: &Path, has_client_ca: bool, files: &mut Files) -> Result<Caller, String> {
        let proof = match (self.secret_file, self.certificate) {
            (Some(path), None) => {
                let secrets = Secret::read(&folder.join(path), files);
                Proof::Secret(secrets.map_err(|error| format!("secret_file: {error}"))?)
            }
            (None, Some(_)) if !has_client_ca => return Err("certificate needs --client-ca".to_owned()),
            (None, Some(name)) => Proof::Certificate(CertificateName::parse(&name).ok_or_else(|| {
                format!("certificate: {name:?} is no name; expected a DNS name or a URI of a certificate, without *")
            })?),
            (Some(_), Some(_)) => return Err("it has secret_file and certificate; expected one of them".to_owned()),
            (None, None) => return Err("it has neither secret_file nor certificate; expected one of them".to_owned()),
        };
        for (key, is_empty) in [
            ("apps", self.apps.as_ref().is_some_and(Vec::is_empty)),
            ("verbs", self.verbs.as_ref().is_some_and(Vec::is_empty)),
        ] {
            if is_empty {
                return Err(format!("{key} is empty; expected at least one, or no {key} for all"));
            }
        }
        if let Some(bad) = self.apps.iter().flatten().find(|app| App::parse(app).is_err()) {
            return Err(format!("apps: {bad:?} is no app; expected 3 to 20 letters, digits, _ and -"));
        }
        Ok(Caller { proof, apps: self.apps, verbs: self.verbs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn refusal(access: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("secret"), "0123456789abcdef").unwrap();
        fs::write(folder.path().join("short"), "0123").unwrap();
        let path = folder.path().join("access.toml");
        fs::write(&path, access).unwrap();
        let from = AccessFiles { secret_file: None, access_file: Some(path), has_client_ca: false };
        let error = Callers::read(&from, &mut Files::default()).unwrap_err();
        error.replace(&format!("{}/", folder.path().display()), "")
    }

    #[test]
    fn an_error_names_the_file_the_line_or_caller_and_what_is_expected() {
        for (access, expected) in [
            ("", "--access-file: access.toml: line 1: missing field `caller`"),
            ("caller = []", "--access-file: access.toml: there is no caller; expected at least one [[caller]]"),
            ("[[caller]]\nname = ", "line 2: "),
            ("[[caller]]\nname = \"a\"\nsecret = \"x\"", "line 3: unknown field `secret`, expected one of `name`, "),
            ("[[callers]]\nname = \"a\"", "line 1: unknown field `callers`, expected `caller`"),
            ("[[caller]]\nsecret_file = \"secret\"", "line 1: missing field `name`"),
            (
                "[[caller]]\nname = \"a\"\nsecret_file = \"secret\"\nverbs = [\"get\", \"read\"]",
                "line 4: unknown variant `read`, expected one of `create`, `get`, ",
            ),
            (
                "[[caller]]\nname = \"a\"",
                r#"access.toml: caller "a": it has neither secret_file nor certificate; expected"#,
            ),
            (
                "[[caller]]\nname = \"a\"\nsecret_file = \"secret\"\ncertificate = \"b\"",
                r#"caller "a": it has secret_file and certificate; expected one of them"#,
            ),
            ("[[caller]]\nname = \"a\"\ncertificate = \"b\"", r#"caller "a": certificate needs --client-ca"#),
            (
                "[[caller]]\nname = \"a\"\nsecret_file = \"none\"",
                r#"caller "a": secret_file: none cannot be read: No such file"#,
            ),
            (
                "[[caller]]\nname = \"a\"\nsecret_file = \"short\"",
                r#"caller "a": secret_file: short line 1 has 4 bytes; expected 16 to 256"#,
            ),
            ("[[caller]]\nname = \"a\"\nsecret_file = \"secret\"\napps = []", r#"caller "a": apps is empty; expected"#),
            (
                "[[caller]]\nname = \"a\"\nsecret_file = \"secret\"\nverbs = []",
                r#"caller "a": verbs is empty; expected"#,
            ),
            (
                "[[caller]]\nname = \"a\"\nsecret_file = \"secret\"\napps = [\"my app\"]",
                r#"caller "a": apps: "my app" is no app; expected 3 to 20 letters"#,
            ),
            (
                "[[caller]]\nname = \"a\"\nsecret_file = \"secret\"\n[[caller]]\nname = \"a\"\nsecret_file = \"secret\"",
                r#"caller "a": there are two of this name"#,
            ),
        ] {
            let error = refusal(access);
            assert!(error.starts_with("--access-file: access.toml: ") && error.contains(expected), "{access}: {error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}
