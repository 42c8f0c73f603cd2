use super::*;
use serde_json::json;

fn file(name: &str, text: &str, offset: u64, end: u64) -> Value {
    json!({"type": "reg", "name": name, "size": text.len(), "digest": Digest::of(text.as_bytes()),
           "offset": offset, "endOffset": end})
}

fn table(entries: &[Value], end: u64) -> Option<Vec<Piece>> {
    let plain = serde_json::to_vec(&json!({"version": 1, "entries": entries})).unwrap();
    pieces(&plain, end)
}

fn local(entries: &[Value], end: u64) -> Local {
    let mut local = Local::default();
    local.blobs.push("/blob".into());
    for piece in table(entries, end).unwrap() {
        local.pieces.insert(piece.key, (0, piece.offset, piece.length));
    }
    local
}

const MIB: u64 = 1 << 20;

#[test]
fn the_same_files_with_the_same_headers_are_local() {
    let folder = json!({"type": "dir", "name": "d", "mode": 493});
    let old = [folder.clone(), file("a", "A", 100, MIB), file("b", "B", MIB + 50, 2 * MIB)];
    let local = local(&old, 3 * MIB);
    // b has changed and is longer.
    let new = [folder, file("a", "A", 100, MIB), file("b", "BB", MIB + 50, 5 * MIB)];
    let plan = local.plan(&table(&new, 6 * MIB).unwrap(), 7 * MIB);
    let here = From::Local { path: "/blob".into(), offset: 0, length: MIB };
    assert_eq!(plan, [here, From::Remote { offset: MIB, length: 6 * MIB }]);
    assert_eq!(plan.iter().map(From::length).sum::<u64>(), 7 * MIB);
    // Another time in the header: only the contents are local.
    let mut touched = new.clone();
    touched[1]["modtime"] = "x".into();
    let plan = local.plan(&table(&touched, 6 * MIB).unwrap(), 7 * MIB);
    assert_eq!(plan[0], From::Remote { offset: 0, length: 100 });
    assert!(matches!(&plan[1], From::Local { offset: 100, .. }));
}

#[test]
fn pieces_of_a_file_are_found_by_their_digests() {
    let part = |text: &str| Digest::of(text.as_bytes());
    let big = |second: &str| {
        [
            json!({"type": "reg", "name": "big", "size": 9, "digest": part("whole"), "offset": 10,
                   "endOffset": 2 * MIB, "chunkSize": 4, "chunkDigest": part("one")}),
            json!({"type": "chunk", "name": "big", "offset": MIB, "chunkSize": 5, "chunkOffset": 4,
                   "chunkDigest": part(second)}),
        ]
    };
    let local = local(&big("two"), 3 * MIB);
    let plan = local.plan(&table(&big("other"), 3 * MIB).unwrap(), 3 * MIB);
    assert_eq!(plan.len(), 2, "{plan:?}");
    assert!(matches!(plan[1], From::Remote { offset: MIB, .. }));
}

#[test]
fn tables_that_lie_are_no_tables() {
    for entries in [
        vec![file("a", "A", 100, 50)],
        vec![file("a", "A", 100, 5000)],
        vec![file("a", "A", 100, 200), file("b", "B", 150, 300)],
    ] {
        assert_eq!(table(&entries, 1000), None);
    }
    assert_eq!(pieces(b"{", 10), None);
    let layer = |position: &str| {
        let mut layer = Descriptor::new("x", Digest::of(b""), 1000);
        let checksum = Digest::of(b"").to_string();
        layer.annotations = Some(
            [("position", position), ("checksum", checksum.as_str())]
                .map(|(k, v)| (format!("{}{k}", PREFIXES[0]), v.to_owned()))
                .into(),
        );
        layer
    };
    assert!(Table::of(&layer("10:20:30:1")).is_some());
    for bad in [
        "",
        "10:20:30:2",
        "990:20:30:1",
        "10:99999999:30:1",
        "1:2:3",
        "x:1:1:1",
        "18446744073709551615:20:30:1",
    ] {
        assert_eq!(Table::of(&layer(bad)), None, "{bad}");
    }
    let table = Table::of(&layer("10:20:30:1")).unwrap();
    assert!(table.read(b"not zstd").is_empty());
}

#[test]
fn short_runs_are_not_worth_a_request() {
    let remote = |offset, length| From::Remote { offset, length };
    let here = |offset, length| From::Local { path: "/b".into(), offset, length };
    let runs = [remote(0, 10), here(0, 100), remote(110, 5), here(500, MIB), here(9, 3)];
    let plan = coarser(&runs);
    assert_eq!(plan, [remote(0, 115), here(500, MIB), here(9, 3)]);
}
