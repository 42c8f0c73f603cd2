//! `pull` and `push`, and what all verbs that speak to registries share.

use std::process::ExitCode;

use image::{Platform, Policy, PullOptions};
use registry::{Credential, Files, Settings as Registries};

use super::Ended;
use super::images::{failure, near, open};
use crate::args::{ProgressForm, PullArgs, PullWhen, PushArgs, RegistryArgs, RunArgs};
use crate::failure::Failure;
use crate::print;
use crate::settings::{self, Settings};
use crate::transfer::Transfer;

pub(super) fn pull(args: &PullArgs, settings: &Settings) -> Ended {
    let platform = args.platform.as_deref().map(str::parse::<Platform>).transpose();
    let platform = platform.map_err(|error| failure("pull", &error).code(2))?;
    let options = PullOptions { platform, policy: policy("pull")? };
    for name in &args.images {
        let what = format!("pull {name}");
        let registries = registries(&args.registry, &what)?;
        let store = open(settings, &what)?;
        let mut transfer = Transfer::new(args.progress, args.quiet);
        let pulled = store.pull(name, &options, &registries, &mut transfer);
        drop(transfer);
        let pulled = pulled.map_err(|error| failure(&what, &error))?;
        let shown = pulled.names.first().unwrap_or(&pulled.digest);
        let line = match args.quiet {
            true => format!("{shown}\n"),
            false => format!("pulled {shown}\n{}\n", pulled.digest),
        };
        print::out(&line)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Sees to it that the store has the image of a `run`; the arguments with the name that it has now.
pub(super) fn for_run(args: &RunArgs, settings: &Settings, what: &str) -> Result<RunArgs, Failure> {
    let store = open(settings, what)?;
    let missing = match store.resolve(&args.image) {
        Err(image::Error::MissingImage { .. }) => true,
        // Whatever else is wrong with it is told where the pod is made.
        _ => false,
    };
    let wanted = match args.pull {
        PullWhen::Missing => missing,
        PullWhen::Always => true,
        PullWhen::Never => false,
    };
    let mut args = args.clone();
    if wanted {
        let registries = registries(&args.registry, what)?;
        let options = PullOptions { platform: None, policy: policy(what)? };
        let mut transfer = Transfer::new(ProgressForm::Auto, false);
        let pulled = store.pull(&args.image, &options, &registries, &mut transfer);
        drop(transfer);
        let pulled = pulled.map_err(|error| {
            let failure = failure(&format!("{what}: pull {}", args.image), &error);
            near(&store, &args.image, failure)
        })?;
        if store.resolve(&args.image).is_err() {
            args.image = pulled.names.first().cloned().unwrap_or(pulled.digest);
        }
    }
    Ok(args)
}

pub(super) fn push(args: &PushArgs, settings: &Settings) -> Ended {
    let to = args.to.as_deref();
    // `docker://` as skopeo and podman have it.
    let to = to.map(|t| t.strip_prefix("docker://").unwrap_or(t));
    let what = match to {
        Some(to) => format!("push {} to {to}", args.image),
        None => format!("push {}", args.image),
    };
    let registries = registries(&args.registry, &what)?;
    let store = open(settings, &what)?;
    let mut transfer = Transfer::new(args.progress, args.quiet);
    let pushed = store.push(&args.image, to, &registries, &mut transfer);
    drop(transfer);
    let pushed = pushed.map_err(|error| near(&store, &args.image, failure(&what, &error)))?;
    let line = match args.quiet {
        true => format!("{}\n", pushed.name),
        false => format!("pushed {}\n{}\n", pushed.name, pushed.digest),
    };
    print::out(&line)?;
    Ok(ExitCode::SUCCESS)
}

/// What the host demands of images.
pub(super) fn policy(what: &str) -> Result<Policy, Failure> {
    Policy::usual(settings::variable).map_err(|error| failure(what, &error))
}

/// How to speak to registries: the host's configuration and what the command line says.
pub(super) fn registries(args: &RegistryArgs, what: &str) -> Result<Registries, Failure> {
    let of = |error: &registry::Error| Failure::of(what, error).hint_maybe(error.hint());
    let mut all = Registries::usual(settings::variable).map_err(|error| of(&error))?;
    if let Some(file) = &args.speak.authfile {
        all.credentials = Files(vec![file.clone()]);
    }
    if let Some(folder) = &args.speak.cert_dir {
        all.given_certificates = Some(folder.clone());
    }
    all.insecure = args.speak.tls_verify == Some(false);
    if let Some(text) = &args.creds {
        let (user, password) = match text.split_once(':') {
            Some((user, password)) => (user, password.to_owned()),
            None => (text.as_str(), super::login::password(what, text)?),
        };
        all.given = Some(Credential::Password { user: user.into(), password });
    }
    Ok(all)
}
