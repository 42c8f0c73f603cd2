//! Writing tar archives as no honest program would: for tests.

use crate::tarball::BLOCK;

/// An archive under construction.
#[derive(Clone, Default)]
pub(crate) struct Forge(pub(crate) Vec<u8>);

/// The fields of a header that tests bend.
#[derive(Clone)]
pub(crate) struct Head {
    pub(crate) name: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) flag: u8,
    pub(crate) mode: u32,
    pub(crate) uid: Vec<u8>,
    pub(crate) gid: Vec<u8>,
    pub(crate) size: Vec<u8>,
    pub(crate) mtime: Vec<u8>,
    pub(crate) device: (u32, u32),
    pub(crate) magic: &'static [u8],
}

pub(crate) fn octal(value: u64, width: usize) -> Vec<u8> {
    format!("{value:0width$o}\0", width = width - 1).into_bytes()
}

impl Head {
    pub(crate) fn new(name: &[u8], flag: u8) -> Head {
        Head {
            name: name.to_vec(),
            link: Vec::new(),
            flag,
            mode: if flag == b'5' { 0o755 } else { 0o644 },
            uid: octal(0, 8),
            gid: octal(0, 8),
            size: octal(0, 12),
            mtime: octal(1_000_000_000, 12),
            device: (0, 0),
            magic: b"ustar\x0000",
        }
    }

    pub(crate) fn block(&self) -> [u8; BLOCK] {
        let mut block = [0u8; BLOCK];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.name[..self.name.len().min(100)]);
        put(100, &octal(u64::from(self.mode), 8));
        put(108, &self.uid);
        put(116, &self.gid);
        put(124, &self.size);
        put(136, &self.mtime);
        put(156, &[self.flag]);
        put(157, &self.link[..self.link.len().min(100)]);
        put(257, self.magic);
        put(329, &octal(u64::from(self.device.0), 8));
        put(337, &octal(u64::from(self.device.1), 8));
        seal(&mut block);
        block
    }
}

/// Computes the checksum.
pub(crate) fn seal(block: &mut [u8; BLOCK]) {
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|b| u64::from(*b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

impl Forge {
    pub(crate) fn head(mut self, head: &Head) -> Forge {
        self.0.extend(head.block());
        self
    }

    pub(crate) fn data(mut self, data: &[u8]) -> Forge {
        self.0.extend(data);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
        self
    }

    pub(crate) fn with(self, name: &[u8], flag: u8, data: &[u8]) -> Forge {
        let size = octal(data.len() as u64, 12);
        self.head(&Head { size, ..Head::new(name, flag) }).data(data)
    }

    pub(crate) fn file(self, name: &str) -> Forge {
        self.with(name.as_bytes(), b'0', b"x")
    }

    pub(crate) fn folder(self, name: &str) -> Forge {
        self.with(name.as_bytes(), b'5', b"")
    }

    pub(crate) fn link(self, name: &str, to: &str) -> Forge {
        self.head(&Head { link: to.into(), ..Head::new(name.as_bytes(), b'2') })
    }

    pub(crate) fn hard(self, name: &str, to: &str) -> Forge {
        self.head(&Head { link: to.into(), ..Head::new(name.as_bytes(), b'1') })
    }

    pub(crate) fn node(self, name: &str, flag: u8, device: (u32, u32)) -> Forge {
        self.head(&Head { device, ..Head::new(name.as_bytes(), flag) })
    }

    /// A PAX header in front of the next entry.
    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Forge {
        let body: Vec<u8> = records.iter().flat_map(|(k, v)| record(k, v)).collect();
        self.with(b"PaxHeaders/x", b'x', &body)
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 2 * BLOCK]);
        self.0
    }
}

/// `LENGTH KEY=VALUE\n`.
pub(crate) fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}
