//! The command line.

use std::fs;
use std::net::SocketAddr;

use clap::Parser;
use reqwest::header::HeaderValue;
use url::Url;

use crate::return_to::Origin;

/// The login of the demo: has two users, and creates their sessions at rest-sessions
#[derive(Parser)]
#[command(version, max_term_width = 100)]
pub struct Options {
    /// Address and port to listen on
    #[arg(long, default_value = "127.0.0.1:8081", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,

    /// URL of rest-sessions, without /{app}/create/…
    #[arg(long, default_value = "http://127.0.0.1:3000", value_name = "URL", value_parser = sessions_url)]
    pub sessions: Url,

    /// File with the secret of rest-sessions in its first line
    #[arg(long, value_name = "FILE", value_parser = authorization)]
    pub sessions_secret_file: Option<HeaderValue>,

    /// The app of the sessions, as in the filter's configuration
    #[arg(long, default_value = "mywebapp", value_name = "APP")]
    pub app: String,

    /// An origin that a login may return to; may be repeated. Paths of its own host are always allowed
    #[arg(long, value_name = "ORIGIN")]
    pub return_to: Vec<Origin>,
}

fn sessions_url(text: &str) -> Result<Url, String> {
    let expected = "expected an http URL with a host, such as http://127.0.0.1:3000";
    match Url::parse(text) {
        Ok(url) if url.scheme() == "http" && url.query().is_none() && url.fragment().is_none() => Ok(url),
        Ok(_) => Err(expected.to_owned()),
        Err(problem) => Err(format!("{problem}; {expected}")),
    }
}

/// The header `authorization` with the secret in a file. rest-sessions takes the secrets of up to two lines, the first of
/// which is the new one during a rotation.
fn authorization(file: &str) -> Result<HeaderValue, String> {
    let text = fs::read_to_string(file).map_err(|problem| problem.to_string())?;
    let secret = text.lines().next().unwrap_or_default();
    let visible = !secret.is_empty() && secret.bytes().all(|byte| byte.is_ascii_graphic());
    let header = HeaderValue::try_from(format!("Bearer {secret}")).ok().filter(|_| visible);
    let mut header = header.ok_or("expected the secret in the first line, in visible ASCII characters")?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn with_secret_file(path: &Path) -> Result<Options, String> {
        let arguments = [Path::new("accounts"), Path::new("--sessions-secret-file"), path];
        Options::try_parse_from(arguments).map_err(|problem| problem.to_string())
    }

    #[test]
    fn the_secret_is_the_first_line_of_its_file_and_debug_output_hides_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, "s3cret-of-the-demo\nthe-one-before\n").unwrap();
        let header = with_secret_file(file.path()).ok().unwrap().sessions_secret_file.unwrap();
        assert_eq!(header, "Bearer s3cret-of-the-demo");
        assert_eq!(format!("{header:?}"), "Sensitive");
    }

    #[test]
    fn a_secret_file_that_is_missing_empty_or_binary_is_refused_without_its_content() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for content in ["", "\ns3cret", "s3cret with spaces", "s3cret-\u{e9}"] {
            fs::write(&file, content).unwrap();
            let refused = with_secret_file(file.path()).err().unwrap();
            assert!(refused.contains("expected the secret in the first line"), "{refused}");
            assert!(!refused.contains("s3cret"), "{refused}");
        }
        let refused = with_secret_file(Path::new("/no/such/file")).err().unwrap();
        assert!(refused.contains("/no/such/file") && refused.contains("No such file"), "{refused}");
    }

    #[test]
    fn return_to_may_be_repeated() {
        let options = Options::parse_from(["accounts", "--return-to", "http://a", "--return-to", "https://b:1"]);
        assert_eq!(options.return_to.iter().map(Origin::serialized).collect::<Vec<_>>(), ["http://a", "https://b:1"]);
    }

    #[test]
    fn an_invalid_option_is_refused_with_what_is_expected() {
        for (option, found, expected) in [
            ("--return-to", "localhost", "expected http or https, a host and an optional port"),
            ("--sessions", "https://h", "expected an http URL with a host"),
            ("--sessions", "127.0.0.1:3000", "expected an http URL with a host"),
        ] {
            let refused = Options::try_parse_from(["accounts", option, found]).err().unwrap().to_string();
            assert!(refused.contains(expected) && refused.contains(found), "{refused}");
        }
    }
}
