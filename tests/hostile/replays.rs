//! Archives that had their way with other programs, each named after what it is known by. What is
//! red says which defence of `src/image` was taken out to see it.

use serde_json::json;

use crate::forge::{Forge, Head, octal};
use crate::layout::Layout;
use crate::{Case, Input, layer, run};

fn f() -> Forge {
    Forge::default()
}

/// A replay, in a yard of its own.
macro_rules! replay {
    ($($(#[$doc:meta])* $test:ident: $cases:expr;)*) => { $(
        $(#[$doc])*
        #[test]
        fn $test() {
            run(concat!("replays::", stringify!($test)), 1, $cases);
        }
    )* };
}

/// An entry with a mode and an owner that would be seen.
fn marked(name: &str, flag: u8, link: &str) -> Head {
    let link = link.as_bytes().to_vec();
    Head { link, mode: 0o4777, uid: octal(1000, 8), ..Head::new(name.as_bytes(), flag) }
}

replay! {
    /// umoci: the entry of the root itself is a link to the host. Red when `entry` of `extract.rs`
    /// leaves out what is the root and no folder.
    cve_2021_29136_the_root_is_a_link: |canary| {
        let tar = f().link(".", canary).file("evil").end();
        vec![layer("the root is a link", tar, Some("can only be a folder"))]
    };
    /// containerd: owner and mode of an entry are set through a link. Red when `set_owner` of
    /// `src/sys/src/dir.rs` follows links.
    cve_2021_32760_owners_and_modes_are_set_through_links: |canary| {
        let link = f().head(&marked("l", b'2', &format!("{canary}/file")));
        let hard = f().link("l", &format!("{canary}/file")).head(&marked("h", b'1', "l"));
        vec![layer("a link", link.end(), None), layer("a hard link to one", hard.end(), None)]
    };
    /// containerd, docker: a file is written through a link of the same layer. Red when
    /// `open_folder` of `src/sys/src/dir.rs` follows links.
    cve_2014_6407_2025_47290_files_are_written_through_links: |canary| {
        let folder = f().link("l", canary).file("l/evil").end();
        let file = f().link("l", &format!("{canary}/file")).with(b"l", b'0', b"evil").end();
        vec![
            layer("a folder by a link", folder, Some("symbolic link")),
            layer("a file by a link", file, None),
        ]
    };
    /// docker: a hard link out of the layer, by `..` or by a link. Red when `hard_link` of
    /// `extract.rs` takes names that `Name::parse` refuses, or `open_folder` follows links.
    cve_2014_9356_hard_links_lead_out: |canary| {
        let far = format!("{}{canary}/file", "../".repeat(30));
        let up = f().hard("h", &far).with(b"h", b'0', b"evil").end();
        let by = f().link("l", canary).hard("h", "l/file").with(b"h", b'0', b"evil").end();
        vec![layer("up", up, Some("`..`")), layer("by a link", by, Some("symbolic link"))]
    };
    /// Rust's tar: a folder's mode is set through a link of its name. Red when `folder` of
    /// `extract.rs` takes a link there for the folder.
    rustsec_2026_0067_a_folder_is_a_link: |canary| {
        let tar = f().link("l", canary).head(&marked("l", b'5', "")).file("l/mine").end();
        vec![layer("a folder over a link", tar, None)]
    };
    /// Rust's tar and its forks: an archive in an archive, whose header says another size than its
    /// PAX record does. Red when `data_size` of `tarball.rs` is the header's.
    cve_2025_62518_rustsec_2026_0068_2026_0145_sizes_differ: |_| {
        let hidden = f().file("../evil").end();
        let size = hidden.len().to_string();
        let tar = f().pax(&[("size", size.as_bytes())]).head(&Head::new(b"a", b'0'));
        let tar = tar.data(&hidden).file("b").end();
        vec![layer("hidden by its size", tar, None)]
    };
    /// A NUL before the digits: a size of nothing to some, the digits' to GNU tar and Go, so that
    /// what one reads as data is the other's entries. Found by `make fuzz`. Red when `octal` of
    /// `tarball/header.rs` ends at the NUL.
    sizes_begin_with_a_nul: |_| {
        let hidden = f().file("b").end();
        let of = |size: &[u8]| Head { size: size.to_vec(), ..Head::new(b"a", b'0') };
        let size = format!("\0{:010o}\0", hidden.len());
        let tar = f().head(&of(size.as_bytes())).data(&hidden).end();
        let owner = Head { uid: b"\x000001750".to_vec(), ..Head::new(b"a", b'0') };
        vec![
            layer("a size behind a NUL", tar, Some("the size is no number")),
            layer("an owner behind a NUL", f().head(&owner).end(), Some("is no number")),
            layer("all NUL", f().head(&of(&[0; 12])).file("b").end(), None),
        ]
    };
    /// containers/image: a digest that is a path. Red when `Digest::parse` takes any text.
    cve_2024_3727_digests_are_paths: |_| {
        let digests = ["sha256:../../../../etc/passwd", "../../evil", "sha256:", "x:/etc/passwd"];
        digests.map(|digest| {
            let mut layout = Layout::of_layers(&[f().file("a").end()]);
            layout.manifest["layers"][0]["digest"] = json!(digest);
            Case::new(digest, Input::Folder(layout), Some("digest"))
        }).into()
    };
    /// containerd, docker: a document that is manifest and index at once. Red when `Manifest` and
    /// `Index` of `document.rs` leave out the other's fields.
    cve_2021_41190_a_document_is_both_kinds: |_| {
        let whole = Layout::of_layers(&[f().file("a").end()]);
        let (mut layout, mut other) = (whole.clone(), whole);
        layout.manifest["manifests"] = json!([]);
        other.index["layers"] = json!([]);
        vec![
            Case::new("a manifest with manifests", Input::Folder(layout), Some("")),
            Case::new("an index with layers", Input::Folder(other), Some("")),
        ]
    };
}
