//! The store as a whole, in a scope of its own: what goes in, what others read, what is left.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::extract::forge::Forge;
use crate::{Error, ImportOptions, LoadOptions, Quiet, Store};

fn sh(folder: &Path, line: &str) -> String {
    let out = Command::new("sh").args(["-ec", line]).current_dir(folder).output().unwrap();
    assert!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn rootfs(file: &str, text: &[u8]) -> Vec<u8> {
    let base = Forge::default().folder("etc").folder("tmp");
    base.with(file.as_bytes(), b'0', text).link("l", "etc").end()
}

/// A tar, imported as `name`.
fn import(store: &Store, folder: &Path, name: &str, tar: &[u8]) -> PathBuf {
    let path = folder.join(format!("{}.tar", name.replace([':', '/'], "-")));
    fs::write(&path, tar).unwrap();
    let opts = ImportOptions {
        cmd: Some(vec!["/bin/true".into()]),
        env: vec!["A=b".into()],
        expose: vec!["80".into()],
        ..ImportOptions::default()
    };
    store.import(&path, name, &opts, &mut Quiet).unwrap();
    path
}

fn load(store: &Store, path: &Path) -> crate::Result<Vec<crate::Loaded>> {
    store.load(path, &LoadOptions::default(), &mut Quiet)
}

fn files(folder: &Path) -> usize {
    sh(folder, "find . -type f | wc -l").trim().parse().unwrap()
}

#[test]
fn skopeo_reads_the_store_and_every_form_is_loaded() {
    let name = "store::tests::skopeo_reads_the_store_and_every_form_is_loaded";
    let Some(scope) = scope::enter(name) else { return };
    let at = scope.folder();
    let store = Store::open(&at.join("root")).unwrap();
    import(&store, at, "web:1", &rootfs("etc/motd", b"hello"));
    let shown = sh(at, "skopeo inspect oci:root/store:web:1");
    assert!(shown.contains("Layers") && shown.contains("A=b"), "{shown}");
    sh(
        at,
        "for f in oci:layout:1 oci-archive:oci.tar:1 docker-archive:docker.tar:team/web:2 \
            docker-archive:more.tar:a:1; do skopeo copy -q oci:root/store:web:1 $f; done; \
            gzip -k oci.tar; zstd -q docker.tar; umoci --version >/dev/null; \
            skopeo copy -q --dest-compress-format zstd --dest-compress oci:root/store:web:1 oci:zst:z",
    );
    for (path, name) in [
        ("layout", "layout:1"),
        ("oci.tar", "oci:1"),
        ("oci.tar.gz", "oci:1"),
        ("docker.tar", "team/web:2"),
        ("docker.tar.zst", "team/web:2"),
        ("zst", "zst:z"),
    ] {
        let other = Store::open(&at.join("other")).unwrap();
        let loaded = load(&other, &at.join(path)).unwrap_or_else(|e| panic!("{path}: {e:?}"));
        assert_eq!(loaded[0].names, [name], "{path}");
        let image = other.resolve(name).unwrap();
        assert_eq!((image.cmd(), image.env()), (&["/bin/true".into()][..], &["A=b".into()][..]));
        assert_eq!(image.exposed_ports(), ["80/tcp"]);
        let rootfs = other.prepare(&image, "c.0", None).unwrap();
        assert_eq!(fs::read(rootfs.lower[0].join("etc/motd")).unwrap(), b"hello");
        sh(
            at,
            "mkdir -p m; mount -t overlay o -o lowerdir=$(echo other/snapshots/[0-9]*),\
                upperdir=other/containers/c.0/upper,workdir=other/containers/c.0/work m; \
                test $(cat m/etc/motd) = hello; stat -c %a m | grep -qx 755; umount m; rmdir m",
        );
        assert!(matches!(other.remove(name, false), Err(Error::InUse { .. })), "{path}");
        other.release("c.0").unwrap();
        other.release("c.0").unwrap();
        other.remove(name, false).unwrap();
        assert_eq!(files(&at.join("other/store/blobs")), 0, "{path}");
        assert_eq!(files(&at.join("other/snapshots")), 0, "{path}");
        fs::remove_dir_all(at.join("other")).unwrap();
    }
    let Err(Error::MissingImage { near, .. }) = store.resolve("wep:1") else { panic!() };
    assert_eq!(near, ["web:1"]);
    let digest = store.resolve("web:1").unwrap().digest;
    assert_eq!(store.resolve(&digest[7..15]).unwrap().digest, digest);
    sh(at, "rm -rf *");
}

#[test]
fn layers_stack_and_implied_folders_keep_their_attributes() {
    let name = "store::tests::layers_stack_and_implied_folders_keep_their_attributes";
    let Some(scope) = scope::enter(name) else { return };
    let at = scope.folder();
    // umoci writes the second layer; its tar is then replaced by one without its folders.
    sh(
        at,
        "umoci init --layout i; umoci new --image i:1; mkdir -p a/var/tmp a/gone; \
            chmod 1777 a/var/tmp; chown 7:8 a/var; echo x >a/gone/f; echo one >a/f; \
            umoci insert --image i:1 a/var /var; umoci insert --image i:1 a/gone /gone; \
            mkdir -p b/var/tmp; echo two >b/var/tmp/new; tar -C b -cf two.tar var/tmp/new; \
            umoci raw add-layer --image i:1 two.tar; umoci insert --image i:1 --whiteout /gone",
    );
    let store = Store::open(&at.join("root")).unwrap();
    load(&store, &at.join("i")).unwrap();
    let image = store.resolve("i:1").unwrap();
    assert_eq!(image.layers.len(), 4);
    let rootfs = store.prepare(&image, "c", None).unwrap();
    let lower: Vec<String> = rootfs.lower.iter().map(|p| p.display().to_string()).collect();
    sh(at, &format!("mkdir m; mount -t overlay o -o ro,lowerdir={} m", lower.join(":")));
    sh(at, "umoci unpack --image i:1 bundle 2>/dev/null");
    let facts = "find . -mindepth 1 -printf '%P %y %m %U %G %s\n' | grep -v ' d ' | sort; \
                 find . -mindepth 1 -type d -printf '%P %m %U %G\n' | sort";
    let (ours, theirs) = (sh(&at.join("m"), facts), sh(&at.join("bundle/rootfs"), facts));
    sh(at, "umount m");
    assert_eq!(ours, theirs);
    assert!(ours.contains("var/tmp 1777 0 0") && !ours.contains("gone"), "{ours}");
    sh(at, "rm -rf *");
}

#[test]
fn wrong_archives_are_refused_and_leave_nothing() {
    let name = "store::tests::wrong_archives_are_refused_and_leave_nothing";
    let Some(scope) = scope::enter(name) else { return };
    let at = scope.folder();
    let store = Store::open(&at.join("root")).unwrap();
    let noise: Vec<u8> =
        (0..400_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    import(&store, at, "web:1", &rootfs("etc/motd", &noise));
    sh(
        at,
        "cp -a root/store good; tar -C good -cf good.tar .; head -c 300000 good.tar >cut.tar; \
            cp -a good forged; big=$(ls -S forged/blobs/sha256/* | head -n 1); \
            printf X | dd of=$big bs=1 seek=5000 conv=notrunc status=none; \
            cp -a good short; truncate -s -1 $(ls -S short/blobs/sha256/* | head -n 1); \
            cp -a good hollow; rm $(ls -S hollow/blobs/sha256/* | head -n 1); \
            cp -a good linked; big=$(ls -S linked/blobs/sha256/* | head -n 1); rm $big; \
            ln -s /etc/passwd $big; \
            cp -a good deep; printf '{\"schemaVersion\":2,\"manifests\":[],\"layers\":[]}' >deep/index.json; \
            cp -a good long; head -c 5000000 /dev/zero | tr '\\0' ' ' >long/index.json; \
            gzip -k good.tar; head -c 200000 good.tar.gz >cut.tar.gz; \
            echo 'this is no archive' >text.tar; : >empty.tar; mkdir folder; \
            tar -cf plain.tar text.tar",
    );
    for (path, words) in [
        ("cut.tar", "cut.tar is truncated"),
        ("cut.tar.gz", "cut.tar.gz is truncated"),
        ("forged", "does not have the digest sha256:"),
        ("short", "its descriptor says"),
        ("hollow", "is missing"),
        ("linked", "linked"),
        ("deep", "both manifests and layers"),
        ("long", "over the limit"),
        ("text.tar", "text.tar is no image archive"),
        ("empty.tar", "is empty"),
        ("folder", "without oci-layout"),
        ("plain.tar", "neither index.json nor manifest.json"),
        ("none.tar", "none.tar"),
    ] {
        let other = Store::open(&at.join("other")).unwrap();
        let error = load(&other, &at.join(path)).unwrap_err();
        assert!(error.to_string().contains(words), "{path}: {error}");
        assert!(error.hint().is_some() || path == "linked", "{path}: {error}");
        assert!(other.list().unwrap().is_empty(), "{path}");
        assert_eq!(files(&at.join("other")), 2, "{path}: only oci-layout and index.json");
    }
    let evil = at.join("evil.tar");
    fs::write(&evil, Forge::default().link("l", "/tmp").file("l/x").end()).unwrap();
    let error = store.import(&evil, "evil", &ImportOptions::default(), &mut Quiet).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::EscapesRoot { .. }), "{text}");
    assert!(text.contains("layer 1 of 1 (sha256:") && text.contains("entry l/x"), "{text}");
    assert_eq!(store.list().unwrap().len(), 1);
    sh(at, "rm -rf *");
}

#[test]
fn a_full_or_read_only_store_says_so_and_stays_as_it_was() {
    let name = "store::tests::a_full_or_read_only_store_says_so_and_stays_as_it_was";
    let Some(scope) = scope::enter(name) else { return };
    let at = scope.folder();
    sh(at, "mkdir root; mount -t tmpfs -o size=3m small root");
    let store = Store::open(&at.join("root")).unwrap();
    let before = sh(at, "find root | sort");
    let tar = at.join("big.tar");
    fs::write(&tar, rootfs("etc/big", &vec![7; 8 << 20])).unwrap();
    let refused =
        |tar: &Path| store.import(tar, "big", &ImportOptions::default(), &mut Quiet).unwrap_err();
    assert!(matches!(refused(&tar), Error::NoSpace { .. }));
    // The blob fits, the files do not.
    sh(at, "gzip -k big.tar");
    let error = refused(&at.join("big.tar.gz"));
    assert!(matches!(error, Error::NoSpace { .. }), "{error}");
    assert_eq!(error.errno(), Some(28));
    assert_eq!(sh(at, "find root | sort"), before);
    import(&store, at, "web:1", &rootfs("etc/motd", b"hello"));
    sh(at, "mount -o remount,ro root");
    let error = refused(&tar);
    assert!(matches!(error, Error::ReadOnly { .. }), "{error}");
    let again = Store::open(&at.join("root")).unwrap();
    assert_eq!(again.list().unwrap().len(), 1, "reading goes on");
    sh(at, "umount root; rm -rf *");
}

#[test]
fn names_move_and_dead_staging_folders_go() {
    let name = "store::tests::names_move_and_dead_staging_folders_go";
    let Some(scope) = scope::enter(name) else { return };
    let at = scope.folder();
    let store = Store::open(&at.join("root")).unwrap();
    import(&store, at, "web:1", &rootfs("etc/motd", b"one"));
    let old = store.resolve("web:1").unwrap();
    import(&store, at, "web:1", &rootfs("etc/motd", b"two"));
    let new = store.resolve("web:1").unwrap();
    assert_ne!(old.digest, new.digest);
    assert!(store.resolve(&old.digest).unwrap().names.is_empty());
    store.prepare(&old, "user", None).unwrap();
    assert!(matches!(store.remove(&old.digest, false), Err(Error::InUse { .. })));
    let removed = store.remove(&old.digest, true).unwrap();
    assert_eq!(removed.deleted, std::slice::from_ref(&old.digest));
    let lower = store.prepare(&old, "user", None).unwrap().lower;
    assert!(lower[0].join("etc/motd").is_file(), "kept while a container uses it");
    store.release("user").unwrap();
    assert!(!lower[0].exists(), "gone with the last container");
    assert!(store.prepare(&new, "../x", None).is_err());

    let staging = at.join("root/staging");
    fs::create_dir_all(staging.join("999-1/half")).unwrap();
    let held = crate::staging::Staging::new(&staging).unwrap();
    Store::open(&at.join("root")).unwrap();
    assert!(!staging.join("999-1").exists() && held.path().is_dir());
    drop(held);
    // A lost snapshot is unpacked again.
    sh(at, "rm -rf root/snapshots/*; mkdir root/snapshots/chains");
    let lower = store.prepare(&new, "again", None).unwrap().lower;
    assert_eq!(fs::read(lower[0].join("etc/motd")).unwrap(), b"two");
    sh(at, "rm -rf *");
}

#[test]
fn many_at_once_leave_a_valid_store() {
    let name = "store::tests::many_at_once_leave_a_valid_store";
    let Some(scope) = scope::enter(name) else { return };
    let at = scope.folder();
    let root = at.join("root");
    let tar = at.join("t.tar");
    fs::write(&tar, rootfs("etc/motd", b"hello")).unwrap();
    std::thread::scope(|threads| {
        for n in 0..6 {
            let (root, tar) = (&root, &tar);
            threads.spawn(move || {
                // flock belongs to the open file: threads meet as processes do.
                let store = Store::open(root).unwrap();
                for round in 0..5 {
                    let name = format!("n{}:1", (n + round) % 3);
                    store.import(tar, &name, &ImportOptions::default(), &mut Quiet).unwrap();
                    if n % 2 == 0 {
                        match store.remove(&name, false) {
                            Ok(_) | Err(Error::MissingImage { .. }) => {}
                            Err(e) => panic!("{e}"),
                        }
                    }
                    store.list().unwrap();
                }
            });
        }
    });
    let store = Store::open(&root).unwrap();
    for image in store.list().unwrap() {
        for name in image.names {
            let image = store.resolve(&name).unwrap();
            let rootfs = store.prepare(&image, "c", None).unwrap();
            assert!(rootfs.lower[0].join("etc/motd").is_file());
            store.release("c").unwrap();
            store.remove(&name, false).unwrap();
        }
    }
    assert_eq!(files(&root), 2);
    assert_eq!(fs::read_dir(root.join("staging")).unwrap().count(), 0);
    sh(at, "rm -rf *");
}

#[test]
fn an_archive_comes_through_a_pipe_and_docker_links_are_followed() {
    let name = "store::tests::an_archive_comes_through_a_pipe_and_docker_links_are_followed";
    let Some(scope) = scope::enter(name) else { return };
    let at = scope.folder();
    let layer = rootfs("etc/motd", b"old");
    let diff = crate::Digest::of(&layer);
    let config = format!(
        "{{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{{\"type\":\"layers\",\
         \"diff_ids\":[\"{diff}\",\"{diff}\"]}}}}"
    );
    let id = crate::Digest::of(config.as_bytes());
    let manifest = format!(
        "[{{\"Config\":\"{0}.json\",\"RepoTags\":[\"a:1\",\"b:2\"],\
         \"Layers\":[\"one/layer.tar\",\"two/layer.tar\"]}}]",
        id.hex()
    );
    let archive = |link: &str| {
        Forge::default()
            .with(b"one/layer.tar", b'0', &layer)
            .link("two/layer.tar", link)
            .with(format!("{}.json", id.hex()).as_bytes(), b'0', config.as_bytes())
            .with(b"manifest.json", b'0', manifest.as_bytes())
            .end()
    };
    let pipe = at.join("pipe");
    sh(at, "mkfifo pipe");
    let mut cat = Command::new("sh")
        .args(["-c", "cat >pipe"])
        .current_dir(at)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let bytes = archive("../one/layer.tar");
    let mut stdin = cat.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes));
    let store = Store::open(&at.join("root")).unwrap();
    let loaded = load(&store, &pipe).unwrap();
    writer.join().unwrap().unwrap();
    assert!(cat.wait().unwrap().success());
    assert_eq!((loaded[0].names.len(), loaded[0].layers), (2, 2));
    assert_eq!(store.remove("a:1", false).unwrap().deleted.len(), 0);
    assert_eq!(store.remove("b:2", false).unwrap().deleted.len(), 1);
    let evil = at.join("evil.tar");
    for link in ["/etc/passwd", "../../../etc/passwd", "layer.tar"] {
        fs::write(&evil, archive(link)).unwrap();
        assert!(matches!(load(&store, &evil), Err(Error::MissingBlob { .. })), "{link}");
    }
    assert_eq!(files(&at.join("root")), 2);
    sh(at, "rm -rf *");
}

#[test]
fn a_limit_holds_before_and_during_and_afterwards() {
    let name = "store::tests::a_limit_holds_before_and_during_and_afterwards";
    let Some(scope) = scope::enter(name) else { return };
    let at = scope.folder();
    let store = Store::open(&at.join("root")).unwrap();
    import(&store, at, "small:1", &rootfs("etc/motd", b"hello"));
    let (limit, used) = store.limit().unwrap();
    assert!(limit.is_none() && used > 0);
    // Packed it is small, unpacked 3 MB.
    sh(at, "mkdir t; head -c 3000000 /dev/zero >t/zeros; tar -C t -czf zeros.tar.gz .");
    let opts = ImportOptions::default();
    let big = |store: &Store| store.import(&at.join("zeros.tar.gz"), "big:1", &opts, &mut Quiet);
    for room in [0, 1000, 1_000_000, 2_900_000] {
        store.set_limit(Some(used + room)).unwrap();
        let error = big(&store).unwrap_err();
        let Error::Limit { used: told, needed, .. } = error else { panic!("{room}: {error:?}") };
        assert!(told == used && needed > room, "{room}: {told} and {needed}");
        assert!(needed < room + (1 << 20), "{room}: noticed only after {needed}");
        assert_eq!(files(&at.join("root/staging")), 0);
        assert!(store.resolve("big:1").is_err());
    }
    // What is there can be tagged and removed at any limit.
    store.set_limit(Some(1)).unwrap();
    store.tag("small:1", &["small:2".into()]).unwrap();
    store.remove("small:2", false).unwrap();
    store.set_limit(Some(used + 3_200_000)).unwrap();
    big(&store).unwrap();
    store.set_limit(None).unwrap();
    assert!(store.limit().unwrap().0.is_none());
    fs::write(at.join("root/limit"), "much").unwrap();
    assert!(matches!(big(&store), Err(Error::Document { .. })));
    store.set_limit(None).unwrap();
    store.remove("big:1", false).unwrap();
    sh(at, "rm -rf *");
}
