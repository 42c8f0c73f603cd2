//! Making an image of one layer from the tar of a root file system.
//!
//! The tar is kept as it comes (plain, gzip or zstd) and is the layer's blob; its digest and the
//! diff_id are computed on the way. The image has no time of creation: the same tar and options
//! give the same digest.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::blobs::Blobs;
use crate::catalog;
use crate::compression::{Compression, Decoder};
use crate::digest::{Digest, Hasher};
use crate::document::{Descriptor, Manifest, OCI_CONFIG, OCI_MANIFEST};
use crate::error::{At, Error, Result};
use crate::fault::Fault;
use crate::load::{Found, Loaded, unknown};
use crate::progress::{Event, Progress};
use crate::reference::Reference;
use crate::store::Store;
use crate::trust::{self, Policy, Transport};

const READ_BYTES: usize = 256 << 10;
const REPORT_BYTES: u64 = 4 << 20;

/// The configuration of an imported image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Default arguments.
    pub cmd: Option<Vec<String>>,
    /// What the arguments are given to.
    pub entrypoint: Option<Vec<String>>,
    /// `NAME=value` each.
    pub env: Vec<String>,
    /// Where the process starts.
    pub workdir: Option<String>,
    /// `user`, `uid`, `user:group` and the like.
    pub user: Option<String>,
    /// Ports, `80/tcp` or `80`.
    pub expose: Vec<String>,
    /// Folders that are meant to be volumes.
    pub volumes: Vec<String>,
    /// Name or number.
    pub stop_signal: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// What is demanded of tars.
    pub policy: Policy,
}

impl Store {
    /// Makes an image called `reference` from a tar file; `-` is standard input.
    ///
    /// # Errors
    /// See [`Error`]: each names archive, layer and entry. The store is then as before.
    pub fn import(
        &self,
        tar: &Path,
        reference: &str,
        opts: &ImportOptions,
        progress: &mut dyn Progress,
    ) -> Result<Loaded> {
        let name: Reference = reference.parse()?;
        let result = self.import_leased(tar, name, opts, progress);
        let swept = self.sweep();
        let loaded = result?;
        swept?;
        Ok(loaded)
    }

    fn import_leased(
        &self,
        tar: &Path,
        name: Reference,
        opts: &ImportOptions,
        progress: &mut dyn Progress,
    ) -> Result<Loaded> {
        let stdin = tar == Path::new("-");
        trust::check_file(&opts.policy, Transport::Tarball, (!stdin).then_some(tar))?;
        let shown = if stdin { "standard input".to_owned() } else { tar.display().to_string() };
        let input: Box<dyn Read> = if stdin {
            Box::new(std::io::stdin())
        } else {
            let file = File::open(tar).at("opening", tar)?;
            if file.metadata().at("reading", tar)?.is_dir() {
                let found = "a folder; `import` takes its tar".into();
                return Err(Error::UnknownFormat { archive: shown, found });
            }
            Box::new(file)
        };
        let _lease = self.lease()?;
        let staging = self.staging()?;
        let mut blobs = Blobs::new(&staging, self.blobs(), shown);
        let (descriptor, diff_id) = layer(input, tar, &mut blobs, progress)?;
        let found = image(descriptor, &diff_id, opts, name, &mut blobs)?;
        let mut loaded = self.keep(&[found], &blobs, &staging, progress)?;
        loaded.pop().ok_or_else(|| blobs.wrong("image", "was not kept".into()))
    }
}

/// Takes the tar in as a blob; returns its descriptor and the digest of its plain bytes.
fn layer(
    mut input: Box<dyn Read>,
    path: &Path,
    blobs: &mut Blobs,
    progress: &mut dyn Progress,
) -> Result<(Descriptor, Digest)> {
    let mut first = Vec::new();
    (&mut input).take(4).read_to_end(&mut first).at("reading", path)?;
    if first.is_empty() {
        return Err(unknown(blobs, "it is empty"));
    }
    let compression = Compression::of(&first);
    let mut blob = blobs.begin(None)?;
    let mut source = Cursor::new(first).chain(input);
    let mut buffer = vec![0; READ_BYTES];
    let (mut bytes, mut told) = (0, 0);
    loop {
        let count = source.read(&mut buffer).at("reading", path)?;
        if count == 0 {
            break;
        }
        blob.write(&buffer[..count])?;
        bytes += count as u64;
        if bytes - told >= REPORT_BYTES {
            told = bytes;
            progress.on(&Event::Reading { bytes, total: None });
        }
    }
    let (digest, size) = blobs.end(blob, None, "layer 1")?;
    let descriptor = Descriptor::new(compression.media_type(), digest.clone(), size);
    if compression == Compression::None {
        return Ok((descriptor, digest));
    }
    let file = BufReader::with_capacity(READ_BYTES, blobs.open(&descriptor, "layer 1")?);
    let mut decoder = Decoder::new(file, compression).at("reading", path)?;
    let mut hasher = Hasher::default();
    loop {
        let count = decoder.read(&mut buffer).map_err(|e| damaged(blobs, e))?;
        if count == 0 {
            return Ok((descriptor, hasher.finish()));
        }
        hasher.update(&buffer[..count]);
    }
}

fn damaged(blobs: &Blobs, error: std::io::Error) -> Error {
    let archive = blobs.archive().to_owned();
    match Fault::reading(error) {
        Fault::Truncated => Error::Truncated { archive, entry: "its compressed data".into() },
        source => Error::BadArchive { archive, entry: "(all)".into(), source },
    }
}

fn image(
    layer: Descriptor,
    diff_id: &Digest,
    opts: &ImportOptions,
    name: Reference,
    blobs: &mut Blobs,
) -> Result<Found> {
    let config = json!({
        "architecture": oci::image::Arch::default().to_string(),
        "os": "linux",
        "config": run_config(opts),
        "rootfs": { "type": "layers", "diff_ids": [diff_id] },
        "history": [{ "created_by": "podvisor import" }],
    });
    let encode = |blobs: &Blobs, value: &Value| {
        serde_json::to_vec(value).map_err(|e| blobs.wrong("configuration", e.to_string()))
    };
    let config = encode(blobs, &config)?;
    let config_digest = blobs.put(&config)?;
    let described = Descriptor::new(OCI_CONFIG, config_digest, config.len() as u64);
    let manifest = Manifest::new(described, vec![layer]);
    let manifest = serde_json::to_value(manifest)
        .map_err(|e| blobs.wrong("manifest", e.to_string()))
        .and_then(|value| encode(blobs, &value))?;
    let digest = blobs.put(&manifest)?;
    let described = Descriptor::new(OCI_MANIFEST, digest, manifest.len() as u64);
    let image = catalog::join(&described, &manifest, &config)
        .map_err(|p| blobs.wrong("configuration", p))?;
    Ok(Found { image, manifest: described, names: vec![name] })
}

fn run_config(opts: &ImportOptions) -> Value {
    let mut config = Map::new();
    let mut set = |key: &str, value: Value| {
        config.insert(key.to_owned(), value);
    };
    let keys = |list: &[String]| -> Value {
        list.iter().map(|key| (key.clone(), json!({}))).collect::<Map<_, _>>().into()
    };
    if let Some(cmd) = &opts.cmd {
        set("Cmd", json!(cmd));
    }
    if let Some(entrypoint) = &opts.entrypoint {
        set("Entrypoint", json!(entrypoint));
    }
    if !opts.env.is_empty() {
        set("Env", json!(opts.env));
    }
    if let Some(workdir) = &opts.workdir {
        set("WorkingDir", json!(workdir));
    }
    if let Some(user) = &opts.user {
        set("User", json!(user));
    }
    if let Some(signal) = &opts.stop_signal {
        set("StopSignal", json!(signal));
    }
    if !opts.expose.is_empty() {
        let ports = opts.expose.iter();
        let with_protocol =
            |p: &String| if p.contains('/') { p.clone() } else { format!("{p}/tcp") };
        set("ExposedPorts", keys(&ports.map(with_protocol).collect::<Vec<_>>()));
    }
    if !opts.volumes.is_empty() {
        set("Volumes", keys(&opts.volumes));
    }
    if !opts.labels.is_empty() {
        set("Labels", json!(opts.labels));
    }
    config.into()
}
