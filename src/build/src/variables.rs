//! The variables that a build knows by itself, and those of the command line that nobody asks for.
//! Pure.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::file::BuildFile;
use crate::instruction::Instruction;
use crate::options::{Event, Options, Report};
use crate::state::PROXIES;

/// The variables that are known before the first FROM.
pub(crate) fn platform_variables(wanted: Option<&str>) -> Result<BTreeMap<String, String>> {
    let host = format!("linux/{}", oci::image::Arch::default());
    let wanted = wanted.unwrap_or(&host);
    let mut all = BTreeMap::new();
    for (prefix, platform) in [("BUILD", host.as_str()), ("TARGET", wanted)] {
        let mut parts = platform.splitn(3, '/');
        let (os, arch) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if os != "linux" || arch.is_empty() {
            let problem = format!("the platform {platform} is not to be had");
            return Err(Error::refused(problem, &format!("this machine builds {host}")));
        }
        for (name, value) in [
            ("PLATFORM", platform),
            ("OS", os),
            ("ARCH", arch),
            ("VARIANT", parts.next().unwrap_or_default()),
        ] {
            all.insert(format!("{prefix}{name}"), value.to_owned());
        }
    }
    Ok(all)
}

pub(crate) fn unused_arguments(file: &BuildFile, options: &Options, report: &mut dyn Report) {
    let mut known: Vec<&String> = file.arguments.iter().map(|(name, _)| name).collect();
    for step in file.stages.iter().flat_map(|stage| &stage.steps) {
        if let Instruction::Arg(all) = &step.instruction {
            known.extend(all.iter().map(|(name, _)| name));
        }
    }
    for name in options.build_args.keys() {
        let proxy = PROXIES.contains(&name.as_str()) || name == "SOURCE_DATE_EPOCH";
        if !known.contains(&name) && !proxy {
            report.on(&Event::Warning {
                text: format!("--build-arg {name}: no ARG of {} asks for it", file.file),
            });
        }
    }
}
