//! Whether an image of a registry may come in: a policy by registry and repository, and cosign's
//! signatures.
//!
//! The policy is containers' policy.json. What it demands and podvisor cannot check (GPG, keyless
//! signatures) is refused, never passed over. A signature counts when the key of the policy made it
//! over a payload with this image's digest and repository; signed may be the image's manifest or
//! the index it was chosen from, since each names the next by digest.

mod key;
mod policy;
mod signature;

use std::io::Read;
use std::path::Path;

use registry::{Document, Remote};

use crate::copy::{Referrer, referrers};
use crate::digest::Digest;
use crate::document::{self, Descriptor};
use crate::error::{Error, Result};
use crate::reference::Reference;
use key::Key;
pub use policy::Policy;
use policy::Requirement;

/// Signatures of one image that are looked at, and bytes of one payload.
const SIGNATURES_MAX: usize = 100;
const PAYLOAD_MAX: u64 = 1 << 20;

const ACCEPTS_NOTHING: &str = "the policy has an empty list for it, which accepts nothing";

const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const ARTIFACT: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";

/// A signature as it lies at the registry.
struct Signed {
    payload: Vec<u8>,
    /// base64
    signature: String,
}

/// Where an image lies that is read from files, as containers' tools call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// An OCI layout folder.
    Oci,
    /// The same in an archive.
    OciArchive,
    /// docker's archive.
    DockerArchive,
    /// skopeo's folder.
    Dir,
    /// The tar of a root file system.
    Tarball,
}

impl Transport {
    fn name(self) -> &'static str {
        match self {
            Transport::Oci => "oci",
            Transport::OciArchive => "oci-archive",
            Transport::DockerArchive => "docker-archive",
            Transport::Dir => "dir",
            Transport::Tarball => "tarball",
        }
    }
}

/// Decides about what lies in a file or folder; none for standard input. No signature comes along
/// with those: a demand for one refuses.
pub(crate) fn check_file(policy: &Policy, transport: Transport, path: Option<&Path>) -> Result<()> {
    let refuse = |problem: &str| Error::Untrusted {
        image: format!("{}:{}", transport.name(), path.map_or("-".into(), |p| p.to_string_lossy())),
        policy: policy.path().display().to_string(),
        problem: problem.to_owned(),
    };
    let requirements = policy.of_file(transport.name(), path);
    if requirements.is_empty() {
        return Err(refuse(ACCEPTS_NOTHING));
    }
    for requirement in requirements {
        match requirement {
            Requirement::Accept => {}
            Requirement::Reject => return Err(refuse("the policy rejects it")),
            Requirement::Signed { .. } | Requirement::Unknown(_) => {
                return Err(refuse("the policy demands a signature, and none comes with it"));
            }
        }
    }
    Ok(())
}

/// Decides about an image; `digests` are its manifest's, and the index's if it came of one.
pub(crate) fn check(
    policy: &Policy,
    remote: &Remote,
    reference: &Reference,
    digests: &[Digest],
) -> Result<()> {
    let refuse = |problem: String| Error::Untrusted {
        image: reference.to_string(),
        policy: policy.path().display().to_string(),
        problem,
    };
    let requirements = policy.requirements(reference);
    if requirements.is_empty() {
        return Err(refuse(ACCEPTS_NOTHING.into()));
    }
    let mut found: Option<Vec<Signed>> = None;
    for requirement in requirements {
        match requirement {
            Requirement::Accept => {}
            Requirement::Reject => return Err(refuse("the policy rejects it".into())),
            Requirement::Unknown(kind) => {
                return Err(refuse(format!("the policy demands {kind}, which is not supported")));
            }
            Requirement::Signed { keys, identity } => {
                let keys: Vec<Key> = keys
                    .iter()
                    .map(|k| k.read())
                    .collect::<std::result::Result<_, _>>()
                    .map_err(&refuse)?;
                if found.is_none() {
                    found = Some(signatures(remote, digests)?);
                }
                let all = found.as_deref().unwrap_or_default();
                if all.is_empty() {
                    return Err(refuse("it has no signature".into()));
                }
                let mut why = String::new();
                let good = all.iter().any(|one| {
                    let names = |named: &str| identity.allows(named, reference);
                    let checked = signature::check(one, &keys, digests, names);
                    checked.map_err(|problem| why = problem).is_ok()
                });
                if !good {
                    let count = all.len();
                    return Err(refuse(format!("none of its {count} signatures counts: {why}")));
                }
            }
        }
    }
    Ok(())
}

/// All signatures of some digests: under cosign's tags, and among the referrers.
fn signatures(remote: &Remote, digests: &[Digest]) -> Result<Vec<Signed>> {
    let mut all = Vec::new();
    for digest in digests {
        match remote.manifest(&format!("sha256-{}.sig", digest.hex())) {
            Ok(found) => take(remote, &found, &mut all)?,
            Err(registry::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        for Referrer { digest: one, artifact_type, .. } in referrers(remote, digest.as_str())? {
            if artifact_type == ARTIFACT && all.len() < SIGNATURES_MAX {
                take(remote, &remote.manifest(&one)?, &mut all)?;
            }
        }
    }
    Ok(all)
}

/// The signatures of one manifest; what is damaged is passed over, since it proves nothing.
fn take(remote: &Remote, found: &Document, all: &mut Vec<Signed>) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct Manifest {
        layers: Vec<Descriptor>,
    }
    let Ok(manifest) = document::parse::<Manifest>(&found.bytes) else { return Ok(()) };
    for layer in manifest.layers.iter().filter(|l| l.media_type == PAYLOAD) {
        let Some(signature) = layer.annotation(SIGNATURE) else { continue };
        if all.len() >= SIGNATURES_MAX || layer.size > PAYLOAD_MAX {
            continue;
        }
        let mut payload = Vec::new();
        let mut blob = remote.blob(layer.digest.as_str(), layer.size, 0);
        blob.open()?;
        let read = blob.read_to_end(&mut payload);
        if read.is_ok() && Digest::of(&payload) == layer.digest {
            all.push(Signed { payload, signature: signature.to_owned() });
        }
    }
    Ok(())
}
