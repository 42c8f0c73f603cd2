//! The loop through its public face, on a host where no sandbox can be made: requests, watching,
//! failures in words, durability, the lock, both ends. Needs no privilege and changes no kernel
//! state.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failing step of a test is a failing test"
)]

use std::path::Path;
use std::time::Duration;

use pod::{Object, Strictness};
use serde_json::Value;
use supervisor::{Error, Handle, Options, Outcome, Paths, ShutdownMode};

const DEADLINE: Duration = Duration::from_secs(20);

const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: main, image: 'nothing:1'}]
";

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: many, namespace: shop}
spec:
  replicas: 3
  selector: {matchLabels: {app: many}}
  template:
    metadata: {labels: {app: many}}
    spec: {containers: [{name: main, image: 'nothing:1'}]}
";

struct Folder(scope::Folder);

impl Folder {
    fn new(name: &str) -> Folder {
        Folder(scope::Folder::new(name))
    }

    fn options(&self) -> Options {
        let at = |name: &str| self.0.join(name);
        let paths = Paths { root: at("root"), state: at("state"), log_dir: at("log") };
        let runtime_program = "/no/such/podvisor-oci".into();
        Options { runtime_program, ..Options::new(paths) }
    }
}

/// Runs a supervisor and beside it `story`, which ends it.
fn play<F: Future<Output = ()>>(folder: &Folder, story: impl FnOnce(Handle) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (sender, ready) = tokio::sync::oneshot::channel();
        let served = supervisor::serve(folder.options(), move |handle| {
            let _ = sender.send(handle);
        });
        let told = async {
            // Without a handle the supervisor did not start, and its error says more.
            if let Ok(handle) = ready.await {
                story(handle).await;
            }
        };
        let both = async { tokio::join!(served, told).0 };
        tokio::time::timeout(DEADLINE, both).await.expect("in time").expect("a good end");
    });
}

fn objects(text: &str) -> Vec<Object> {
    pod::manifest::parse("test", text, Strictness::Strict).unwrap()
}

async fn outcome(handle: &Handle, text: &str) -> Outcome {
    handle.apply(objects(text)).await.unwrap()[0].outcome
}

/// Waits for a state of the pods.
async fn until(handle: &Handle, wanted: impl Fn(&[(Value, Value)]) -> bool) {
    let mut version = handle.watch();
    loop {
        version.borrow_and_update();
        let views = handle.list_pods().await.unwrap();
        let pods: Vec<(Value, Value)> = views
            .into_iter()
            .map(|view| (serde_json::to_value(view.pod).unwrap(), view.status))
            .collect();
        if wanted(&pods) {
            return;
        }
        version.changed().await.unwrap();
    }
}

async fn leave(handle: &Handle) {
    let mode = ShutdownMode { stop_pods: false, keep_objects: false, grace: None };
    handle.shutdown(mode).await.unwrap();
}

#[test]
fn what_is_applied_is_tried_told_and_remembered() {
    let folder = Folder::new("remembered");
    play(&folder, |handle| async move {
        assert_eq!(outcome(&handle, POD).await, Outcome::Created);
        assert_eq!(outcome(&handle, POD).await, Outcome::Unchanged);
        until(&handle, |pods| {
            let waiting = &pods[0].1["containerStatuses"][0]["state"]["waiting"];
            waiting["reason"] == "CreatePodSandboxError"
                && waiting["message"].as_str().unwrap().contains("/no/such/podvisor-oci")
        })
        .await;
        let exec = handle.exec_target("default", "web", None).await;
        assert!(matches!(exec, Err(Error::NotRunning { .. })), "{exec:?}");
        let log = handle.log_path("default", "web", Some("side"), false).await;
        assert!(matches!(log, Err(Error::NoContainer { .. })), "{log:?}");
        let log = handle.log_path("default", "web", None, false).await.unwrap();
        assert!(log.ends_with("main/0.log"), "{}", log.display());
        let events = serde_json::to_value(handle.events().await.unwrap()).unwrap();
        assert_eq!(events[0]["reason"], "FailedCreatePodSandBox");
        leave(&handle).await;
        assert!(matches!(handle.list_pods().await, Err(Error::Ended)));
    });
    play(&folder, |handle| async move {
        let views = handle.list_pods().await.unwrap();
        assert_eq!(views[0].pod.metadata.name, "web");
        assert_eq!(outcome(&handle, POD).await, Outcome::Unchanged);
        let changed = POD.replace("nothing:1", "nothing:2");
        assert_eq!(outcome(&handle, &changed).await, Outcome::Configured);
        handle.delete("Pod", "default", "web", None).await.unwrap();
        until(&handle, <[_]>::is_empty).await;
        let again = handle.delete("Pod", "default", "web", None).await;
        assert!(matches!(again, Err(Error::NotFound)), "{again:?}");
        leave(&handle).await;
    });
    let left = std::fs::read_dir(folder.0.join("state/pods")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "folders of pods");
}

#[test]
fn a_deployment_makes_scales_and_takes_its_pods_along() {
    let folder = Folder::new("deployment");
    play(&folder, |handle| async move {
        assert_eq!(outcome(&handle, DEPLOYMENT).await, Outcome::Created);
        until(&handle, |pods| pods.len() == 3).await;
        for view in handle.list_pods().await.unwrap() {
            let meta = view.pod.metadata;
            let hash = &meta.labels["pod-template-hash"];
            assert!(meta.name.starts_with(&format!("many-{hash}-")), "{}", meta.name);
            assert_eq!(
                (meta.namespace(), meta.owner_references[0].name.as_str()),
                ("shop", "many")
            );
        }
        handle.scale("shop", "many", 1).await.unwrap();
        until(&handle, |pods| pods.len() == 1).await;
        let status = handle.list_deployments().await.unwrap().remove(0);
        assert_eq!(
            (status.deployment.spec.replicas, &status.status["replicas"]),
            (Some(1), &1.into())
        );
        handle.delete("Deployment", "shop", "many", None).await.unwrap();
        until(&handle, <[_]>::is_empty).await;
        leave(&handle).await;
    });
}

/// Uids by kind, sorted.
async fn uids(handle: &Handle) -> Vec<(&'static str, String)> {
    let pods = handle.list_pods().await.unwrap().into_iter();
    let pods = pods.map(|view| ("Pod", view.pod.metadata.uid.unwrap_or_default()));
    let deployments = handle.list_deployments().await.unwrap().into_iter();
    let deployments =
        deployments.map(|view| ("Deployment", view.deployment.metadata.uid.unwrap_or_default()));
    let mut all: Vec<_> = pods.chain(deployments).collect();
    all.sort();
    all
}

#[test]
fn an_end_takes_everything_down_and_keeps_the_objects_when_asked_to() {
    let folder = Folder::new("kept");
    let database = folder.0.join("root/podvisor.redb");
    let end = |keep_objects| ShutdownMode { stop_pods: true, keep_objects, grace: Some(0) };
    let (sender, receiver) = std::sync::mpsc::channel();
    play(&folder, |handle| async move {
        outcome(&handle, POD).await;
        outcome(&handle, DEPLOYMENT).await;
        until(&handle, |pods| pods.len() == 4).await;
        sender.send(uids(&handle).await).unwrap();
        let (first, second) = tokio::join!(handle.shutdown(end(true)), handle.shutdown(end(false)));
        assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
    });
    assert!(database.exists() && !folder.0.join("state/pods").exists());
    let before = receiver.recv().unwrap();
    assert_eq!(before.len(), 5);
    play(&folder, |handle| async move {
        assert_eq!(uids(&handle).await, before, "nothing was deleted, nothing is new");
        let views = handle.list_pods().await.unwrap();
        assert!(views.iter().all(|v| v.pod.metadata.deletion_timestamp.is_none()));
        handle.delete("Pod", "default", "web", None).await.unwrap();
        until(&handle, |pods| pods.len() == 3).await;
        handle.shutdown(end(true)).await.unwrap();
    });
    play(&folder, |handle| async move {
        assert_eq!(uids(&handle).await.len(), 4, "what was deleted before stays away");
        handle.shutdown(end(false)).await.unwrap();
    });
    assert!(!database.exists());
}

#[test]
fn a_second_one_is_told_who_is_first() {
    let folder = Folder::new("second");
    let options = folder.options();
    play(&folder, |handle| async move {
        let second = supervisor::serve(options, |_| panic!("two at once")).await;
        match second {
            Err(error @ Error::Locked { .. }) => {
                assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
            }
            other => panic!("{other:?}"),
        }
        leave(&handle).await;
    });
    assert!(Path::new(&folder.0.join("root/podvisor.redb")).exists());
}
