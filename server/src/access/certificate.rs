//! The names in a client's certificate.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// A subject alternative name. The kind counts: an authority may let everybody choose one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateName {
    Dns(String),
    Uri(String),
}

impl CertificateName {
    /// A URI has a colon, a DNS name has none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) || text.contains('*') {
            return None;
        }
        Some(if text.contains(':') { Self::Uri(text.to_owned()) } else { Self::Dns(text.to_owned()) })
    }
}

/// The certificate of the client of this connection, which was verified. It is an extension of each request.
#[derive(Debug, Clone)]
pub struct ClientCertificate(Arc<[CertificateName]>);

impl ClientCertificate {
    /// A certificate that cannot be read has no names.
    pub fn from_verified(certificate: &CertificateDer<'_>) -> Self {
        let Ok(parsed) = EndEntityCert::try_from(certificate) else {
            return Self(Arc::new([]));
        };
        let dns = parsed.valid_dns_names().map(|name| CertificateName::Dns(name.to_owned()));
        let uris = parsed.valid_uri_names().map(|name| CertificateName::Uri(name.to_owned()));
        Self(dns.chain(uris).collect())
    }

    pub(super) fn has(&self, name: &CertificateName) -> bool {
        self.0.contains(name)
    }
}
