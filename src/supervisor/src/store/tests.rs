use super::*;
use crate::event::{About, EventLog};
use std::fs;

struct Folder(scope::Folder);

impl Folder {
    fn new() -> Folder {
        Folder(scope::Folder::new("store"))
    }

    fn file(&self) -> PathBuf {
        self.0.join(FILE_NAME)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<String> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}, uid: u1,
           creationTimestamp: '2026-11-24T00:00:00Z'}
spec:
  shareProcessNamespace: false
  terminationGracePeriodSeconds: 0
  securityContext: {fsGroup: 7, sysctls: [{name: net.core.somaxconn, value: '5'}]}
  volumes: [{name: data, emptyDir: {medium: Memory, sizeLimit: 1Mi}}, {name: disk, emptyDir: {}}]
  initContainers: [{name: side, image: 'x:1', restartPolicy: Always}]
  containers:
  - name: main
    image: web:1
    command: []
    args: ['', a]
    env: [{name: A, value: ''}, {name: B, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]
    ports: [{name: http, containerPort: 80, hostPort: 8080, protocol: UDP}]
    resources: {limits: {cpu: 500m, memory: 64Mi}}
    volumeMounts: [{name: data, mountPath: /data, readOnly: true, subPath: a/b}]
    livenessProbe: {httpGet: {port: http, httpHeaders: [{name: X, value: ''}]}}
    readinessProbe: {tcpSocket: {port: 80}}
    securityContext: {capabilities: {drop: [ALL]}, seccompProfile: {type: Unconfined}}
";

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, uid: d1}
spec:
  replicas: 0
  strategy: {rollingUpdate: {maxSurge: 30%, maxUnavailable: 1}}
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: a, image: 'x:1'}]}}
";

fn pod(uid: &str) -> SavedPod {
    let parsed = pod::manifest::parse("test", POD, pod::Strictness::Strict).unwrap();
    let Some(pod::Object::Pod(mut pod)) = parsed.into_iter().next() else { panic!("a pod") };
    pod.metadata.uid = Some(uid.to_owned());
    let mut memory = PodMemory { initialized: true, ..PodMemory::default() };
    let container = memory.containers.entry("main".to_owned()).or_default();
    container.probes.entry(pod::ProbeKind::Liveness).or_default().run = 3;
    SavedPod {
        uid: uid.to_owned(),
        pod,
        owner: Some("d1".to_owned()),
        template_hash: None,
        created_at: 5,
        created_unix_ms: 6,
        memory,
        ids: None,
    }
}

fn deployment() -> SavedDeployment {
    let parsed = pod::manifest::parse("test", DEPLOYMENT, pod::Strictness::Strict).unwrap();
    let Some(pod::Object::Deployment(deployment)) = parsed.into_iter().next() else {
        panic!("a Deployment")
    };
    let memory = DeploymentMemory { batch: 2, ..DeploymentMemory::default() };
    let uid = "d1".to_owned();
    SavedDeployment { uid, deployment, created_unix_ms: 1, memory, deleting: true }
}

fn events() -> Vec<(u64, Event)> {
    let mut log = EventLog::new(Vec::new());
    let name = "web".to_owned();
    let about = About { kind: "Pod", namespace: "shop".into(), name, uid: "u1".into() };
    log.add(&about, true, ("BackOff", "waits"), 1_000);
    log.add(&about, false, ("Started", "runs"), 2_000);
    log.take_dirty()
}

fn full_change() -> Change {
    Change {
        boot_id: Some("boot".to_owned()),
        put_pods: vec![pod("u1"), pod("u2")],
        put_deployments: vec![deployment()],
        put_addresses: vec![("u1".to_owned(), Ipv4Addr::new(10, 77, 0, 2))],
        put_events: events(),
        ..Change::default()
    }
}

#[test]
fn what_is_committed_is_read_back() {
    let folder = Folder::new();
    let root = folder.0.join("not/there/yet");
    let opened = Store::open(&root).unwrap();
    assert!(opened.salvage.is_none() && opened.saved.pods.is_empty());
    assert_eq!(opened.saved.boot_id, None);
    opened.store.commit(&full_change()).unwrap();
    drop(opened);

    let opened = Store::open(&root).unwrap();
    let saved = opened.saved;
    assert_eq!(opened.salvage, None);
    assert_eq!(saved.boot_id.as_deref(), Some("boot"));
    assert_eq!(saved.pods, [pod("u1"), pod("u2")]);
    assert_eq!(saved.deployments, [deployment()]);
    assert_eq!(saved.addresses.into_iter().collect::<Vec<_>>(), full_change().put_addresses);
    assert_eq!(saved.events, events().into_iter().map(|(_, e)| e).collect::<Vec<_>>());

    let change = Change {
        remove_pods: vec!["u1".to_owned(), "never".to_owned()],
        remove_deployments: vec!["d1".to_owned()],
        remove_addresses: vec!["u1".to_owned()],
        put_addresses: vec![("u2".to_owned(), Ipv4Addr::new(10, 77, 0, 3))],
        remove_events: vec![0, 99],
        ..Change::default()
    };
    opened.store.commit(&change).unwrap();
    drop(opened.store);
    let saved = Store::open(&root).unwrap().saved;
    assert_eq!(saved.pods, [pod("u2")]);
    assert!(saved.deployments.is_empty());
    assert_eq!(saved.addresses.len(), 1);
    assert_eq!(saved.events.len(), 1);
    assert_eq!(saved.boot_id.as_deref(), Some("boot"), "what is not in a change stays");
}

#[test]
fn the_file_is_private_and_held_by_one() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let opened = Store::open(&folder.0).unwrap();
    assert_eq!(fs::metadata(folder.file()).unwrap().permissions().mode() & 0o777, 0o600);
    let second = Store::open(&folder.0).unwrap_err();
    assert!(matches!(second, StoreError::Occupied { .. }), "{second:?}");
    assert!(second.hint().unwrap().contains("--root"));
    opened.store.commit(&full_change()).unwrap();
}

#[test]
fn an_empty_change_writes_nothing() {
    let folder = Folder::new();
    let opened = Store::open(&folder.0).unwrap();
    let before = fs::metadata(folder.file()).unwrap().modified().unwrap();
    assert!(Change::default().is_empty() && !full_change().is_empty());
    opened.store.commit(&Change::default()).unwrap();
    assert_eq!(fs::metadata(folder.file()).unwrap().modified().unwrap(), before);
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let folder = Folder::new();
    drop(Store::open(&folder.0).unwrap());
    let database = file::open(&folder.file()).unwrap();
    let steps: &[tables::Migration] = &[|_| Ok(())];
    tables::bring_up(&database, &folder.file(), steps).unwrap();
    drop(database);
    let error = Store::open(&folder.0).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 2, known: 1, .. }), "{error:?}");
    assert!(error.to_string().contains(&folder.file().display().to_string()));
    assert!(error.hint().is_some());
    assert_eq!(folder.names(), [FILE_NAME]);
}

#[test]
fn an_older_schema_takes_the_steps_it_lacks_once() {
    let folder = Folder::new();
    let opened = Store::open(&folder.0).unwrap();
    opened.store.commit(&full_change()).unwrap();
    drop(opened);
    let database = file::open(&folder.file()).unwrap();
    let never: tables::Migration = |_| Err(redb::Error::Corrupted("twice".to_owned()).into());
    let table: redb::TableDefinition<'_, &str, &str> = redb::TableDefinition::new("new");
    let step: tables::Migration = |transaction| {
        let table: redb::TableDefinition<'_, &str, &str> = redb::TableDefinition::new("new");
        transaction.open_table(table)?.insert("a", "b")?;
        Ok(())
    };
    let failing = tables::bring_up(&database, &folder.file(), &[step, never]);
    assert!(failing.is_err());
    use redb::ReadableDatabase as _;
    let there = |database: &Database| database.begin_read().unwrap().open_table(table).is_ok();
    assert!(!there(&database), "a failed step takes the others back");
    tables::bring_up(&database, &folder.file(), &[step]).unwrap();
    assert!(there(&database));
    tables::bring_up(&database, &folder.file(), &[never]).unwrap();
    assert_eq!(tables::read(&database, &folder.file()).unwrap().saved.pods.len(), 2);
}

#[test]
fn a_record_that_cannot_be_read_costs_no_other_and_stays() {
    let folder = Folder::new();
    let opened = Store::open(&folder.0).unwrap();
    opened.store.commit(&full_change()).unwrap();
    drop(opened);
    let database = file::open(&folder.file()).unwrap();
    let table: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("pods");
    let transaction = database.begin_write().unwrap();
    transaction.open_table(table).unwrap().insert("u1", b"{\"uid\":".as_slice()).unwrap();
    transaction.commit().unwrap();
    drop(database);
    for _ in 0..2 {
        let opened = Store::open(&folder.0).unwrap();
        assert_eq!(opened.saved.pods, [pod("u2")]);
        assert_eq!(opened.saved.deployments.len(), 1);
        let salvage = opened.salvage.unwrap();
        assert!(salvage.contains("pod u1") && salvage.contains(FILE_NAME), "{salvage}");
    }
}

#[test]
fn what_is_no_database_is_set_aside() {
    for garbage in [&b"garbage"[..], &[0; 5000], &[0xff; 100_000]] {
        let folder = Folder::new();
        fs::write(folder.file(), garbage).unwrap();
        let opened = Store::open(&folder.0).unwrap();
        let salvage = opened.salvage.unwrap();
        let names = folder.names();
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(names[1].starts_with("podvisor.redb.damaged-"), "{names:?}");
        assert!(salvage.contains(&names[1]), "{salvage}");
        assert_eq!(fs::read(folder.0.join(&names[1])).unwrap(), garbage);
        opened.store.commit(&full_change()).unwrap();
    }
}

/// Opens a copy of a good file with one damage; what is read is a part of what was written.
fn survives(good: &[u8], what: &str, damage: impl FnOnce(&mut Vec<u8>)) {
    let folder = Folder::new();
    let mut bytes = good.to_vec();
    damage(&mut bytes);
    fs::write(folder.file(), &bytes).unwrap();
    let opened = Store::open(&folder.0).unwrap_or_else(|error| panic!("{what}: {error:?}"));
    opened.store.commit(&full_change()).unwrap_or_else(|error| panic!("{what}: {error:?}"));
}

/// The bytes of a file after some commits, closed in order or cut off.
fn good_file(closed: bool) -> Vec<u8> {
    let folder = Folder::new();
    let opened = Store::open(&folder.0).unwrap();
    for _ in 0..3 {
        opened.store.commit(&full_change()).unwrap();
        let gone = Change { remove_pods: vec!["u1".to_owned()], ..Change::default() };
        opened.store.commit(&gone).unwrap();
    }
    let cut_off = fs::read(folder.file()).unwrap();
    drop(opened);
    if closed { fs::read(folder.file()).unwrap() } else { cut_off }
}

/// Damages a good file at about `tries` places where something stands, and cuts it as often.
fn damage_everywhere(good: &[u8], tries: usize) {
    let used: Vec<usize> = (0..good.len()).filter(|at| good[*at] != 0 || *at < 320).collect();
    for at in used.iter().step_by((used.len() / tries).max(1)) {
        survives(good, &format!("bit at {at}"), |bytes| bytes[*at] ^= 1 << (at % 8));
    }
    for length in (0..good.len()).step_by(good.len() / (tries / 4).max(1) + 1) {
        survives(good, &format!("cut at {length}"), |bytes| bytes.truncate(length));
    }
}

#[test]
fn truncation_and_flipped_bits_never_panic() {
    for closed in [true, false] {
        damage_everywhere(&good_file(closed), 100);
    }
}

#[test]
fn bits_of_the_header_may_flip() {
    let good = good_file(true);
    for bit in 0..320 * 8 {
        // Densely where no checksum watches.
        if bit % 41 == 0 || bit < 64 * 8 && bit % 3 == 0 {
            survives(&good, &format!("header bit {bit}"), |b| b[bit / 8] ^= 1 << (bit % 8));
        }
    }
}

#[test]
fn a_root_that_is_a_file_is_told() {
    let folder = Folder::new();
    let root = folder.0.join("file");
    fs::write(&root, "").unwrap();
    let error = Store::open(&root).unwrap_err();
    assert!(error.to_string().contains(&root.display().to_string()), "{error}");
    assert!(error.hint().is_some(), "{error:?}");
}

/// Mounts a small tmpfs, in a scope's own mount namespace.
fn small_disk(path: &Path, bytes: usize) {
    fs::create_dir(path).unwrap();
    sys::volume::mount_tmpfs(path, &format!("size={bytes}"), false).unwrap();
}

#[test]
fn a_full_disk_is_told_and_recovered_from() {
    let Some(scope) = scope::enter("store::tests::a_full_disk_is_told_and_recovered_from") else {
        return;
    };
    let root = scope.folder().join("root");
    small_disk(&root, 4 << 20);
    let opened = Store::open(&root).unwrap();
    opened.store.commit(&full_change()).unwrap();
    let ballast = root.join("ballast");
    // It stops where the disk is full.
    let _ = fs::write(&ballast, vec![1; 8 << 20]);
    let mut large = pod("large");
    large.pod.metadata.annotations.insert("a".to_owned(), "x".repeat(3 << 20));
    let change = Change { put_pods: vec![large], ..Change::default() };
    let error = opened.store.commit(&change).unwrap_err();
    assert!(error.hint().unwrap().contains("free space"), "{error:?}");
    assert!(crate::error::chain(&error).contains("No space left"), "{error:?}");
    fs::remove_file(&ballast).unwrap();
    let gone = Change { remove_pods: vec!["u1".to_owned()], ..Change::default() };
    opened.store.commit(&gone).unwrap();
    drop(opened);
    let opened = Store::open(&root).unwrap();
    assert_eq!((opened.salvage, opened.saved.pods), (None, vec![pod("u2")]));
    drop(opened.store);
    sys::volume::unmount(&root).unwrap();
    fs::remove_dir(&root).unwrap();
}

#[test]
fn a_read_only_disk_is_told() {
    let Some(scope) = scope::enter("store::tests::a_read_only_disk_is_told") else { return };
    let root = scope.folder().join("root");
    small_disk(&root, 4 << 20);
    let remount = |how: &str| {
        let options = format!("remount,{how}");
        let mut mount = std::process::Command::new("mount");
        assert!(mount.args(["-o", &options]).arg(&root).status().unwrap().success());
    };
    drop(Store::open(&root).unwrap());
    remount("ro");
    let error = Store::open(&root).unwrap_err();
    assert!(error.hint().unwrap().contains("read-only"), "{error:?}");
    assert!(error.to_string().contains(FILE_NAME), "{error}");
    assert_eq!(fs::read_dir(&root).unwrap().count(), 1, "nothing is set aside for that");
    remount("rw");
    drop(Store::open(&root).unwrap());
    sys::volume::unmount(&root).unwrap();
    fs::remove_dir(&root).unwrap();
}
