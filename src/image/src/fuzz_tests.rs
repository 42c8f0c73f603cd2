//! What strangers write: documents, names, gzip streams, and tar archives against GNU tar.

use std::io::{BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::compression::{Compression, Decoder};
use crate::document::{Index, Manifest, parse_config};
use crate::extract::forge::seal;
use crate::reference::Reference;
use crate::tarball::{BLOCK, Entry, Kind, Reader};
use crate::user::tests::accounts;

fuzz::targets![manifest, index, image_config, reference, gzip, accounts; tar];

fn manifest(input: &[u8]) {
    if let Ok(manifest) = Manifest::parse(input) {
        let again = serde_json::to_vec(&manifest).unwrap();
        assert_eq!(Manifest::parse(&again).unwrap().layers, manifest.layers);
    }
}

fn index(input: &[u8]) {
    if let Ok(index) = Index::parse(input) {
        let again = serde_json::to_vec(&index).unwrap();
        assert_eq!(Index::parse(&again).unwrap().manifests, index.manifests);
    }
}

fn image_config(input: &[u8]) {
    if let Ok((config, digests)) = parse_config(input) {
        assert_eq!(config.rootfs().diff_ids().len(), digests.len());
    }
}

fn reference(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(reference) = text.parse::<Reference>() {
        assert_eq!(reference.to_string().parse::<Reference>().unwrap(), reference, "{text}");
        let familiar: Reference = reference.familiar().parse().unwrap();
        assert_eq!(familiar.repository(), reference.repository(), "{text}");
        assert!(!text.contains("..") || !reference.repository().contains("/../"), "{text}");
    }
}

fn gzip(input: &[u8]) {
    const MOST: u64 = 4 << 20;
    let all = |input: &mut dyn Read| {
        let mut out = Vec::new();
        input.take(MOST).read_to_end(&mut out).map(|_| out)
    };
    let theirs = all(&mut flate2::bufread::MultiGzDecoder::new(input));
    let pieces = || BufReader::with_capacity(61, input);
    let ours = all(&mut Decoder::new(pieces(), Compression::Gzip).unwrap());
    let unchecked = all(&mut Decoder::of_known_digest(pieces(), Compression::Gzip).unwrap());
    match (theirs, ours) {
        (Ok(theirs), Ok(ours)) => assert!(ours == theirs && unchecked.unwrap() == theirs),
        (Err(_), Err(_)) => {}
        // Up to three bytes in front of the CRC of a member that is not the last one.
        (Err(_), Ok(_)) if input.windows(3).skip(1).any(|w| w == [0x1f, 0x8b, 8]) => {}
        (theirs, ours) => panic!("flate2: {theirs:?}\nours: {ours:?}"),
    }
}

/// Mutation breaks checksums, which would end every trial: those of headers are made right.
fn mended(input: &[u8]) -> Vec<u8> {
    let mut archive = input.to_vec();
    archive.resize(input.len().next_multiple_of(BLOCK), 0);
    for block in archive.chunks_exact_mut(BLOCK) {
        let block: &mut [u8; BLOCK] = block.try_into().unwrap();
        if &block[257..262] == b"ustar" {
            seal(block);
        }
    }
    archive.extend([0; 2 * BLOCK]);
    archive
}

/// An entry as `tar --list --verbose` shows it, without permissions and time.
fn listed(entry: &Entry) -> String {
    let kind = match entry.kind {
        Kind::File => '-',
        Kind::HardLink => 'h',
        Kind::Link => 'l',
        Kind::Folder => 'd',
        Kind::Fifo => 'p',
        Kind::Char { .. } => 'c',
        Kind::Block { .. } => 'b',
    };
    let size = match (entry.kind, &entry.sparse) {
        (Kind::Char { major, minor } | Kind::Block { major, minor }, _) => {
            format!("{major},{minor}")
        }
        (_, Some(sparse)) => sparse.length.to_string(),
        (_, None) => entry.size.to_string(),
    };
    let mut line = format!("{kind} {}/{} {size} ", entry.uid, entry.gid).into_bytes();
    line.extend(&entry.path);
    while entry.kind == Kind::Folder && line.ends_with(b"/") {
        line.pop();
    }
    match entry.kind {
        Kind::Link => line.extend([b" -> ", entry.link.as_slice()].concat()),
        Kind::HardLink => line.extend([b" link to ", entry.link.as_slice()].concat()),
        _ => {}
    }
    String::from_utf8_lossy(&line).into_owned()
}

/// What GNU tar reads; `None` when it finds fault with the archive.
fn by_gnu_tar(archive: &[u8]) -> Option<Vec<String>> {
    let mut tar = Command::new("tar")
        .args(["--list", "--verbose", "--numeric-owner", "--utc", "--file=-"])
        .args(["--quoting-style=literal", "--null", "--absolute-names"])
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It stops reading at the end marker.
    let _ = tar.stdin.take().unwrap().write_all(archive);
    let out = tar.wait_with_output().unwrap();
    if !out.status.success() || !out.stderr.is_empty() {
        return None;
    }
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    // Not lines(): a name may end with a carriage return.
    text.split_terminator('\n')
        // The name of a volume is no file.
        .filter(|line| !line.starts_with('V'))
        .map(|line| {
            // Permissions, owner, size, day, time, name.
            let mut rest = line;
            let mut words = Vec::new();
            for _ in 0..5 {
                let word = rest.trim_start_matches(' ');
                let end = word.find(' ')?;
                words.push(&word[..end]);
                rest = &word[end..];
            }
            // A year of another length than four has the later lines padded for it.
            if words[3].len() != "1970-01-01".len() {
                return None;
            }
            // A contiguous file is a file.
            let kind = words[0].chars().next().map(|kind| if kind == 'C' { '-' } else { kind })?;
            let name = rest.strip_prefix(' ')?;
            let name = if kind == 'd' { name.trim_end_matches('/') } else { name };
            Some(format!("{kind} {} {} {name}", words[1], words[2]))
        })
        .collect()
}

/// Archives that both we and GNU tar took.
static COMPARED: AtomicUsize = AtomicUsize::new(0);

#[cfg(not(fuzzing))]
#[test]
fn tar_corpus_beside_gnu_tar() {
    fuzz::replay("tar", tar);
    let compared = COMPARED.load(Ordering::Relaxed);
    assert!(compared >= 9, "only {compared} archives were compared");
}

fn tar(input: &[u8]) {
    let archive = mended(input);
    let mut reader = Reader::new(BufReader::with_capacity(701, archive.as_slice()));
    let mut ours = Vec::new();
    loop {
        match reader.next() {
            Ok(Some(entry)) => ours.push(entry),
            Ok(None) => break,
            // What is refused cannot be taken for something else.
            Err(_) => return,
        }
    }
    // GNU tar shows names over several lines, and takes a file for a folder by the slash at its
    // name's end, but at the root.
    let plain = |e: &Entry| {
        let root = e.path.iter().all(|byte| *byte == b'/');
        !root && !e.path.contains(&b'\n') && !e.link.contains(&b'\n')
    };
    if !ours.iter().all(plain) {
        return;
    }
    let Some(theirs) = by_gnu_tar(&archive) else { return };
    let ours: Vec<String> = ours.iter().map(listed).collect();
    // A long name that no NUL ends GNU tar reads to the end of its block, Go's reader and this one
    // as far as its size goes.
    let long = archive.chunks(512).any(|block| matches!(block.get(156), Some(b'L' | b'K')));
    let mut pairs = ours.iter().zip(&theirs);
    if !(long && ours.len() == theirs.len() && pairs.all(|(own, other)| other.starts_with(own))) {
        assert_eq!(ours, theirs);
    }
    COMPARED.fetch_add(1, Ordering::Relaxed);
}
