//! Choices: of a seed, or of a fuzzer's input.

/// Where choices come from. Equal ones give equal choices.
#[derive(Debug)]
pub enum Dice<'a> {
    /// A small generator (SplitMix64).
    Seed(u64),
    /// The bytes of an input, each choice as few as it needs; zeros behind the last.
    Input(&'a [u8]),
}

impl Dice<'_> {
    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.bytes(8)
    }

    /// A number below `n`; 0 when that is 0.
    pub fn below(&mut self, n: usize) -> usize {
        let bytes = match n {
            0..=0x100 => 1,
            0x101..=0x1_0000 => 2,
            _ => 8,
        };
        (self.bytes(bytes) % n.max(1) as u64) as usize
    }

    /// A number of `count` bytes of an input; of a seed, one of 64 bits.
    fn bytes(&mut self, count: usize) -> u64 {
        match self {
            Dice::Seed(seed) => {
                *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = *seed;
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                z ^ (z >> 31)
            }
            Dice::Input(input) => {
                let (taken, rest) = input.split_at(count.min(input.len()));
                *input = rest;
                taken.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
            }
        }
    }
}
