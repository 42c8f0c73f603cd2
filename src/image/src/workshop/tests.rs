//! Images made of layers, the cache that keeps them, and what is left when they go.

use std::time::Duration;

use super::*;
use crate::pack::Times;

struct Place {
    store: Store,
    _folder: scope::Folder,
}

impl Place {
    fn new(name: &str) -> Place {
        let folder = scope::Folder::new(name);
        Place { store: Store::open(&folder).unwrap(), _folder: folder }
    }

    fn blobs(&self) -> usize {
        fs::read_dir(self.store.blobs()).unwrap().count()
    }
}

fn built(workshop: &Workshop, text: &str, key: &Digest) -> Stack {
    let mut stack = Stack::scratch();
    let upper = workshop.upper("changes", None).unwrap();
    fs::write(upper.join("file"), text).unwrap();
    let packing = Packing { times: Times::All(7), ..Packing::default() };
    workshop.add_layer(&mut stack, &upper, packing, (key, "1970-01-01T00:00:07Z")).unwrap();
    stack.remember("1970-01-01T00:00:07Z", "COPY file /", true);
    fs::remove_dir_all(upper).unwrap();
    stack
}

#[test]
fn an_image_is_kept_and_its_layer_found_again_until_pruned() {
    let place = Place::new("cache");
    let key = Digest::of(b"step");
    let kept = {
        let workshop = place.store.workshop().unwrap();
        let stack = built(&workshop, "hello", &key);
        let names = ["made:1".parse().unwrap()];
        let kept = workshop.keep(&stack, &names, &mut Quiet).unwrap();
        let mut again = Stack::scratch();
        let made = workshop.add_cached(&mut again, &key).unwrap();
        assert_eq!(made.as_deref(), Some("1970-01-01T00:00:07Z"));
        assert_eq!(again.chain(), stack.chain());
        assert_eq!(workshop.add_cached(&mut again, &key).unwrap(), None, "upon another layer");
        let other = workshop.add_cached(&mut Stack::scratch(), &Digest::of(b"other")).unwrap();
        assert_eq!(other, None);
        let lower = workshop.lower(&stack).unwrap();
        assert_eq!(fs::read_to_string(lower[0].join("file")).unwrap(), "hello");
        kept
    };
    assert_eq!((kept.names.as_slice(), kept.layers), (&["made:1".to_owned()][..], 1));
    let image = place.store.resolve("made:1").unwrap();
    assert_eq!(image.config.history().as_ref().unwrap().len(), 1);
    assert!(place.store.remove("made:1", false).unwrap().freed_bytes > 0);
    // The record keeps the layer, the manifest and the configuration of the step.
    assert_eq!(place.blobs(), 3);
    place.store.prune_build_cache(Duration::from_secs(3600), true).unwrap();
    assert_eq!(place.blobs(), 3, "a record used just now stays");
    assert!(place.store.prune_build_cache(Duration::ZERO, true).unwrap() > 0);
    assert_eq!(place.blobs(), 0);
}

#[test]
fn the_same_steps_give_the_same_image_in_another_store() {
    let digests: Vec<String> = ["one", "two"]
        .map(|name| {
            let place = Place::new(name);
            let workshop = place.store.workshop().unwrap();
            let stack = built(&workshop, "same", &Digest::of(name.as_bytes()));
            workshop.keep(&stack, &[], &mut Quiet).unwrap().digest
        })
        .into();
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn a_damaged_record_is_a_miss() {
    let place = Place::new("damaged");
    let key = Digest::of(b"step");
    let workshop = place.store.workshop().unwrap();
    built(&workshop, "x", &key);
    let record = place.store.build_cache().join("steps").join(key.hex());
    for text in ["", "sha256:00", Digest::of(b"nothing").as_str()] {
        fs::write(&record, text).unwrap();
        assert_eq!(workshop.add_cached(&mut Stack::scratch(), &key).unwrap(), None, "{text:?}");
    }
}

#[test]
fn the_root_is_in_a_layer_that_changes_its_rights_and_in_no_other() {
    let place = Place::new("root");
    let workshop = place.store.workshop().unwrap();
    let packing = Packing { times: Times::All(7), ..Packing::default() };
    let mut stack = built(&workshop, "hello", &Digest::of(b"step"));
    let mut upon = |name: &str, change: &dyn Fn(&Path)| {
        let below = workshop.lower(&stack).unwrap();
        let upper = workshop.upper(name, below.first()).unwrap();
        change(&upper);
        let key = Digest::of(name.as_bytes());
        let made = (&key, "1970-01-01T00:00:07Z");
        let entries = workshop.add_layer(&mut stack, &upper, packing, made).unwrap();
        let top = sys::dir::open_root(&workshop.lower(&stack).unwrap()[0]).unwrap();
        let rights = sys::dir::attributes(&top).unwrap();
        let note = sys::dir::xattr_fd(&top, b"user.note").unwrap();
        (entries, rights.mode, rights.uid, rights.gid, note)
    };
    let file = |upper: &Path| fs::write(upper.join("other"), "").unwrap();
    assert_eq!(upon("file", &file), (1, 0o755, 0, 0, None));
    let rights = |upper: &Path| {
        let root = sys::dir::open_root(upper).unwrap();
        sys::dir::set_owner_fd(&root, 5, 6).unwrap();
        sys::dir::set_mode_fd(&root, 0o711).unwrap();
    };
    assert_eq!(upon("rights", &rights), (1, 0o711, 5, 6, None));
    assert_eq!(upon("again", &file), (1, 0o711, 5, 6, None), "it stays");
    let noted = |upper: &Path| {
        let root = sys::dir::open_root(upper).unwrap();
        sys::dir::set_xattr_fd(&root, b"user.note", b"x").unwrap();
    };
    assert_eq!(upon("noted", &noted), (1, 0o711, 5, 6, Some(b"x".to_vec())));
}
