//! Who may call.

mod certificate;
mod host;

pub use self::certificate::{CertificateName, ClientCertificate};
pub use self::host::{AllowedHosts, HostPattern};
