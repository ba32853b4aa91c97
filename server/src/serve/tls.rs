//! TLS: certificate, key and authorities of clients, from files that may change.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ServerConfig, WebPkiClientVerifier};

use crate::options::TlsFiles;
use crate::reload::{self, Current, Files};

/// The configuration for the next handshake.
pub type TlsConfigs = Current<ServerConfig>;

/// Reads the files, and again when they change. A session of an earlier configuration cannot be resumed, so each new
/// connection is verified with the current authorities; an older connection ends with its next answer.
pub fn watch(paths: TlsFiles) -> Result<TlsConfigs, String> {
    reload::watch(move |files| config(&paths, files))
}

fn config(paths: &TlsFiles, files: &mut Files) -> Result<ServerConfig, String> {
    let provider = Arc::new(default_provider());
    let chain = certificates("--tls-cert", &paths.cert, files)?;
    let key = PrivateKeyDer::from_pem_slice(&files.read(&paths.key).map_err(|error| format!("--tls-key: {error}"))?)
        .map_err(|error| format!("--tls-key: {} is no private key in PEM: {error}", paths.key.display()))?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("cannot use TLS: {error}"))?;
    let builder = match &paths.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates("--client-ca", path, files)? {
                roots
                    .add(certificate)
                    .map_err(|error| format!("--client-ca: {} has an invalid certificate: {error}", path.display()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| format!("--client-ca: {}: {error}", path.display()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| {
        format!("--tls-cert and --tls-key: {} and {}: {error}", paths.cert.display(), paths.key.display())
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(flag: &str, path: &Path, files: &mut Files) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = files.read(path).map_err(|error| format!("{flag}: {error}"))?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("{flag}: {} is not PEM: {error}", path.display()))?;
    if found.is_empty() {
        return Err(format!("{flag}: {} has no certificate; expected one or more in PEM", path.display()));
    }
    Ok(found)
}
