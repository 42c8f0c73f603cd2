//! Whom TLS trusts: the system's authorities, and what lies in `certs.d` for one registry.
//!
//! As docker and podman have it: below `certs.d/HOST[:PORT]/`, every `*.crt` is an authority,
//! `NAME.cert` with `NAME.key` is our own certificate, shown to that host alone. Read per host,
//! when the first connection is made.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use crate::error::{Error, Result};

/// The folders that are looked into.
pub const FOLDERS: [&str; 3] =
    ["/etc/podvisor/certs.d", "/etc/containers/certs.d", "/etc/docker/certs.d"];

/// Where distributions keep the bundle of authorities; the first that exists is read.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// What TLS to a host is to check, whose certificates lie in `folders`.
pub(crate) fn config(folders: &[PathBuf], insecure: bool) -> Result<TlsConfig> {
    let mut roots = Vec::new();
    let mut client = None;
    let bundle = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let bundle = bundle.or_else(|| BUNDLES.iter().map(PathBuf::from).find(|p| p.is_file()));
    if let Some(path) = bundle.filter(|_| !insecure) {
        roots.extend(certificates(&path)?);
    }
    for folder in folders {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        for path in entries.flatten().map(|e| e.path()) {
            match path.extension().and_then(OsStr::to_str) {
                Some("crt") => roots.extend(certificates(&path)?),
                Some("cert") if client.is_none() => {
                    let key = private_key(&path.with_extension("key"))?;
                    client = Some(ClientCert::new_with_certs(&certificates(&path)?, key));
                }
                _ => {}
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&roots))
        .client_cert(client)
        .disable_verification(insecure)
        .unversioned_rustls_crypto_provider(provider)
        .build())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|source| Error::Io {
        action: "reading",
        path: path.display().to_string(),
        source,
    })
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>> {
    let mut found = Vec::new();
    for item in parse_pem(&read(path)?) {
        match item {
            Ok(PemItem::Certificate(certificate)) => found.push(certificate),
            Ok(_) => {}
            Err(e) => {
                return Err(Error::File {
                    path: path.display().to_string(),
                    problem: format!("is no PEM file: {e}"),
                });
            }
        }
    }
    if found.is_empty() {
        let problem = "holds no certificate in PEM form".into();
        return Err(Error::File { path: path.display().to_string(), problem });
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKey<'static>> {
    PrivateKey::from_pem(&read(path)?).map_err(|e| Error::File {
        path: path.display().to_string(),
        problem: format!("holds no private key in PEM form: {e}"),
    })
}
