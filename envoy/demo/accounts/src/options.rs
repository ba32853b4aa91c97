//! The command line.

use std::net::SocketAddr;

use clap::Parser;
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

#[cfg(test)]
mod tests {
    use super::*;

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
