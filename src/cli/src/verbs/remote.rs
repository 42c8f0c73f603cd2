//! `copy`, and what asks a registry about a repository: `image tags`, `referrers`, `delete`.

use std::process::ExitCode;

use image::{CopyOptions, Place, Platform};
use registry::{Purpose, Remote};

use super::Ended;
use super::images::failure;
use super::pull::{policy, registries};
use crate::age;
use crate::args::{CopyArgs, RemoteArgs};
use crate::failure::Failure;
use crate::print;
use crate::table::Table;
use crate::transfer::Transfer;

pub(super) fn copy(args: &CopyArgs) -> Ended {
    let what = format!("copy {} to {}", args.from, args.to);
    let platform = args.platform.as_deref().map(str::parse::<Platform>).transpose();
    let platform = platform.map_err(|error| failure(&what, &error).code(2))?;
    let options = CopyOptions { all: args.all, platform, policy: policy(&what)? };
    let [read, write] = args.ends();
    let (read, write) = (registries(&read, &what)?, registries(&write, &what)?);
    let (from, to) = (Place::parse(&args.from), Place::parse(&args.to));
    let mut transfer = Transfer::new(args.progress, args.quiet);
    let copied = image::copy((&from, &to), &options, (&read, &write), &mut transfer);
    drop(transfer);
    let copied = copied.map_err(|error| failure(&what, &error))?;
    print::out(&format!("{}\n", copied.digest))?;
    Ok(ExitCode::SUCCESS)
}

/// A repository at its registry, and the tag or digest of the name.
fn open(args: &RemoteArgs, what: &str, purpose: Purpose) -> Result<(Remote, String), Failure> {
    let settings = registries(&args.registry, what)?;
    let name = args.name.strip_prefix("docker://").unwrap_or(&args.name);
    let reference = image::expand(name, &settings).map_err(|error| failure(what, &error))?;
    let asked = reference.digest().map_or(reference.tag(), |d| d.as_str()).to_owned();
    let remote = Remote::new(&settings, reference.registry(), reference.path(), purpose);
    Ok((remote.map_err(|error| of(what, &error))?, asked))
}

fn of(what: &str, error: &registry::Error) -> Failure {
    Failure::of(what, error).hint_maybe(error.hint())
}

pub(super) fn tags(args: &RemoteArgs) -> Ended {
    let what = format!("image tags {}", args.name);
    let (remote, _) = open(args, &what, Purpose::Push)?;
    let tags = remote.registry().and_then(|r| r.tags());
    let tags = tags.map_err(|error| of(&what, &error))?;
    print::out(&tags.iter().map(|tag| format!("{tag}\n")).collect::<String>())?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn referrers(args: &RemoteArgs) -> Ended {
    let what = format!("image referrers {}", args.name);
    let (remote, asked) = open(args, &what, Purpose::Push)?;
    let found = image::referrers(&remote, &asked).map_err(|error| failure(&what, &error))?;
    let mut table = Table::new(&["TYPE", "DIGEST", "SIZE"]);
    for one in found {
        table.row(vec![one.artifact_type, one.digest, age::size(one.size)]);
    }
    print::out(&table.render(true))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn delete(args: &RemoteArgs) -> Ended {
    let what = format!("image delete {}", args.name);
    let (remote, asked) = open(args, &what, Purpose::Push)?;
    let last = args.name.rsplit('/').next().unwrap_or(&args.name);
    if !last.contains([':', '@']) {
        let failure = Failure::new(what, "name what to delete: a tag or a digest");
        return Err(failure.hint(format!("{}:TAG, or {0}@sha256:…", args.name)).code(2));
    }
    let repository = remote.registry().map_err(|error| of(&what, &error))?;
    let deleted = repository.delete_manifest(&asked).map_err(|error| match error {
        registry::Error::Status { status: 400 | 405, .. } if !asked.contains(':') => {
            let told = of(&what, &error);
            told.hint("this registry deletes by digest alone: name@sha256:…, with all its tags")
        }
        registry::Error::Status { status: 405, .. } => {
            of(&what, &error).hint("this registry does not allow it")
        }
        error => of(&what, &error),
    });
    deleted?;
    print::out(&format!("deleted {}\n", args.name))?;
    Ok(ExitCode::SUCCESS)
}
