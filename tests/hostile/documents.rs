//! Documents: digests, sizes and media types in each place of a layout, indexes within indexes,
//! lengths and depths, both kinds at once, docker-archives that point elsewhere.

use image::Digest;
use serde_json::{Value, json};

use crate::forge::Forge;
use crate::layout::{INDEX, Layout, descriptor};
use crate::{Case, Input, docker};

fn good() -> Layout {
    let top = Forge::default().file("b").end();
    Layout::of_layers(&[Forge::default().folder("d").file("a").end(), top])
}

/// A good layout, changed.
fn case(name: impl Into<String>, words: &str, change: impl FnOnce(&mut Layout)) -> Case {
    let mut layout = good();
    change(&mut layout);
    Case::new(name, Input::Folder(layout), Some(words))
}

/// The manifest with its configuration's descriptor, which else is added last.
fn whole(layout: &mut Layout) -> Value {
    let kind = "application/vnd.oci.image.config.v1+json";
    layout.manifest["config"] = descriptor(kind, layout.config.to_string().as_bytes());
    layout.manifest.clone()
}

/// An entry of index.json for it.
fn entry(layout: &mut Layout) -> Value {
    let manifest = whole(layout);
    descriptor("application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes())
}

pub(crate) fn cases(canary: &str) -> Vec<Case> {
    let mut all = Vec::new();
    fields(&mut all);
    whole_documents(&mut all);
    indexes(&mut all);
    configurations(&mut all);
    files(canary, &mut all);
    docker::cases(canary, &mut all);
    all.push(Case::new("as it should be", Input::Folder(good()), None));
    all
}

/// The places of descriptors.
const PLACES: [&str; 3] = ["index", "config", "layer"];

/// A good layout with one field of one descriptor set.
fn set(place: &'static str, key: &str, value: Value) -> Layout {
    let mut layout = good();
    if place == "index" {
        let mut one = entry(&mut layout);
        one[key] = value;
        layout.index["manifests"] = json!([one]);
        return layout;
    }
    whole(&mut layout);
    match place {
        "config" => layout.manifest["config"][key] = value,
        _ => layout.manifest["layers"][1][key] = value,
    }
    layout
}

fn fields(all: &mut Vec<Case>) {
    let hex = Digest::of(b"nowhere").hex().to_owned();
    let digests = [
        ("a traversal", format!("sha256:../../../{}", &hex[9..])),
        ("a path", format!("sha256:{}/{}", &hex[..31], &hex[..32])),
        ("upper case", format!("sha256:{}", hex.to_uppercase())),
        ("an unknown algorithm", format!("md5:{hex}")),
        ("sha512", format!("sha512:{hex}{hex}")),
        ("too short", format!("sha256:{}", &hex[1..])),
        ("too long", format!("sha256:{hex}0")),
        ("empty", String::new()),
        ("without algorithm", hex.clone()),
        ("with a NUL", format!("sha256:{}\0", &hex[1..])),
        ("no hex", format!("sha256:{}", "g".repeat(64))),
        ("of escapes", "\x1b[31msha256:0".into()),
    ];
    for place in PLACES {
        for (what, digest) in &digests {
            let layout = set(place, "digest", json!(digest));
            all.push(Case::new(
                format!("{place}: a digest {what}"),
                Input::Folder(layout),
                Some("digest"),
            ));
        }
        let missing = set(place, "digest", json!(format!("sha256:{hex}")));
        all.push(Case::new(
            format!("{place}: a digest of nothing"),
            Input::Folder(missing),
            Some("missing"),
        ));
        for (what, size, words) in [
            ("negative", json!(-1), "invalid value"),
            ("beyond 2^64", json!(1e30), "invalid type"),
            ("a text", json!("10"), "invalid type"),
            ("nothing", Value::Null, "invalid type"),
            ("a list", json!([10]), "invalid type"),
            ("too large by far", json!(1u64 << 62), ""),
            ("zero", json!(0), "its descriptor says 0"),
            ("one too few", json!(1), "its descriptor says 1"),
        ] {
            let layout = set(place, "size", size);
            all.push(Case::new(
                format!("{place}: a size {what}"),
                Input::Folder(layout),
                Some(words),
            ));
        }
        for (what, kind) in
            [("unknown", json!("text/html")), ("of escapes", json!("a/\x1b[2J\u{202e}b"))]
        {
            let layout = set(place, "mediaType", kind);
            all.push(Case::new(format!("{place}: a type {what}"), Input::Folder(layout), Some("")));
        }
        let layout = set(place, "mediaType", json!(7));
        all.push(Case::new(
            format!("{place}: a type that is a number"),
            Input::Folder(layout),
            Some("invalid type"),
        ));
    }
}

fn whole_documents(all: &mut Vec<Case>) {
    let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    let long = [b"{".to_vec(), vec![b' '; 5 << 20], b"}".to_vec()].concat();
    for what in ["index", "manifest", "config"] {
        for (how, bytes) in [
            ("empty", Vec::new()),
            ("cut", b"{\"schemaVersion\":2".to_vec()),
            ("a list", b"[]".to_vec()),
            ("no UTF-8", b"{\"schemaVersion\":2,\"a\":\"\xff\"}".to_vec()),
            ("100,000 deep", deep.clone()),
            ("longer than 4 MiB", long.clone()),
            ("text", b"hello\x1b[31m".to_vec()),
        ] {
            all.push(case(format!("{what}: {how}"), "", |layout| {
                layout.raw.insert(what, bytes);
            }));
        }
    }
    all.push(case("manifest: a key twice", "duplicate", |layout| {
        let text = whole(layout).to_string();
        let twice = text.replacen('{', "{\"layers\":[],", 1);
        layout.raw.insert("manifest", twice.into_bytes());
    }));
    all.push(case("manifest: both kinds", "both", |l| l.manifest["manifests"] = json!([])));
    all.push(case("index: both kinds", "both", |l| l.index["layers"] = json!([])));
    all.push(case("index: a configuration", "both", |l| l.index["config"] = json!({})));
    for version in [json!(1), json!(3), json!(-2), json!("2"), Value::Null] {
        all.push(case(format!("manifest: version {version}"), "", |l| {
            l.manifest["schemaVersion"] = version.clone();
        }));
        all.push(case(format!("index: version {version}"), "", |l| {
            l.index["schemaVersion"] = version;
        }));
    }
    all.push(case("manifest: 501 layers", "501 layers", |l| {
        let one = l.manifest["layers"][0].clone();
        l.manifest["layers"] = json!(vec![one; 501]);
    }));
    for (mark, words) in [
        (&b"{}"[..], "imageLayoutVersion"),
        (b"{\"imageLayoutVersion\":\"2.0.0\"}", "only 1.0.0"),
        (b"{\"imageLayoutVersion\":\"\\u001b[2J\"}", "only 1.0.0"),
        (b"", "oci-layout"),
    ] {
        let title = format!("oci-layout: {}", String::from_utf8_lossy(mark));
        all.push(case(title, words, |l| l.mark = mark.to_vec()));
    }
}

fn indexes(all: &mut Vec<Case>) {
    all.push(case("index: nothing in it", "no image", |l| {
        l.raw.insert("index", b"{\"schemaVersion\":2,\"manifests\":[]}".to_vec());
    }));
    all.push(case("index: 20,000 entries", "20000 images", |l| {
        let one = entry(l);
        l.index["manifests"] = json!(vec![one; 20_000]);
    }));
    all.push(case("index: a million entries", "over the limit", |l| {
        let all = "{\"mediaType\":\"a\"},".repeat(1_000_000);
        l.raw.insert("index", format!("{{\"manifests\":[{all}]}}").into_bytes());
    }));
    all.push(case("index: within each other, 100 deep", "indexes deep", |l| {
        let mut inner = entry(l);
        for _ in 0..100 {
            let bytes = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [inner]});
            let bytes = bytes.to_string().into_bytes();
            l.blobs.insert(Digest::of(&bytes).hex().to_owned(), bytes.clone());
            inner = descriptor(INDEX, &bytes);
        }
        l.index["manifests"] = json!([inner]);
    }));
    all.push(case("index: in itself", "", |l| {
        // No index can name its own digest: the blob under the name is another one.
        let digest = Digest::of(b"itself");
        let own = json!({"mediaType": INDEX, "digest": digest.to_string(), "size": 200});
        let bytes = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [own]});
        l.blobs.insert(digest.hex().to_owned(), format!("{:<200}", bytes.to_string()).into_bytes());
        l.index["manifests"] = json!([own]);
    }));
    all.push(case("index: only other machines", "no image for linux", |l| {
        let mut one = entry(l);
        one["platform"] = json!({"os": "plan9\x1b[31m", "architecture": "vax"});
        let bytes = json!({"schemaVersion": 2, "manifests": [one]}).to_string().into_bytes();
        l.blobs.insert(Digest::of(&bytes).hex().to_owned(), bytes.clone());
        l.index["manifests"] = json!([descriptor(INDEX, &bytes)]);
    }));
}

fn configurations(all: &mut Vec<Case>) {
    for (what, words, change) in [
        ("another type of root", "rootfs.type", json!({"type": "ostree", "diff_ids": []})),
        ("no diff_ids", "2 layers", json!({"type": "layers", "diff_ids": []})),
        (
            "diff_ids that are none",
            "diff_ids[0]",
            json!({"type": "layers", "diff_ids": ["../..", "x"]}),
        ),
        ("diff_ids of another kind", "", json!({"type": "layers", "diff_ids": [1, 2]})),
        ("no root", "", Value::Null),
    ] {
        all.push(case(format!("config: {what}"), words, |l| l.config["rootfs"] = change));
    }
    all.push(case("config: diff_ids exchanged", "unpacked layer has the digest", |l| {
        l.config["rootfs"]["diff_ids"].as_array_mut().unwrap().reverse();
    }));
    for (key, value) in [
        ("architecture", json!({})),
        ("os", json!(["linux"])),
        ("config", json!("none")),
        ("config", json!({"Env": "PATH=/"})),
        ("config", json!({"Cmd": [1, 2]})),
        ("config", json!({"User": 0})),
        ("history", json!("long")),
    ] {
        all.push(case(format!("config: {key} is {value}"), "invalid", |l| l.config[key] = value));
    }
}

/// What stands in the folder where a document or blob should.
fn files(canary: &str, all: &mut Vec<Case>) {
    let secret = format!("{canary}/file");
    for part in 0..2 {
        all.push(case(format!("layer {part}'s blob is a link"), "", |l| {
            let name = l.manifest["layers"][part]["digest"].as_str().unwrap()[7..].to_owned();
            l.links.push((format!("blobs/sha256/{name}"), secret.clone()));
        }));
        all.push(case(format!("layer {part}'s blob is damaged"), "digest", |l| {
            let name = l.manifest["layers"][part]["digest"].as_str().unwrap()[7..].to_owned();
            l.blobs.get_mut(&name).unwrap()[3] ^= 1;
        }));
        all.push(case(format!("layer {part}'s blob is cut"), "bytes long", |l| {
            let name = l.manifest["layers"][part]["digest"].as_str().unwrap()[7..].to_owned();
            l.blobs.get_mut(&name).unwrap().pop();
        }));
        all.push(case(format!("layer {part}'s blob is missing"), "missing", |l| {
            let name = l.manifest["layers"][part]["digest"].as_str().unwrap()[7..].to_owned();
            l.blobs.remove(&name);
        }));
    }
}
