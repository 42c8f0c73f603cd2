//! Layers that we write, as GNU tar and our own reader see them. Root is needed.

use std::fs;
use std::io::Read;
use std::process::Command;

use super::*;
use crate::blobs::Blobs;
use crate::compression::Decoder;
use crate::staging::Staging;
use oci::IdRange;

fn sh(line: &str) -> String {
    let out = Command::new("sh").args(["-ec", line]).output().unwrap();
    assert!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// A folder, and the ids that packing takes back.
struct Place(scope::Folder, Option<IdRange>);

impl Place {
    fn new(name: &str) -> Place {
        Place(scope::Folder::new(name), None)
    }

    fn pack(&self, times: Times, compression: Compression) -> (Vec<u8>, Packed) {
        let staging = Staging::new(&self.0).unwrap();
        let mut blobs = Blobs::new(&staging, self.0.join("none"), "test".into());
        let packing = Packing { times, compression, ids: self.1 };
        let packed = layer(&self.0.join("upper"), None, packing, &mut blobs).unwrap();
        let file = blobs.open(&packed.descriptor, "layer").unwrap();
        let mut plain = Vec::new();
        let input = std::io::BufReader::new(file);
        Decoder::new(input, compression).unwrap().read_to_end(&mut plain).unwrap();
        assert_eq!(Digest::of(&plain), packed.diff_id);
        (plain, packed)
    }
}

/// A tree with everything that an archive has to say.
fn plant(place: &Place) {
    let at = place.0.display();
    let long = "n".repeat(200);
    let deep = format!("{}/{}", "d".repeat(120), "e".repeat(120));
    sh(&format!(
        "mkdir -p {at}/upper/a/b {at}/upper/{deep}; cd {at}/upper; \
         printf hello >a/file; ln a/file a/other; ln -s ../a/file a/b/link; mkfifo a/pipe; \
         mknod a/null c 1 3; mknod a/disk b 8 1; chmod 4755 a/file; chown 3000000:7 a/b; \
         printf x >{long}; printf y >{deep}/z; printf 'ü' >'naïve'; ln -s {long}{long} longlink; \
         head -c 3000000 /dev/urandom >big; : >empty; \
         touch -d '1950-01-01 UTC' old; \
         python3 -c \"import os; os.setxattr('a/file', 'user.note', b'a\\nb=c\\x00d')\"; \
         python3 -c \"import os; os.setxattr('big', 'security.capability', \
         bytes.fromhex('0100000200040000000000000000000000000000'))\"; \
         python3 -c \"import os; os.setxattr('a', 'trusted.overlay.origin', b'x')\""
    ));
}

#[test]
fn gnu_tar_unpacks_what_we_packed_as_it_was() {
    let place = Place::new("gnu");
    plant(&place);
    let (plain, packed) = place.pack(Times::Kept, Compression::Gzip);
    assert!(packed.entries > 15, "{}", packed.entries);
    let at = place.0.display();
    fs::write(place.0.join("layer.tar"), &plain).unwrap();
    sh(&format!(
        "mkdir {at}/out; tar --xattrs --xattrs-include='*' -C {at}/out -xpf {at}/layer.tar --numeric-owner"
    ));
    // Everything but folders' sizes, and times in whole seconds.
    let listed = |folder: &str| {
        sh(&format!(
            "cd {at}/{folder}; find . -mindepth 1 -type d -printf '%p %m %U:%G %Ts\\n' -o \
             -mindepth 1 -printf '%p %y %m %U:%G %s %Ts %n %l\\n' | sort; \
             python3 -c \"import os; [print(f, k, os.getxattr(f, k)) for f in ('a/file', 'big') \
             for k in os.listxattr(f)]\"; \
             find . -type f -exec sha256sum {{}} + | sort; stat -c '%n %t %T' a/null a/disk"
        ))
    };
    let cut = |text: String| text.replace(".0000000000", "");
    assert_eq!(cut(listed("out")), cut(listed("upper")));
    assert!(listed("out").contains("user.note"));
    assert!(!sh(&format!("tar -tf {at}/layer.tar")).contains("overlay"));
}

#[test]
fn the_same_tree_gives_the_same_bytes_in_any_order_and_at_any_time() {
    let place = Place::new("same");
    plant(&place);
    let at = place.0.display();
    sh(&format!("rm {at}/upper/old"));
    let times = Times::NotAfter(1_000_000_000);
    let (first, packed) = place.pack(times, Compression::Gzip);
    sh(&format!(
        "cd {at}; mv upper before; mkdir upper; cd before; ls -r | while read -r n; do \
         mv \"$n\" ../upper/; done; cd ../upper; find . -exec touch -h -d '2020-02-02' {{}} +"
    ));
    let (again, repacked) = place.pack(times, Compression::Gzip);
    assert!(first == again, "the tar differs");
    assert_eq!(packed.descriptor, repacked.descriptor);
    for compression in [Compression::Zstd, Compression::None] {
        let (other, _) = place.pack(times, compression);
        assert!(first == other, "{}", compression.name());
    }
}

#[test]
fn marks_of_overlayfs_become_files_of_the_layer() {
    let place = Place::new("marks");
    let at = place.0.display();
    sh(&format!(
        "mkdir -p {at}/upper/etc/new; cd {at}/upper; mknod etc/gone c 0 0; mknod top c 0 0; \
         python3 -c \"import os; os.setxattr('etc/new', 'trusted.overlay.opaque', b'y')\"; \
         : >etc/new/file"
    ));
    let (plain, _) = place.pack(Times::Kept, Compression::Gzip);
    fs::write(place.0.join("layer.tar"), &plain).unwrap();
    let names = sh(&format!("tar -tf {at}/layer.tar"));
    let names: Vec<&str> = names.lines().collect();
    let wanted = ["etc/", "etc/.wh.gone", "etc/new/", "etc/new/.wh..wh..opq", "etc/new/file"];
    assert_eq!(names, [&wanted[..], &[".wh.top"]].concat());
    fs::write(place.0.join("upper/.wh.forged"), "").unwrap();
    let staging = Staging::new(&place.0).unwrap();
    let mut blobs = Blobs::new(&staging, place.0.join("none"), "test".into());
    let refused = layer(&place.0.join("upper"), None, Packing::default(), &mut blobs);
    let refused = refused.err().unwrap().to_string();
    assert!(refused.contains(".wh.forged"), "{refused}");
}

#[test]
fn changes_are_told_against_all_that_lies_below() {
    let place = Place::new("changes");
    let at = place.0.display();
    sh(&format!(
        "cd {at}; mkdir -p upper/etc mid/etc low/etc low/old mid/old; : >low/etc/a; : >low/etc/b; \
         : >mid/etc/c; : >low/old/x; : >upper/etc/new; : >upper/etc/a; mknod upper/etc/b c 0 0; \
         mkdir upper/old; : >upper/old/x; mknod mid/etc/hidden c 0 0; : >low/etc/hidden; \
         : >upper/etc/hidden; \
         python3 -c \"import os; os.setxattr('mid/old', 'trusted.overlay.opaque', b'y')\"; \
         chmod 700 upper"
    ));
    let lower = [place.0.join("mid"), place.0.join("low")];
    let all = changes(&place.0.join("upper"), &lower).unwrap();
    let told: Vec<String> =
        all.iter().map(|c| format!("{:?} {}", c.kind, String::from_utf8_lossy(&c.path))).collect();
    let wanted = [
        "Changed /etc",
        "Changed /etc/a",
        "Deleted /etc/b",
        "Added /etc/hidden",
        "Added /etc/new",
        "Changed /old",
        "Added /old/x",
    ];
    assert_eq!(told, wanted);
}

#[test]
fn ids_of_a_container_are_taken_back() {
    let mut place = Place::new("ids");
    let at = place.0.display().to_string();
    sh(&format!(
        "mkdir {at}/upper; cd {at}/upper; echo x >own; echo x >other; chown 70005:135535 own; \
         chown 69999:135536 other; chown 70000:70000 ."
    ));
    // CAP_NET_RAW as the root of the container sets it (revision 3), and as another root does.
    for (name, root) in [("own", 70_000), ("other", 90_000)] {
        let words = [0x0300_0001, 1 << 13, 0, 0, 0, root];
        let value: Vec<u8> = words.iter().flat_map(|word: &u32| word.to_le_bytes()).collect();
        let file = fs::File::open(place.0.join("upper").join(name)).unwrap();
        sys::dir::set_xattr_fd(OwnedFd::from(file), b"security.capability", &value).unwrap();
    }
    place.1 = Some(IdRange { first: 70_000, count: 65_536 });
    let (plain, _) = place.pack(Times::Kept, Compression::None);
    let mut reader = crate::tarball::Reader::new(&plain[..]);
    let mut seen = Vec::new();
    while let Some(entry) = reader.next().unwrap() {
        let value = entry.xattrs.first().map(|(_, value)| value.clone());
        let name = String::from_utf8(entry.path).unwrap();
        seen.push((name, entry.uid, entry.gid, value.map(|v| (v.len(), v[3], v[0]))));
    }
    assert_eq!(
        seen,
        [
            ("other".to_owned(), 69_999, 135_536, Some((24, 3, 1))),
            ("own".to_owned(), 5, 65_535, Some((20, 2, 1))),
        ],
        "the root's own owner is 0 again and says nothing"
    );
}
