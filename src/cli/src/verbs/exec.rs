//! `podvisor exec`: one more process in a running container.

use std::process::ExitCode;

use oci::runtime::Process;

use super::Ended;
use crate::args::ExecArgs;
use crate::failure::Failure;
use crate::session::{self, Wishes};
use crate::settings::{Settings, variable};
use crate::{OWN_FAILURE, target};

pub(super) async fn exec(args: &ExecArgs, settings: &Settings) -> Ended {
    let what = format!("exec {}", args.target);
    let own = |failure: Failure| failure.code(OWN_FAILURE);
    let client = settings.client();
    let container = args.container.as_deref();
    let member = target::member(&client, &args.target, container, args.namespace.as_deref());
    let member = member.await.map_err(own)?;
    let found = client.exec_target(&member.target()).await;
    let found = found.map_err(|error| own(Failure::api(&what, &error)))?;
    let process = process(found.process, args)
        .map_err(|error| own(Failure::of(format!("{what}: the container's process"), &error)))?;
    let wishes = Wishes { interactive: args.interactive, terminal: args.tty };
    let code = session::exec(&found.socket, &found.id, process, wishes, &what).await?;
    Ok(ExitCode::from(code))
}

/// The container's own process with another command.
fn process(own: serde_json::Value, args: &ExecArgs) -> Result<Process, serde_json::Error> {
    let mut process: Process = serde_json::from_value(own)?;
    process.set_args(Some(args.command.clone()));
    process.set_terminal(Some(args.tty));
    let mut env = process.env().clone().unwrap_or_default();
    let term = if args.tty { std::env::var("TERM").ok() } else { None };
    let more = term.map(|term| format!("TERM={term}")).into_iter();
    for pair in more.chain(args.env.iter().filter_map(|text| given(text))) {
        let name = pair.split_once('=').map_or(pair.as_str(), |(name, _)| name).to_owned();
        env.retain(|old| old.split_once('=').map_or(old.as_str(), |(n, _)| n) != name);
        env.push(pair);
    }
    process.set_env(Some(env));
    if let Some(folder) = &args.workdir {
        process.set_cwd(folder.into());
    }
    Ok(process)
}

/// `NAME=VALUE`, or `NAME` with this shell's value; a name that is not set here is left out.
fn given(text: &str) -> Option<String> {
    if text.contains('=') {
        return Some(text.to_owned());
    }
    variable(text).map(|value| format!("{text}={value}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Verb};
    use clap::Parser;

    #[test]
    fn the_containers_process_lends_all_but_the_command() {
        let words = "podvisor exec -e A=2 -e B -e PATH -w /tmp web -- sh -c x".split(' ');
        let Verb::Exec(args) = Cli::try_parse_from(words).unwrap().verb else { panic!() };
        let own = serde_json::json!({
            "user": {"uid": 7, "gid": 8}, "cwd": "/srv", "env": ["A=1", "B=1"], "args": ["web"],
            "noNewPrivileges": true,
        });
        let process = process(own, &args).unwrap();
        assert_eq!(process.args().as_ref().unwrap(), &["sh", "-c", "x"]);
        let path = format!("PATH={}", std::env::var("PATH").unwrap());
        assert_eq!(process.env().as_ref().unwrap(), &["B=1", "A=2", &path]);
        assert_eq!(process.cwd().to_str(), Some("/tmp"));
        assert_eq!(process.user().uid(), 7);
        assert_eq!(process.no_new_privileges(), Some(true));
        assert_eq!(process.terminal(), Some(false));
    }
}
