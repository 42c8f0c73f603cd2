//! Loads an archive into a store and says how long it took and how much memory: for measuring
//! beside `podman load` and `skopeo` with `umoci`. Usage: `load ROOT ARCHIVE`.

use std::path::Path;
use std::time::Instant;

use image::{Event, LoadOptions, Store};

fn main() -> std::process::ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let [_, root, archive] = args.as_slice() else {
        eprintln!("usage: load ROOT ARCHIVE");
        return 2.into();
    };
    let begun = Instant::now();
    let mut show = |event: &Event| {
        if !matches!(event, Event::Reading { .. }) {
            eprintln!("{:8.3} s {event:?}", begun.elapsed().as_secs_f64());
        }
    };
    let loaded = Store::open(Path::new(root))
        .and_then(|store| store.load(Path::new(archive), &LoadOptions::default(), &mut show));
    match loaded {
        Ok(loaded) => {
            let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
            let peak = status.lines().find(|l| l.starts_with("VmHWM")).unwrap_or("VmHWM: unknown");
            println!("{:.3} s, {peak}", begun.elapsed().as_secs_f64());
            for image in loaded {
                println!("{} {}", image.digest, image.names.join(" "));
            }
            0.into()
        }
        Err(error) => {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                text = format!("{text}: {cause}");
                source = cause.source();
            }
            eprintln!("load: {text}");
            error.hint().iter().for_each(|hint| eprintln!("hint: {hint}"));
            1.into()
        }
    }
}
