//! `build`: a Containerfile and a folder into an image.

mod inputs;

use std::fs;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use build::{Ignore, Interrupt, Network, Options};
use image::reference::Reference;
use image::{Compression, PullOptions, SaveFormat, Store, Workshop};
use sys::foreground::{Signals, Wanted, any_ready, asks_to_end};

use super::Ended;
use super::images;
use crate::args::{BuildArgs, BuildNetwork, LayerForm};
use crate::build_report::Lines;
use crate::failure::Failure;
use crate::print;
use crate::progress::Bar;
use crate::settings::{self, Settings};
use crate::transfer::Transfer;

/// Names of a build file, the first that is there is taken.
const FILES: [&str; 2] = ["Containerfile", "Dockerfile"];
/// Longest build file, bytes.
const FILE_MAX: u64 = 4 << 20;
/// What `--prune` keeps.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// Folder of the state of RUN steps.
pub(super) fn state(settings: &Settings) -> PathBuf {
    settings.state.join("build")
}

/// Removes what builds that were killed have left; costs one look where there was none.
pub(super) fn sweep(settings: &Settings) -> Result<(), Failure> {
    let swept = build::sweep(&state(settings), &supervisor::runtime_program());
    swept.map_err(|error| told("sweep up after a build", &error))
}

pub(super) fn build(args: &BuildArgs, settings: &Settings) -> Ended {
    let what = format!("build {}", args.context.display());
    let failed = |error: build::Error| told(&what, &error);
    let store = images::open(settings, &what)?;
    // A tar on standard input lies here while it is built.
    let scratch = store.workshop().map_err(|error| images::failure(&what, &error))?;
    let options = options(args, settings, &what, &scratch)?;
    let output = output(args, &what)?;
    fetch(args, &options, &store, &what)?;
    let interrupt = Interrupt::default();
    watch(interrupt.clone(), scratch.path().to_owned()).map_err(|e| Failure::of(&what, &e))?;
    let mut lines = Lines::new(args.progress, args.quiet, settings.log_format);
    let built = build::build(&store, &options, &interrupt, &mut lines);
    let image = match built {
        Err(build::Error::Interrupted { signal }) => {
            let code = u8::try_from(128 + signal).unwrap_or(130);
            return Err(Failure::new(what, "interrupted: the cache keeps what was done").code(code));
        }
        built => built.map_err(failed)?,
    };
    if let Some(path) = &args.iidfile {
        fs::write(path, &image.digest)
            .map_err(|e| Failure::of(format!("{what}: write {}", path.display()), &e))?;
    }
    if let Some((format, path)) = output {
        let name = image.names.first().unwrap_or(&image.digest).clone();
        let saved = store.save(&[name], format, &path, &mut Bar::new(args.quiet));
        saved.map_err(|error| images::failure(&what, &error))?;
    }
    if args.prune {
        let pruned = store.prune_build_cache(KEPT, false);
        pruned.map_err(|error| images::failure(&what, &error))?;
    }
    match args.quiet {
        true => print::out(&format!("{}\n", image.digest))?,
        false => {
            for name in &image.names {
                print::out(&format!("built {name}\n"))?;
            }
            print::out(&format!("{}\n", image.digest))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A build's error in our form.
pub(super) fn told(what: &str, error: &build::Error) -> Failure {
    let mut failure = Failure::of(what, error).hint_maybe(error.hint());
    failure.errno = error.errno().map(|n| sys::errno::name(n).into()).or(failure.errno);
    failure
}

/// Ends the build on a signal: by the build itself while a command runs, else here and now; what
/// is left in the staging folder is then removed, or swept by the next command.
fn watch(interrupt: Interrupt, scratch: PathBuf) -> std::io::Result<()> {
    let signals = Signals::block()?;
    std::thread::spawn(move || {
        loop {
            let wanted = [Wanted { fd: signals.as_fd(), write: false }];
            if any_ready(&wanted).is_err() {
                return;
            }
            while let Ok(Some(signal)) = signals.next() {
                if !asks_to_end(signal) {
                    continue;
                }
                if !interrupt.tell(signal) {
                    let _ = fs::remove_dir_all(&scratch);
                    print::note("podvisor: build: interrupted: the cache keeps what was done");
                    std::process::exit(128 + signal);
                }
            }
        }
    });
    Ok(())
}

/// Fetches the images that the build stands on, those that are missing or all of them.
fn fetch(args: &BuildArgs, options: &Options, store: &Store, what: &str) -> Result<(), Failure> {
    let names = build::images(options).map_err(|error| told(what, &error))?;
    for name in names {
        let missing = match store.resolve(&name) {
            Ok(_) => None,
            Err(error @ image::Error::MissingImage { .. }) => Some(error),
            Err(error) => return Err(images::failure(what, &error)),
        };
        if missing.is_none() && !args.pull {
            continue;
        }
        let platform = options.platform.as_deref().map(str::parse).transpose();
        let platform = platform.map_err(|error| images::failure(what, &error).code(2))?;
        let registries = super::pull::registries(&args.registry, what)?;
        let mut transfer = Transfer::new(args.progress, args.quiet);
        let policy = super::pull::policy(what)?;
        let options = PullOptions { platform, policy };
        let pulled = store.pull(&name, &options, &registries, &mut transfer);
        drop(transfer);
        pulled.map_err(|error| {
            let failure = images::failure(&format!("{what}: pull {name}"), &error);
            match &missing {
                Some(missing) => failure.hint_maybe(missing.hint()),
                None => failure,
            }
        })?;
    }
    Ok(())
}

fn usage(what: &str, problem: String, hint: &str) -> Failure {
    Failure::new(what, problem).hint(hint).code(2)
}

fn options(
    args: &BuildArgs,
    settings: &Settings,
    what: &str,
    scratch: &Workshop,
) -> Result<Options, Failure> {
    let (file, text, context) = source(args, what, scratch)?;
    let ignore = match &context {
        Some(folder) => ignore(what, folder, args.file.as_deref())?,
        None => Ignore::default(),
    };
    let names = args.tag.iter().map(|name| name.parse::<Reference>());
    let names = names.collect::<Result<Vec<_>, _>>();
    let epoch = match settings::variable("SOURCE_DATE_EPOCH").filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => Some(text.parse::<i64>().map_err(|_| {
            usage(what, format!("SOURCE_DATE_EPOCH={text}"), "seconds since 1970, a whole number")
        })?),
    };
    let mut labels = Vec::new();
    for label in &args.label {
        let wrong = || usage(what, format!("--label {label}"), "as in --label name=value");
        let (name, value) = label.split_once('=').ok_or_else(wrong)?;
        labels.push((name.to_owned(), value.to_owned()));
    }
    Ok(Options {
        file,
        text,
        context,
        ignore,
        target: args.target.clone(),
        build_args: inputs::build_args(args),
        secrets: inputs::secrets(args, what, scratch.path())?,
        agents: inputs::agents(args, what)?,
        git: inputs::for_git(),
        labels,
        no_cache: args.no_cache,
        platform: args.platform.clone(),
        network: match args.network {
            BuildNetwork::None => Network::None,
            BuildNetwork::Host => Network::Host,
        },
        names: names.map_err(|error| images::failure(what, &error).code(2))?,
        compression: match args.compression {
            LayerForm::Gzip => Compression::Gzip,
            LayerForm::Zstd => Compression::Zstd,
            LayerForm::None => Compression::None,
        },
        epoch,
        stamp: pod::status::rfc3339,
        fetch: inputs::fetch_file,
        runtime: supervisor::runtime_program(),
        state: state(settings),
        cgroup: format!("/{}", settings.cgroup_parent.trim_matches('/')),
    })
}

fn read(what: &str, path: &Path) -> Result<String, Failure> {
    let failed = |e: std::io::Error| Failure::of(format!("{what}: {}", path.display()), &e);
    let file: Box<dyn Read> = match path == Path::new("-") {
        true => Box::new(std::io::stdin()),
        false => Box::new(fs::File::open(path).map_err(failed)?),
    };
    let mut text = String::new();
    let length = file.take(FILE_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    if length as u64 > FILE_MAX {
        let problem = format!("{} is longer than {FILE_MAX} bytes", path.display());
        return Err(Failure::new(what, problem).code(2));
    }
    Ok(text)
}

/// The build file's name and text, and the context.
fn source(
    args: &BuildArgs,
    what: &str,
    scratch: &Workshop,
) -> Result<(String, String, Option<PathBuf>), Failure> {
    let mut context = args.context.clone();
    if context == Path::new("-") {
        match from_stdin(what, scratch)? {
            Stdin::File(text) => return Ok(("standard input".into(), text, None)),
            Stdin::Context(folder) => context = folder,
        }
    }
    if !context.is_dir() {
        let problem = format!("{} is no folder", context.display());
        return Err(usage(what, problem, "name the folder of the files to copy, as in `.`"));
    }
    let context = std::path::absolute(&context).map_err(|e| Failure::of(what, &e))?;
    let file = match &args.file {
        Some(file) if file == Path::new("-") => {
            return Ok(("standard input".into(), read(what, file)?, Some(context)));
        }
        // Beside the caller, or in the context, as docker and podman have it.
        Some(file) if file.exists() => file.clone(),
        Some(file) => context.join(file),
        None => match FILES.iter().map(|name| context.join(name)).find(|path| path.is_file()) {
            Some(file) => file,
            None => {
                let problem = format!("there is no Containerfile in {}", context.display());
                return Err(usage(what, problem, "name it: -f FILE"));
            }
        },
    };
    let shown = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
    Ok((shown, read(what, &file)?, Some(context)))
}

enum Stdin {
    File(String),
    Context(PathBuf),
}

/// A build file, or a tar of the context.
fn from_stdin(what: &str, scratch: &Workshop) -> Result<Stdin, Failure> {
    let failed = |e: std::io::Error| Failure::of(format!("{what}: standard input"), &e);
    let path = scratch.path().join("stdin");
    let mut file = fs::File::create(&path).map_err(failed)?;
    std::io::copy(&mut std::io::stdin(), &mut file).map_err(failed)?;
    let mut first = Vec::new();
    let opened = fs::File::open(&path).map_err(failed)?;
    opened.take(512).read_to_end(&mut first).map_err(failed)?;
    let tar = first.get(257..262) == Some(b"ustar");
    if !tar && Compression::of(&first) == Compression::None {
        return read(what, &path).map(Stdin::File);
    }
    let folder = scratch.path().join("context");
    fs::create_dir(&folder).map_err(failed)?;
    scratch.untar(&path, &folder).map_err(|error| images::failure(what, &error))?;
    fs::remove_file(&path).map_err(failed)?;
    Ok(Stdin::Context(folder))
}

/// `NAME.dockerignore` beside a named build file, else the context's.
fn ignore(what: &str, context: &Path, file: Option<&Path>) -> Result<Ignore, Failure> {
    let own = file.map(|file| {
        let file = if file.exists() { file.to_owned() } else { context.join(file) };
        PathBuf::from(format!("{}.dockerignore", file.display()))
    });
    let usual = [".containerignore", ".dockerignore"].map(|name| context.join(name));
    let Some(path) = own.into_iter().chain(usual).find(|path| path.is_file()) else {
        return Ok(Ignore::default());
    };
    Ignore::parse(&read(what, &path)?).map_err(|(line, problem)| {
        Failure::new(what, format!("{}:{line}: {problem}", path.display()))
    })
}

fn output(args: &BuildArgs, what: &str) -> Result<Option<(SaveFormat, PathBuf)>, Failure> {
    let Some(text) = &args.output else { return Ok(None) };
    let wrong = || usage(what, format!("--output {text}"), "type=oci,dest=FILE or type=docker,…");
    let (mut format, mut path) = (SaveFormat::OciArchive, None);
    for part in text.split(',') {
        match part.split_once('=') {
            Some(("type", "oci")) => format = SaveFormat::OciArchive,
            Some(("type", "docker")) => format = SaveFormat::DockerArchive,
            Some(("dest", file)) => path = Some(PathBuf::from(file)),
            _ => return Err(wrong()),
        }
    }
    path.map(|path| Some((format, path))).ok_or_else(wrong)
}
