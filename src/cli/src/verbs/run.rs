//! `podvisor run`: a pod of one, and its command's exit code.
//!
//! The pod is written as a manifest, so that it is checked and run like any other. A terminal or
//! standard input goes straight to the monitor; plain output is followed in the log, where nothing
//! is lost. Where this process hosts the supervisor itself, a finished run leaves nothing behind.

mod flags;
mod one;

use std::process::ExitCode;

use api::client::Filter;
use api::logs::{container_status, line};
use api::route::LogOptions;
use api::wire::{ApplyRequest, Kind, ShutdownRequest};
use api::{Client, ClientError};
use serde_json::Value;

use super::Ended;
use super::images;
use crate::args::RunArgs;
use crate::failure::Failure;
use crate::hosting::{self, Hosted, Reached};
use crate::object::{is_done, number, text};
use crate::session::{self, Wishes};
use crate::settings::Settings;
use crate::waiting;
use crate::{OWN_FAILURE, print};

/// What a shell says of a process that a signal ended.
fn code_of(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
}

pub(super) async fn run(args: &RunArgs, settings: &Settings) -> Ended {
    let ended = begin(args, settings).await;
    // A failure of our own never looks like an exit code of the command.
    ended.map_err(|failure| if failure.code < 125 { failure.code(OWN_FAILURE) } else { failure })
}

async fn begin(args: &RunArgs, settings: &Settings) -> Ended {
    let what = format!("run {}", args.image);
    let args = &super::pull::for_run(args, settings, &what)?;
    let pod = one::pod(args, settings, &what)?;
    let client = settings.client();
    let mut hosted = None;
    if args.detach {
        hosting::spawn(settings).await?;
    } else if let Reached::Here(here) = hosting::reach(settings).await? {
        hosted = Some(here);
    }
    let one = Run { client: &client, args, what, name: text(&pod, "/metadata/name").to_owned() };
    let result = one.go(&pod).await;
    match hosted {
        Some(hosted) => {
            let left = one.leave(hosted, settings).await;
            let code = result?;
            left.map(|()| ExitCode::from(code))
        }
        None => Ok(ExitCode::from(result?)),
    }
}

struct Run<'a> {
    client: &'a Client,
    args: &'a RunArgs,
    what: String,
    name: String,
}

impl Run<'_> {
    fn failed(&self, error: &ClientError) -> Failure {
        Failure::api(&self.what, error).code(OWN_FAILURE)
    }

    /// Creates the pod and sees it through; the command's exit code.
    async fn go(&self, pod: &Value) -> Result<u8, Failure> {
        let request =
            ApplyRequest { source: "run".into(), text: pod.to_string(), create_only: true };
        let applied = self.client.apply(&request).await;
        applied.map_err(|error| flags::named(self.failed(&error)))?;
        let result = match self.begun().await {
            Ok(()) if self.args.detach => {
                print::out(&format!("{}\n", self.name))?;
                return Ok(0);
            }
            Ok(()) if self.args.interactive || self.args.tty => self.attached().await,
            Ok(()) => self.followed().await,
            Err(failure) => Err(failure),
        };
        if self.args.rm || result.is_err() {
            self.delete().await?;
        }
        result
    }

    /// Waits until the command runs, or says why it cannot.
    async fn begun(&self) -> Result<(), Failure> {
        let (ns, name) = (&self.args.namespace, &self.name);
        let mut told = hosting::listen(&self.what)?;
        let begun = tokio::select! {
            begun = waiting::pod_until(self.client, ns, name, has_begun) => begun,
            signal = told.next() => {
                let code = code_of(signal);
                return Err(Failure::new(&self.what, "interrupted before it began").code(code));
            }
        };
        let pod = begun.map_err(|error| self.failed(&error))?;
        let pod = pod.ok_or_else(|| Failure::new(&self.what, "the pod has been deleted"))?;
        self.not_started(&pod).map_or(Ok(()), Err)
    }

    /// Hands this process's stdio to the container.
    async fn attached(&self) -> Result<u8, Failure> {
        let target = self.client.exec_target(&self.target()).await;
        let wishes = Wishes { interactive: self.args.interactive, terminal: self.args.tty };
        match target {
            Ok(found) => session::attach(&found.socket, &found.id, wishes, &self.what).await,
            // It has ended already: its log says what it said.
            Err(ClientError::Refused(_)) => self.followed().await,
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Prints the log until the command has ended. A signal is handed to the command, which may
    /// ignore it as process 1 does: the second one ends the pod.
    async fn followed(&self) -> Result<u8, Failure> {
        let mut told = hosting::listen(&self.what)?;
        let mut is_passed_on = false;
        let mut printed = std::pin::pin!(self.print_log());
        loop {
            tokio::select! {
                done = &mut printed => { done?; break; }
                signal = told.next() => {
                    if is_passed_on {
                        self.delete().await?;
                        return Ok(code_of(signal));
                    }
                    is_passed_on = true;
                    self.pass_on(signal).await;
                }
            }
        }
        let (ns, name) = (&self.args.namespace, &self.name);
        let ended = waiting::pod_until(self.client, ns, name, is_done).await;
        let pod = ended.map_err(|error| self.failed(&error))?;
        let pod = pod.ok_or_else(|| Failure::new(&self.what, "the pod has been deleted"))?;
        if let Some(failure) = self.not_started(&pod) {
            return Err(failure);
        }
        let code = number(container_status(&pod, None), "/state/terminated/exitCode");
        Ok(u8::try_from(code).unwrap_or(u8::MAX))
    }

    async fn print_log(&self) -> Result<(), Failure> {
        let options = LogOptions { follow: true, raw: true, ..LogOptions::default() };
        let mut printed = 0u64;
        loop {
            // After a change of supervisor the log comes from its beginning again.
            let mut skip = printed;
            let target = self.target();
            let opened = waiting::patiently(|| self.client.logs(&target, &options)).await;
            let mut stream = opened.map_err(|error| self.failed(&error))?;
            let mut pending = Vec::new();
            loop {
                match stream.next().await {
                    Ok(Some(bytes)) => pending.extend_from_slice(&bytes),
                    Ok(None) => return Ok(()),
                    Err(ClientError::Broken(_)) => break,
                    Err(error) => return Err(self.failed(&error)),
                }
                while let Some(end) = pending.iter().position(|&b| b == b'\n') {
                    let rest = pending.split_off(end + 1);
                    let text = std::mem::replace(&mut pending, rest);
                    if skip > 0 {
                        skip -= 1;
                        continue;
                    }
                    printed += 1;
                    print_line(&text[..end])?;
                }
            }
        }
    }

    /// Passes a signal on to the command.
    async fn pass_on(&self, signal: i32) {
        if let Ok(found) = self.client.exec_target(&self.target()).await
            && let Ok(mut monitor) = monitor::Client::connect(&found.socket)
        {
            let kill = monitor::protocol::Request::Kill { id: found.id, signal, all: false };
            // One that has just ended needs none.
            let _ = monitor.call(&kill, &[]);
        }
    }

    fn target(&self) -> api::backend::Target {
        api::backend::Target {
            namespace: self.args.namespace.clone(),
            pod: self.name.clone(),
            container: None,
        }
    }

    async fn delete(&self) -> Result<(), Failure> {
        let (ns, name) = (&self.args.namespace, &self.name);
        let gone = self.client.delete(Kind::Pods, ns, name, None).await;
        match gone {
            Err(error) if error.reason() != Some("NotFound") => return Err(self.failed(&error)),
            _ => {}
        }
        waiting::gone(self.client, Kind::Pods, ns, name).await
    }

    /// Why the command never ran, with the exit code for it.
    fn not_started(&self, pod: &Value) -> Option<Failure> {
        let status = container_status(pod, None);
        let ended = &status["state"]["terminated"];
        let waiting = &status["state"]["waiting"];
        let (reason, message) = if text(ended, "/reason") == "StartError" {
            ("StartError", text(ended, "/message"))
        } else if is_stuck(text(waiting, "/reason")) {
            (text(waiting, "/reason"), text(waiting, "/message"))
        } else if status.is_null() && text(pod, "/status/phase") == "Failed" {
            (text(pod, "/status/reason"), text(pod, "/status/message"))
        } else {
            return None;
        };
        let code = start_code(message, number(ended, "/exitCode"));
        let (words, hint) = supervisor::split_hint(message);
        let words = if words.is_empty() { reason } else { words };
        let failure = Failure::new(&self.what, words).code(code);
        Some(failure.hint_maybe(hint.or(session::hint_for(code)).map(str::to_owned)))
    }

    /// Ends the supervisor hosted here: with everything, when nothing else is there; otherwise
    /// another one takes over in the background.
    async fn leave(&self, mut hosted: Hosted, settings: &Settings) -> Result<(), Failure> {
        let listed = self.client.list(Kind::Pods, &Filter::default()).await;
        let pods = listed.map(|list| list.items).unwrap_or_default();
        let own = |pod: &Value| {
            text(pod, "/metadata/name") == self.name
                && text(pod, "/metadata/namespace") == self.args.namespace
        };
        let others = pods.iter().filter(|pod| !own(pod)).count();
        let request = ShutdownRequest { stop_pods: others == 0, ..ShutdownRequest::default() };
        self.client.shutdown(&request).await.map_err(|error| self.failed(&error))?;
        hosted.ended().await?;
        if others > 0 {
            hosting::spawn(settings).await?;
            print::note(&format!("podvisor: a supervisor in the background keeps {others} pods"));
        }
        Ok(())
    }
}

/// A line of the log on the output that it came from.
fn print_line(text: &[u8]) -> Result<(), Failure> {
    use std::io::Write;
    let Some(parsed) = line::parse(text) else { return print::bytes(text) };
    let end: &[u8] = if parsed.is_full { b"\n" } else { b"" };
    if parsed.is_stderr {
        let mut stderr = std::io::stderr().lock();
        // Nobody may be reading.
        let _ = stderr.write_all(parsed.content).and_then(|()| stderr.write_all(end));
        return Ok(());
    }
    print::bytes(&[parsed.content, end].concat())
}

/// The container runs, has run, or cannot.
fn has_begun(pod: &Value) -> bool {
    let state = &container_status(pod, None)["state"];
    state["running"].is_object()
        || state["terminated"].is_object()
        || is_stuck(text(state, "/waiting/reason"))
        || is_done(pod)
}

/// A reason to wait that a pod of one does not outlive.
fn is_stuck(reason: &str) -> bool {
    matches!(
        reason,
        "ErrImageNeverPull"
            | "ErrImagePull"
            | "ImagePullBackOff"
            | "ImageInspectError"
            | "InvalidImageName"
            | "CreateContainerConfigError"
            | "CreateContainerError"
            | "RunContainerError"
            | "CreatePodSandboxError"
            | "StartError"
            | "CrashLoopBackOff"
    )
}

/// 127 and 126 by runc's words, which are API for engines too; 125 for anything else.
fn start_code(message: &str, exit_code: i64) -> u8 {
    match exit_code {
        126 => return 126,
        127 => return 127,
        _ => {}
    }
    // What is missing before the command is none of its own.
    let has = |words: &str| message.starts_with("exec: ") && message.contains(words);
    if has("executable file not found") || has("no such file or directory") {
        127
    } else if has("permission denied") || has("exec format error") || has("is a directory") {
        126
    } else {
        OWN_FAILURE
    }
}

/// The store knows the image: otherwise the pod would wait for it.
fn check_image(
    args: &RunArgs,
    settings: &Settings,
    what: &str,
) -> Result<(image::Store, image::Image), Failure> {
    let store = images::open(settings, what)?;
    match store.resolve(&args.image) {
        Ok(image) => Ok((store, image)),
        Err(error) => {
            let failure = images::failure(what, &error);
            Err(images::near(&store, &args.image, failure))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn runcs_words_become_exit_codes() {
        for (message, exit, want) in [
            ("exec: \"nope\": executable file not found in $PATH", 128, 127),
            ("exec: \"/x\": stat /x: no such file or directory", 128, 127),
            ("exec: \"/etc/passwd\": permission denied", 128, 126),
            ("", 127, 127),
            ("cgroup: no controller memory", 128, 125),
            ("make folder /proc/nope: no such file or directory (ENOENT)", 128, 125),
        ] {
            assert_eq!(start_code(message, exit), want, "{message}");
        }
    }

    #[test]
    fn a_pod_has_begun_when_there_is_something_to_say() {
        let pod = |state: Value| json!({"status": {"containerStatuses": [{"state": state}]}});
        assert!(has_begun(&pod(json!({"running": {}}))));
        assert!(has_begun(&pod(json!({"terminated": {"exitCode": 0}}))));
        assert!(has_begun(&pod(json!({"waiting": {"reason": "ErrImageNeverPull"}}))));
        assert!(!has_begun(&pod(json!({"waiting": {"reason": "ContainerCreating"}}))));
        assert!(!has_begun(&json!({})));
    }
}
