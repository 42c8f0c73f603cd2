//! docker-archives, new and from before 1.10, that point elsewhere or say what cannot be.

use image::Digest;
use serde_json::{Value, json};

use crate::forge::Forge;
use crate::{Case, Input};

/// A layer, and the configuration that is right for it.
struct Parts {
    layer: Vec<u8>,
    config: Vec<u8>,
    /// The configuration's name in an archive.
    file: String,
}

pub(crate) fn cases(canary: &str, all: &mut Vec<Case>) {
    let layer = Forge::default().file("a").end();
    let config = json!({"architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer).to_string()]}});
    let config = config.to_string().into_bytes();
    let file = format!("{}.json", Digest::of(&config).hex());
    let parts = Parts { layer, config, file };
    layers(&parts, &format!("{canary}/file"), all);
    rest(&parts, all);
    before_1_10(&parts, all);
}

impl Parts {
    fn base(&self) -> Forge {
        let forge = Forge::default().with(self.file.as_bytes(), b'0', &self.config);
        forge.with(b"l.tar", b'0', &self.layer)
    }

    fn case(&self, what: &str, tar: Forge, manifest: &Value, words: Option<&str>) -> Case {
        let tar = tar.with(b"manifest.json", b'0', manifest.to_string().as_bytes()).end();
        Case::new(format!("docker: {what}"), Input::Archive(tar), words)
    }
}

fn layers(parts: &Parts, out: &str, all: &mut Vec<Case>) {
    let base = || parts.base();
    for (what, tar, names, words) in [
        ("as it should be", base(), vec!["l.tar"], None),
        ("a layer outside", base(), vec![out], Some("missing")),
        ("a layer above", base(), vec!["../../../etc/passwd"], Some("missing")),
        ("a layer by a link out", base().link("x", out), vec!["x"], Some("missing")),
        ("a layer by a hard link out", base().hard("x", "../x"), vec!["x"], Some("missing")),
        ("a ring of links", base().link("x", "y").link("y", "x"), vec!["x"], Some("missing")),
        ("a layer twice", base(), vec!["l.tar", "l.tar"], Some("layers")),
        ("a layer of escapes", base(), vec!["\x1b[2J"], Some("missing")),
        ("501 layers", base(), vec!["l.tar"; 501], Some("501 layers")),
    ] {
        let manifest = json!([{"Config": parts.file, "Layers": names}]);
        all.push(parts.case(what, tar, &manifest, words));
    }
}

fn rest(parts: &Parts, all: &mut Vec<Case>) {
    for (what, manifest, words) in [
        ("no image", json!([]), "names no image"),
        ("no list", json!({}), "manifest.json"),
        ("no configuration", json!([{"Config": "none.json", "Layers": ["l.tar"]}]), "missing"),
        ("numbers", json!([{"Config": 1, "Layers": [2]}]), "invalid type"),
    ] {
        all.push(parts.case(what, parts.base(), &manifest, Some(words)));
    }
    for (tag, words) in [
        (json!("UPPER case"), "not an image name"),
        (json!("\x1b[31mweb"), "not an image name"),
        (json!("../../web"), "not an image name"),
        (json!(1), "invalid type"),
    ] {
        let what = format!("a name that is {tag}");
        let manifest = json!([{"Config": parts.file, "Layers": ["l.tar"], "RepoTags": [tag]}]);
        all.push(parts.case(&what, parts.base(), &manifest, Some(words)));
    }
    let other = format!("{}.json", Digest::of(b"other").hex());
    let tar = parts.base().with(other.as_bytes(), b'0', &parts.config);
    let manifest = json!([{"Config": other, "Layers": ["l.tar"]}]);
    all.push(parts.case("another configuration", tar, &manifest, Some("digest")));
}

fn before_1_10(parts: &Parts, all: &mut Vec<Case>) {
    let web = json!({"web": {"1": "a"}});
    for (what, facts, repositories, words) in [
        ("as it should be", json!({"id": "a"}), web.clone(), None),
        ("its own parent", json!({"parent": "a"}), web.clone(), Some("501 layers")),
        ("no such parent", json!({"parent": "b"}), web.clone(), Some("missing")),
        ("an id above", json!({}), json!({"web": {"1": "../../etc"}}), Some("missing")),
        ("no name", json!({}), json!({"../web": {"1": "a"}}), Some("not an image name")),
        ("no image", json!({}), json!({}), Some("names no image")),
        ("a list", json!([]), web.clone(), Some("a/json")),
        ("a configuration of words", json!({"config": "x"}), web, Some("")),
    ] {
        let tar = Forge::default()
            .with(b"a/json", b'0', facts.to_string().as_bytes())
            .with(b"a/layer.tar", b'0', &parts.layer)
            .with(b"repositories", b'0', repositories.to_string().as_bytes());
        all.push(Case::new(format!("old docker: {what}"), Input::Archive(tar.end()), words));
    }
}
