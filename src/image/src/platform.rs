//! Which of an index's images is for a machine (image-spec, image-index.md). Pure.
//!
//! System and architecture must be the same. Of several that fit, the variant decides: the wanted
//! one, else one without a variant, else the newest older one that the machine can run.

use std::fmt;
use std::str::FromStr;

use crate::document::{self, Descriptor};
use crate::error::Error;

/// A machine: `linux/arm64/v8`, in Go's words, which OCI uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
    /// Of Windows images; `os(version)/architecture`.
    os_version: Option<String>,
}

impl Platform {
    /// This machine.
    #[must_use]
    pub fn host() -> Platform {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", None),
            "aarch64" => ("arm64", Some("v8")),
            "arm" => ("arm", Some("v7")),
            "x86" => ("386", None),
            "powerpc64" => ("ppc64le", None),
            other => (other, None),
        };
        Platform {
            os: "linux".into(),
            architecture: architecture.into(),
            variant: variant.map(str::to_owned),
            os_version: None,
        }
    }

    /// How well an image for `other` runs here; `None`: not at all, least is best.
    fn fit(&self, other: &document::Platform) -> Option<u32> {
        let architecture = match other.architecture.as_str() {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            name => name,
        };
        if other.os != self.os || architecture != self.architecture {
            return None;
        }
        if let Some(version) = &self.os_version
            && !other.os_version.as_ref().is_some_and(|v| v.starts_with(version.as_str()))
        {
            return None;
        }
        let usual = if architecture == "arm64" { Some("v8") } else { None };
        let theirs = other.variant.as_deref().or(usual);
        let ours = self.variant.as_deref().or(usual);
        match (level(ours), level(theirs)) {
            _ if ours == theirs => Some(0),
            (_, None) if theirs.is_none() => Some(1),
            // Nothing is said about this machine: what needs least runs most likely.
            (None, Some(theirs)) if ours.is_none() => Some(2 + theirs),
            (Some(ours), Some(theirs)) if theirs < ours => Some(2 + ours - theirs),
            _ => None,
        }
    }

    /// The entry of an index that is for this machine.
    pub(crate) fn choose<'a>(&self, entries: &'a [Descriptor]) -> Option<&'a Descriptor> {
        let usable = entries.iter().filter(|d| d.is_index() || d.is_manifest());
        let fitting = usable.filter_map(|d| match &d.platform {
            Some(platform) => self.fit(platform).map(|fit| (fit, d)),
            // It does not say what it is for: only better than nothing.
            None => Some((u32::MAX, d)),
        });
        // The first of equals, as docker and podman take it.
        fitting.min_by_key(|(fit, _)| *fit).map(|(_, d)| d)
    }
}

/// `v7` is 7.
fn level(variant: Option<&str>) -> Option<u32> {
    variant?.strip_prefix('v')?.parse().ok().filter(|l| *l < 1_000)
}

/// What an index is for, in words.
pub(crate) fn listed(entries: &[Descriptor]) -> String {
    let platforms = entries.iter().filter_map(|d| d.platform.as_ref());
    let mut there: Vec<String> = platforms
        .filter(|p| p.os != "unknown")
        .take(20)
        .map(|p| {
            let variant = p.variant.iter().map(|v| format!("/{v}")).collect::<String>();
            crate::fault::shown(format!("{}/{}{variant}", p.os, p.architecture).as_bytes())
        })
        .collect();
    there.dedup();
    there.join(", ")
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.os)?;
        self.os_version.as_ref().map_or(Ok(()), |v| write!(f, "({v})"))?;
        write!(f, "/{}", self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |v| write!(f, "/{v}"))
    }
}

impl FromStr for Platform {
    type Err = Error;

    /// `os/architecture[/variant]`; an architecture alone means linux.
    fn from_str(text: &str) -> Result<Platform, Error> {
        let bad = || Error::BadReference {
            name: text.into(),
            problem: "a platform looks like linux/arm64 or linux/arm/v7".into(),
        };
        let word = |w: &str| {
            let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
            !w.is_empty() && w.len() <= 64 && w.bytes().all(fits)
        };
        let parts: Vec<&str> = text.split('/').collect();
        let (os, architecture, variant) = match parts.as_slice() {
            [architecture] => ("linux", *architecture, None),
            [os, architecture] => (*os, *architecture, None),
            [os, architecture, variant] => (*os, *architecture, Some(*variant)),
            _ => return Err(bad()),
        };
        let (os, version) = match os.strip_suffix(')').and_then(|o| o.split_once('(')) {
            Some((os, version)) => (os, Some(version)),
            None => (os, None),
        };
        let all = [Some(os), Some(architecture), variant, version];
        if !all.into_iter().flatten().all(word) {
            return Err(bad());
        }
        let architecture = match architecture {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            name => name,
        };
        Ok(Platform {
            os: os.into(),
            architecture: architecture.into(),
            variant: variant.map(str::to_owned),
            os_version: version.map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    fn index(platforms: &[&str]) -> Vec<Descriptor> {
        let of = |text: &&str| {
            let digest = Digest::of(text.as_bytes());
            let mut entry = Descriptor::new(document::OCI_MANIFEST, digest, 1);
            let platform: Option<Platform> = text.parse().ok();
            entry.platform = platform.map(|p| document::Platform {
                architecture: p.architecture,
                os: p.os,
                variant: p.variant,
                os_version: p.os_version,
            });
            entry
        };
        platforms.iter().map(of).collect()
    }

    fn chosen(wanted: &str, platforms: &[&str]) -> Option<usize> {
        let entries = index(platforms);
        let wanted: Platform = wanted.parse().unwrap();
        let found = wanted.choose(&entries)?;
        entries.iter().position(|e| e == found)
    }

    #[test]
    fn variants_are_chosen_by_what_runs() {
        for (wanted, platforms, expected) in [
            ("linux/amd64", &["linux/arm64", "linux/amd64"][..], Some(1)),
            ("amd64", &["linux/x86_64"], Some(0)),
            ("linux/amd64", &["linux/arm64", "windows/amd64"], None),
            ("linux/arm/v7", &["linux/arm/v5", "linux/arm/v6", "linux/arm/v8"], Some(1)),
            ("linux/arm/v7", &["linux/arm/v5", "linux/arm/v7"], Some(1)),
            ("linux/arm/v6", &["linux/arm/v7"], None),
            ("linux/arm64", &["linux/arm64/v8"], Some(0)),
            ("linux/arm64/v8", &["linux/arm64/v9", "linux/arm64"], Some(1)),
            ("linux/amd64", &["linux/amd64/v3", "linux/amd64"], Some(1)),
            ("linux/amd64", &["linux/amd64/v4", "linux/amd64/v2"], Some(1)),
            ("linux/amd64/v3", &["linux/amd64/v4", "linux/amd64/v2", "linux/amd64"], Some(2)),
            ("linux/riscv64", &["?"], Some(0)),
            ("linux/amd64", &["?", "linux/amd64"], Some(1)),
            ("windows(10.0.1)/amd64", &["windows(10.0.2)/amd64", "windows(10.0.1)/amd64"], Some(1)),
        ] {
            assert_eq!(chosen(wanted, platforms), expected, "{wanted} {platforms:?}");
        }
        for bad in ["", "a/b/c/d", "linux/", "/amd64", "linux/a b", "linux/\u{1b}"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
        assert_eq!(Platform::host().to_string().parse::<Platform>().unwrap(), Platform::host());
    }
}
