//! Members of every length and kind, whole, cut and forged, against flate2.

use std::io::{BufReader, Write};

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};

use super::*;

fn pack(text: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn unpack(packed: &[u8], piece: usize, check: bool) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut gunzip = Gunzip::new(BufReader::with_capacity(piece, packed), check);
    gunzip.read_to_end(&mut all)?;
    Ok(all)
}

/// Text that repeats itself near and far.
fn text(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    let mut out: Vec<u8> = Vec::with_capacity(length);
    while out.len() < length {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let back = (state >> 8) as usize % 40_000 + 1;
        let run = (state >> 3) as usize % 60;
        if state & 4 == 0 && back <= out.len() {
            let from = out.len() - back;
            (0..run.min(back)).for_each(|i| out.push(out[from + i]));
        } else {
            out.push((state >> 24) as u8);
        }
    }
    out.truncate(length);
    out
}

#[test]
fn every_length_and_level_comes_out() {
    for length in (0..300).chain([32_768, 65_536, 163_840, 1_000_000]) {
        for level in [0, 1, 6, 9] {
            let plain = text(length, length as u32);
            let packed = pack(&plain, level);
            for piece in [1, 7, 100_000] {
                if piece == 1 && length > 70_000 {
                    continue;
                }
                let what = format!("{length} bytes, level {level}, in pieces of {piece}");
                let got = unpack(&packed, piece, true).unwrap_or_else(|e| panic!("{what}: {e}"));
                assert!(got == plain, "{what}");
            }
        }
    }
}

#[test]
fn members_are_joined() {
    for seed in 0..200u32 {
        let parts: Vec<Vec<u8>> =
            (0..4).map(|i| text((seed as usize * (i + 3)) % 50, seed + 9)).collect();
        let packed: Vec<u8> = parts.iter().flat_map(|p| pack(p, seed % 10)).collect();
        for check in [true, false] {
            let got = unpack(&packed, 5, check).unwrap_or_else(|e| panic!("{seed}: {e}"));
            assert!(got == parts.concat(), "{seed}");
        }
    }
}

#[test]
fn headers_have_all_their_fields() {
    let builder = GzBuilder::new().filename("a name").comment("a remark").extra(vec![7; 300]);
    let mut encoder = builder.write(Vec::new(), Compression::default());
    encoder.write_all(b"inside").unwrap();
    let packed = encoder.finish().unwrap();
    assert_eq!(unpack(&packed, 3, true).unwrap(), b"inside");
}

#[test]
fn what_is_cut_is_called_so() {
    let packed = [pack(&text(900, 4), 6), pack(b"more", 6)].concat();
    let first = pack(&text(900, 4), 6).len();
    for length in 1..packed.len() {
        let got = unpack(&packed[..length], 64, false);
        if length == first {
            assert!(got.is_ok());
        } else {
            assert!(got.is_err(), "{length} of {}", packed.len());
        }
    }
    // In the middle of the data the word is the right one.
    let kind = unpack(&packed[..first / 2], 64, false).unwrap_err().kind();
    assert_eq!(kind, ErrorKind::UnexpectedEof);
}

#[test]
fn garbage_and_wrong_sums_are_refused() {
    let good = pack(b"some text, some text", 6);
    let at = good.len();
    for (name, packed) in [
        ("zeros after it", [good.clone(), vec![0; 20]].concat()),
        ("a byte after it", [good.clone(), vec![0x1f]].concat()),
        ("text after it", [good.clone(), b"hello".to_vec()].concat()),
        ("a wrong length", [good[..at - 1].to_vec(), vec![1]].concat()),
        ("a wrong sum", [good[..at - 8].to_vec(), vec![9; 4], good[at - 4..].to_vec()].concat()),
        ("unknown flags", [vec![0x1f, 0x8b, 8, 0x80], good[4..].to_vec()].concat()),
        ("another method", [vec![0x1f, 0x8b, 7], good[3..].to_vec()].concat()),
    ] {
        assert!(unpack(&packed, 64, true).is_err(), "{name}");
    }
}

#[test]
fn flipped_bits_end_as_with_flate2_or_in_an_error() {
    let good = pack(&text(400, 77), 9);
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut forged = good.clone();
            forged[at] ^= 1 << bit;
            let ours = unpack(&forged, 33, true);
            let mut theirs = Vec::new();
            let read = flate2::bufread::MultiGzDecoder::new(&forged[..]).read_to_end(&mut theirs);
            if let Ok(ours) = ours {
                assert!(read.is_ok() && ours == theirs, "bit {bit} of byte {at}");
            }
        }
    }
}
