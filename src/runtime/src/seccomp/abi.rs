//! The system call ABIs a process of this machine can use.

use oci::runtime::Arch;

use super::syscalls::SYSCALLS;

/// Set in the number of every x32 call, which shares x86_64's architecture token.
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// One ABI: a column of the table, told apart by token and bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Abi {
    X86_64,
    I386,
    X32,
    Aarch64,
}

impl Abi {
    /// The ABI of this program.
    pub(super) const NATIVE: Option<Abi> = if cfg!(target_arch = "x86_64") {
        Some(Abi::X86_64)
    } else if cfg!(target_arch = "aarch64") {
        Some(Abi::Aarch64)
    } else {
        None
    };

    /// The ABI of a profile's architecture; `None` for one that no process of this machine can
    /// use, and for 32-bit ARM, of which there is no table: its calls are killed.
    pub(super) fn of(arch: Arch) -> Option<Abi> {
        let abi = match arch {
            Arch::ScmpArchNative => return Abi::NATIVE,
            Arch::ScmpArchX86_64 => Abi::X86_64,
            Arch::ScmpArchX86 => Abi::I386,
            Arch::ScmpArchX32 => Abi::X32,
            Arch::ScmpArchAarch64 => Abi::Aarch64,
            _ => return None,
        };
        let here = match Abi::NATIVE {
            Some(Abi::Aarch64) => abi == Abi::Aarch64,
            Some(_) => abi != Abi::Aarch64,
            None => false,
        };
        here.then_some(abi)
    }

    /// `seccomp_data.arch`: AUDIT_ARCH_X86_64, AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64.
    pub(super) fn token(self) -> u32 {
        match self {
            Abi::X86_64 | Abi::X32 => 0xc000_003e,
            Abi::I386 => 0x4000_0003,
            Abi::Aarch64 => 0xc000_00b7,
        }
    }

    /// Whether arguments are 32 bits wide, so that only the low half of a value is compared.
    pub(super) fn narrow(self) -> bool {
        self == Abi::I386
    }

    /// The number of a call as `seccomp_data.nr` has it.
    pub(super) fn number(self, name: &str) -> Option<u32> {
        let row = SYSCALLS.binary_search_by_key(&name, |(name, _)| name).ok()?;
        let column = match self {
            Abi::X86_64 => 0,
            Abi::I386 => 1,
            Abi::X32 => 2,
            Abi::Aarch64 => 3,
        };
        let number = u32::try_from(SYSCALLS[row].1[column]).ok()?;
        Some(if self == Abi::X32 { number | X32_BIT } else { number })
    }
}
