//! `set-cookie`: deleting a cookie, which takes the name, domain and path that it was set with (RFC 6265, section 5.3,
//! step 11).

/// The cookie attribute `SameSite` (RFC 6265bis, section 4.1.2.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SameSite {
    /// Browsers send the cookie with requests from the same site only.
    Strict,
    /// Browsers also send the cookie with top-level navigations from other sites that have a safe method.
    #[default]
    Lax,
    /// Browsers send the cookie with all requests. They refuse this value without `Secure`.
    None,
}

impl SameSite {
    fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Lax => "Lax",
            Self::None => "None",
        }
    }
}

/// The attributes with which a session's cookie is set and deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// `Path`, which starts with `/`.
    pub path: String,
    /// `Domain`. `None`: the cookie belongs to the host alone.
    pub domain: Option<String>,
    /// `Secure`.
    pub secure: bool,
    /// `HttpOnly`.
    pub http_only: bool,
    /// `SameSite`.
    pub same_site: SameSite,
    /// `Partitioned`: the cookie belongs to the site of the address bar too (CHIPS). A deletion without it leaves the
    /// cookie.
    pub partitioned: bool,
}

impl Attributes {
    /// The value of `set-cookie` that deletes the cookie of this name.
    #[must_use]
    pub fn deletion(&self, name: &str) -> String {
        let mut value = format!("{name}=; Max-Age=0; Path={}", self.path);
        if let Some(domain) = &self.domain {
            value.push_str("; Domain=");
            value.push_str(domain);
        }
        if self.secure {
            value.push_str("; Secure");
        }
        if self.http_only {
            value.push_str("; HttpOnly");
        }
        value.push_str("; SameSite=");
        value.push_str(self.same_site.as_str());
        if self.partitioned {
            value.push_str("; Partitioned");
        }
        value
    }

    /// Why browsers reject a cookie of this name with these attributes, and so its deletion (RFC 6265bis, section 4.1.3).
    /// `None` if they accept it.
    #[must_use]
    pub fn rejection(&self, name: &str) -> Option<&'static str> {
        let starts = |prefix: &str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        if self.same_site == SameSite::None && !self.secure {
            Some("browsers refuse SameSite=None without secure")
        } else if self.partitioned && !self.secure {
            Some("browsers refuse Partitioned without secure")
        } else if starts("__Host-") && !(self.secure && self.path == "/" && self.domain.is_none()) {
            Some("browsers take a cookie named __Host-… only with secure, path \"/\" and no domain")
        } else if starts("__Secure-") && !self.secure {
            Some("browsers take a cookie named __Secure-… only with secure")
        } else {
            None
        }
    }
}

/// The name of the cookie that a value of `set-cookie` sets (RFC 6265, section 5.2). Empty without a `=`.
#[must_use]
pub fn name(value: &[u8]) -> &[u8] {
    let pair = value.split(|byte| *byte == b';').next().unwrap_or_default();
    match pair.iter().position(|byte| *byte == b'=') {
        Some(end) => pair.get(..end).unwrap_or_default().trim_ascii(),
        None => b"",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Attributes {
        Attributes {
            path: "/".to_owned(),
            domain: None,
            secure: true,
            http_only: true,
            same_site: SameSite::Lax,
            partitioned: false,
        }
    }

    #[test]
    fn a_deletion_has_the_attributes_of_the_cookie() {
        let other = Attributes {
            path: "/app".to_owned(),
            domain: Some("example.com".to_owned()),
            secure: false,
            http_only: false,
            same_site: SameSite::Strict,
            partitioned: false,
        };
        let embedded = Attributes { same_site: SameSite::None, partitioned: true, ..plain() };
        for (attributes, rest) in [
            (plain(), "Path=/; Secure; HttpOnly; SameSite=Lax"),
            (other, "Path=/app; Domain=example.com; SameSite=Strict"),
            (embedded, "Path=/; Secure; HttpOnly; SameSite=None; Partitioned"),
        ] {
            assert_eq!(attributes.deletion("sid"), format!("sid=; Max-Age=0; {rest}"));
        }
    }

    #[test]
    fn cookies_that_browsers_reject_are_known() {
        let plain = plain();
        let open = Attributes { secure: false, ..plain.clone() };
        let deep = Attributes { path: "/a".to_owned(), ..plain.clone() };
        let wide = Attributes { domain: Some("example.com".to_owned()), ..plain.clone() };
        let anywhere = Attributes { same_site: SameSite::None, ..open.clone() };
        let partitioned = Attributes { partitioned: true, ..plain.clone() };
        let partitioned_open = Attributes { partitioned: true, ..open.clone() };
        for (attributes, name, fine) in [
            (&plain, "sid", true),
            (&plain, "__Host-sid", true),
            (&plain, "__secure-sid", true),
            (&open, "sid", true),
            (&open, "__Secure-sid", false),
            (&open, "__host-sid", false),
            (&deep, "__Host-sid", false),
            (&deep, "__Secure-sid", true),
            (&wide, "__Host-sid", false),
            (&wide, "sid", true),
            (&anywhere, "sid", false),
            (&partitioned, "sid", true),
            (&partitioned, "__Host-sid", true),
            (&partitioned_open, "sid", false),
        ] {
            assert_eq!(attributes.rejection(name).is_none(), fine, "{attributes:?} {name}");
        }
    }
}
