//! Builds the child as a program of its own and lays it out for `program_file` to carry.
//!
//! Always optimised, whatever the profile of the whole: it is the same program in tests. The result
//! is `child.bin`, the bytes as they are in memory, and `child.rs`, where they begin and start.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Nothing of the C library, its start included; no tables for unwinding.
const LINK: &str = "link-args=-nostartfiles -nostdlib -static -Wl,--build-id=none";

fn main() -> Result<()> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    for path in ["../child/src", "../child/Cargo.toml", "../../Cargo.toml"] {
        println!("cargo::rerun-if-changed={path}");
    }
    let elf = fs::read(build(&out.join("child"))?)?;
    let layout = lay_out(&elf).ok_or("the child is no ELF program as it should be")?;
    fs::write(out.join("child.bin"), &layout.bytes)?;
    let (base, entry) = (layout.base, layout.entry);
    let text = format!("const BASE: usize = {base:#x};\nconst ENTRY: usize = {entry:#x};\n");
    Ok(fs::write(out.join("child.rs"), text)?)
}

fn build(folder: &Path) -> Result<PathBuf> {
    let (cargo, target) = (env::var("CARGO")?, env::var("TARGET")?);
    let mut command = Command::new(cargo);
    command.args([
        "rustc",
        "--quiet",
        "--locked",
        "--release",
        "--manifest-path",
        "../../Cargo.toml",
    ]);
    command.args(["-p", "child", "--bin", "child", "--features", "program"]);
    command.args(["--target", &target, "--target-dir"]).arg(folder);
    command.args(["--", "-C", LINK, "-C", "force-unwind-tables=no", "-C", "opt-level=s"]);
    // What the outer build has for itself: lints, other flags, another place.
    for name in ["RUSTC_WORKSPACE_WRAPPER", "RUSTC_WRAPPER", "CARGO_ENCODED_RUSTFLAGS"] {
        command.env_remove(name);
    }
    let flags = ["-C", "relocation-model=static", "-C", "target-feature=+crt-static"];
    command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    if !command.status()?.success() {
        return Err("cargo cannot build the child".into());
    }
    Ok(folder.join(target).join("release/child"))
}

/// The program in memory.
struct Layout {
    base: usize,
    entry: usize,
    bytes: Vec<u8>,
}

/// A field of the ELF file.
struct Elf<'a>(&'a [u8]);

impl Elf<'_> {
    fn half(&self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(self.0.get(at..at + 4)?.try_into().ok()?))
    }

    fn word(&self, at: usize) -> Option<usize> {
        let bytes = self.0.get(at..at + 8)?.try_into().ok()?;
        usize::try_from(u64::from_le_bytes(bytes)).ok()
    }

    /// Type, flags, offset, address and bytes in the file of each segment.
    fn segments(&self) -> Option<Vec<[usize; 5]>> {
        let count = u16::from_le_bytes(self.0.get(56..58)?.try_into().ok()?);
        let table = self.word(32)?;
        let read = |index: u16| {
            let at = table + usize::from(index) * 56;
            let (kind, flags) = (self.half(at)? as usize, self.half(at + 4)? as usize);
            Some([kind, flags, self.word(at + 8)?, self.word(at + 16)?, self.word(at + 32)?])
        };
        (0..count).map(read).collect()
    }
}

/// All segments one behind the other; `None` when one is to be written to after the start: the
/// child has no variables of its own.
fn lay_out(file: &[u8]) -> Option<Layout> {
    const LOAD: usize = 1;
    const READ_ONLY_THEN: usize = 0x6474_e552;
    const WRITE: usize = 2;
    let elf = Elf(file);
    let segments = elf.segments()?;
    let fixed = |address: usize, length: usize| {
        let mut all = segments.iter().filter(|[kind, ..]| *kind == READ_ONLY_THEN);
        all.any(|[_, _, _, start, size]| *start <= address && address + length <= start + size)
    };
    let mut loaded = Vec::new();
    for [_, flags, from, address, length] in segments.iter().filter(|[kind, ..]| *kind == LOAD) {
        if flags & WRITE != 0 && !fixed(*address, *length) {
            return None;
        }
        loaded.push((*address, file.get(*from..from + length)?));
    }
    let base = loaded.iter().map(|(address, _)| *address).min()? & !0xffff;
    let mut bytes = Vec::new();
    for (address, segment) in loaded {
        let at = address - base;
        bytes.resize(bytes.len().max(at + segment.len()), 0);
        bytes.get_mut(at..at + segment.len())?.copy_from_slice(segment);
    }
    Some(Layout { base, entry: elf.word(24)?, bytes })
}
