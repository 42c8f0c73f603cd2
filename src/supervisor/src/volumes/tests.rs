//! On the real kernel, as root, in scopes of their own.

use super::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

fn pod(spec: &str) -> pod::Pod {
    let text = format!("{{apiVersion: v1, kind: Pod, metadata: {{name: x}}, spec: {{{spec}}}}}");
    let parsed = pod::manifest::parse("test", &text, pod::Strictness::Strict).unwrap();
    let Some(pod::Object::Pod(pod)) = parsed.into_iter().next() else { panic!("a pod") };
    pod
}

/// A pod with one volume that its one container mounts.
fn one(volume: &str, mount: &str) -> pod::Pod {
    pod(&format!(
        "volumes: [{{name: v, {volume}}}], containers: [{{name: a, image: 'x:1', \
         volumeMounts: [{{name: v, mountPath: /data{mount}}}]}}]"
    ))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn sources(pod: &pod::Pod, dir: &Path) -> Result<Vec<ResolvedVolumeMount>, VolumeError> {
    mounts(pod, &pod.spec.containers[0], &Roots { pod_dir: dir, disk_dir: &disk_dir(dir) })
}

/// The folder of emptyDirs on disk that goes with a pod's folder.
fn disk_dir(dir: &Path) -> PathBuf {
    dir.with_file_name("root").join("volumes").join("u")
}

fn make(pod: &pod::Pod, dir: &Path) -> Result<(), VolumeError> {
    prepare(pod, &Roots { pod_dir: dir, disk_dir: &disk_dir(dir) })
}

fn clear(dir: &Path, keep: Keep) -> Result<(), VolumeError> {
    remove(&Roots { pod_dir: dir, disk_dir: &disk_dir(dir) }, keep)
}

#[test]
fn an_empty_dir_is_made_once_and_removed() {
    let Some(scope) = scope::enter("volumes::tests::an_empty_dir_is_made_once_and_removed") else {
        return;
    };
    let dir = scope.folder().join("pod");
    let pod = pod("securityContext: {fsGroup: 77}, volumes: [{name: disk, emptyDir: {}}, \
         {name: ram, emptyDir: {medium: Memory, sizeLimit: 1Mi}}], \
         containers: [{name: a, image: 'x:1', volumeMounts: [{name: disk, mountPath: /d}, \
         {name: ram, mountPath: /r, readOnly: true}]}]");
    make(&pod, &dir).unwrap();
    let (disk, ram) = (disk_dir(&dir).join("disk"), dir.join("volumes/ram"));
    for path in [&disk, &ram] {
        assert_eq!((mode(path), fs::metadata(path).unwrap().gid()), (0o2777, 77), "{path:?}");
    }
    assert_eq!(mode(&shm(&dir)), 0o1777);
    fs::write(disk.join("kept"), "x").unwrap();
    fs::write(ram.join("fits"), vec![1; 900 << 10]).unwrap();
    assert!(fs::write(ram.join("over"), vec![1; 900 << 10]).is_err(), "the size is a limit");
    fs::set_permissions(&disk, Permissions::from_mode(0o700)).unwrap();
    make(&pod, &dir).unwrap();
    assert!(disk.join("kept").exists() && ram.join("fits").exists(), "done twice, made once");
    assert_eq!(mode(&disk), 0o700, "a container's change stays");
    let mount = |source: &Path, destination: &str, read_only| ResolvedVolumeMount {
        source: source.to_path_buf(),
        destination: destination.into(),
        read_only,
        recursive: true,
    };
    let want = [mount(&disk, "/d", false), mount(&ram, "/r", true)];
    assert_eq!(sources(&pod, &dir).unwrap(), want);
    fs::write(dir.join("sandbox.json"), "{}").unwrap();
    assert!(!is_cleared(&dir));
    for keep in [Keep::All, Keep::OnDisk, Keep::Nothing, Keep::Nothing] {
        clear(&dir, keep).unwrap();
        remove_folder(&dir).unwrap();
        assert!(is_cleared(&dir) && !shm(&dir).exists(), "{keep:?}");
        assert_eq!(ram.join("fits").exists(), keep == Keep::All, "{keep:?}");
        assert_eq!(dir.exists(), keep == Keep::All, "{keep:?}");
        assert_eq!(disk.join("kept").exists(), keep != Keep::Nothing, "{keep:?}");
        assert_eq!(disk_dir(&dir).exists(), keep != Keep::Nothing, "{keep:?}");
    }
    clear(&dir, Keep::Nothing).unwrap();
}

#[test]
fn host_paths_are_what_their_type_says() {
    let Some(scope) = scope::enter("volumes::tests::host_paths_are_what_their_type_says") else {
        return;
    };
    let (host, dir) = (scope.folder().join("host"), scope.folder().join("pod"));
    fs::create_dir(&host).unwrap();
    fs::write(host.join("file"), "").unwrap();
    symlink(host.join("nowhere"), host.join("dangling")).unwrap();
    symlink("file", host.join("link")).unwrap();
    let cases = [
        ("file", "File", Ok(())),
        ("link", "File", Ok(())),
        ("file", "Directory", Err("a regular file")),
        ("", "Directory", Ok(())),
        ("", "File", Err("a folder")),
        ("none", "File", Err("No such file")),
        ("none", "Socket", Err("No such file")),
        ("new/folder", "DirectoryOrCreate", Ok(())),
        ("file", "DirectoryOrCreate", Err("a regular file")),
        ("new-file", "FileOrCreate", Ok(())),
        ("dangling", "FileOrCreate", Err("No such file")),
        ("dangling", "DirectoryOrCreate", Err("No such file")),
        ("file", "BlockDevice", Err("a regular file")),
    ];
    for (path, kind, want) in cases {
        let whole = host.join(path);
        let volume = format!("hostPath: {{path: {}, type: {kind}}}", whole.display());
        let got = make(&one(&volume, ""), &dir);
        match (got, want) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err(words)) => {
                let text = crate::error::chain(&error);
                assert!(text.contains(words) && text.contains("\"v\""), "{path} {kind}: {text}");
                assert!(error.hint().is_some(), "{path} {kind}");
            }
            (got, _) => panic!("{path} {kind}: {got:?}"),
        }
    }
    assert_eq!(mode(&host.join("new/folder")), 0o755);
    assert_eq!(mode(&host.join("new-file")), 0o644);
    assert!(!host.join("nowhere").exists(), "a dangling link is not followed by making");
    let unset = one(&format!("hostPath: {{path: {}/gone}}", host.display()), "");
    make(&unset, &dir).unwrap();
    assert!(sources(&unset, &dir).unwrap_err().hint().unwrap().contains("DirectoryOrCreate"));
    clear(&dir, Keep::Nothing).unwrap();
    assert!(host.join("file").exists() && host.join("new/folder").exists());
    fs::remove_dir_all(&dir).unwrap();
    fs::remove_dir_all(&host).unwrap();
}

/// Red when `sub_path.rs` opens the part by its path on the host and not with the volume as root.
#[test]
fn cve_2017_1002101_a_sub_path_cannot_leave_its_volume() {
    let Some(scope) =
        scope::enter("volumes::tests::cve_2017_1002101_a_sub_path_cannot_leave_its_volume")
    else {
        return;
    };
    let (dir, canary) = (scope.folder().join("pod"), scope.folder().join("canary"));
    fs::create_dir(&canary).unwrap();
    fs::write(canary.join("secret"), "host").unwrap();
    let pod = one("emptyDir: {}", ", subPath: a/b");
    make(&pod, &dir).unwrap();
    let volume = disk_dir(&dir).join("v");
    // Nothing there: folders are made with the mode of the volume.
    let bound = dir.join("subpaths/a/0");
    let got = sources(&pod, &dir).unwrap();
    assert_eq!((&got[0].source, got[0].recursive), (&bound, false));
    assert_eq!(mode(&volume.join("a/b")), 0o777);
    fs::write(bound.join("seen"), "x").unwrap();
    assert!(volume.join("a/b/seen").exists());
    // The container exchanges the part after the start: what was bound stays.
    fs::rename(volume.join("a"), volume.join("old")).unwrap();
    symlink(&canary, volume.join("a")).unwrap();
    assert!(bound.join("seen").exists());
    // At the next start the link is read within the volume, where nothing is: no way out.
    let error = sources(&pod, &dir).unwrap_err();
    assert!(error.hint().is_some(), "{error:?}");
    fs::remove_file(volume.join("a")).unwrap();
    // A link to a file within is followed; a file is bound as one.
    fs::create_dir(volume.join("a")).unwrap();
    fs::write(volume.join("real"), "data").unwrap();
    symlink("/real", volume.join("a/b")).unwrap();
    sources(&pod, &dir).unwrap();
    assert_eq!(fs::read_to_string(&bound).unwrap(), "data");
    fs::remove_file(volume.join("a/b")).unwrap();
    symlink(canary.join("secret"), volume.join("a/b")).unwrap();
    assert!(sources(&pod, &dir).is_err(), "an absolute link means the volume's root");
    clear(&dir, Keep::Nothing).unwrap();
    assert_eq!(fs::read_to_string(canary.join("secret")).unwrap(), "host");
    fs::remove_dir_all(&canary).unwrap();
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn removal_neither_crosses_mounts_nor_follows_links_nor_minds_depth() {
    let name = "volumes::tests::removal_neither_crosses_mounts_nor_follows_links_nor_minds_depth";
    let Some(scope) = scope::enter(name) else { return };
    let (dir, canary) = (scope.folder().join("pod"), scope.folder().join("canary"));
    fs::create_dir(&canary).unwrap();
    fs::write(canary.join("secret"), "host").unwrap();
    let pod = one("emptyDir: {}", "");
    make(&pod, &dir).unwrap();
    let volume = disk_dir(&dir).join("v");
    symlink(&canary, volume.join("link")).unwrap();
    fs::create_dir_all(volume.join(".lifted-1/x")).unwrap();
    // Deeper than descriptors or a path can reach.
    let mut folder = sys::dir::open_root(&volume).unwrap();
    for _ in 0..5_000 {
        sys::dir::make_folder(&folder, b"deep", 0o700).unwrap();
        folder = sys::dir::open_folder(&folder, b"deep").unwrap();
    }
    drop(folder);
    // Something that is not ours is mounted in the volume: it is told, and not entered.
    let strange = volume.join("strange");
    fs::create_dir(&strange).unwrap();
    let host = fs::File::open(&canary).unwrap();
    sys::volume::bind(std::os::fd::AsFd::as_fd(&host), &strange).unwrap();
    let error = clear(&dir, Keep::Nothing).unwrap_err();
    assert!(error.to_string().contains("strange"), "{error}");
    assert_eq!(fs::read_to_string(canary.join("secret")).unwrap(), "host");
    assert!(!shm(&dir).exists(), "the rest is gone");
    sys::volume::unmount(&strange).unwrap();
    clear(&dir, Keep::Nothing).unwrap();
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
    assert!(!disk_dir(&dir).exists());
    fs::remove_dir_all(&canary).unwrap();
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn the_size_of_memory_is_the_smaller_limit() {
    let options = |limit: &str, size: &str| {
        let pod = pod(&format!(
            "volumes: [{{name: v, emptyDir: {{medium: Memory{size}}}}}], \
             containers: [{{name: a, image: 'x:1'{limit}}}]"
        ));
        tmpfs_options(&pod.spec, pod.spec.volumes[0].empty_dir.as_ref().unwrap())
    };
    let limit = ", resources: {limits: {memory: 2Mi}}";
    assert_eq!(options("", ""), "mode=777");
    assert_eq!(options(limit, ""), "mode=777,size=2097152");
    assert_eq!(options(limit, ", sizeLimit: 1Mi"), "mode=777,size=1048576");
    assert_eq!(options(limit, ", sizeLimit: 4Mi"), "mode=777,size=2097152");
    assert_eq!(options("", ", sizeLimit: '0'"), "mode=777", "0 is no limit, as in Kubernetes");
}
