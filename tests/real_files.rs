//! Files that others wrote, and what established readers make of them.

mod common;

use std::collections::BTreeMap;

use common::{Real, data_dir, read_all, real_files};
use tilekeep::{Dataset, ErrorKind, Interleave};
use xxhash_rust::xxh64::xxh64;

/// Presents samples as the oracle does: that of bands of 8-bit or wider native samples in little endian.
fn hash(pixels: &[u8]) -> String {
    format!("{:016x}", xxh64(pixels, 0))
}

#[derive(Default)]
struct Count {
    read: usize,
    unsupported: usize,
    refused: usize,
    wrong: usize,
}

#[test]
fn exact_files_have_the_pixels_that_gdal_reads() {
    let Some(dir) = data_dir() else { return };
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    let mut failures = Vec::new();
    for real in real_files(&dir).iter().filter(|real| real.expect == "exact") {
        let count = counts.entry(real.codec()).or_default();
        match Dataset::open(&real.path)
            .and_then(|d| Ok((read_all(&d, Interleave::Pixel)?, read_all(&d, Interleave::Band)?)))
        {
            Ok((bip, bsq)) if hash(&bip) == real.text("xxh64_bip") && hash(&bsq) == real.text("xxh64_bsq") => {
                count.read += 1
            }
            Ok(_) => {
                count.wrong += 1;
                failures.push(format!("WRONG {}: {}", real.name, facts(real)));
            }
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                count.unsupported += 1;
                println!("unsupported {}: {error}", real.name);
            }
            Err(error) => {
                count.refused += 1;
                failures.push(format!("REFUSED {}: {error}: {}", real.name, facts(real)));
            }
        }
    }
    println!("{:<16} {:>6} {:>12} {:>8} {:>6}", "codec", "read", "unsupported", "refused", "wrong");
    for (codec, c) in &counts {
        println!("{codec:<16} {:>6} {:>12} {:>8} {:>6}", c.read, c.unsupported, c.refused, c.wrong);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn facts(real: &Real) -> String {
    let keys = [
        "dtype",
        "bands",
        "w",
        "h",
        "bits",
        "nbits",
        "sampleformat",
        "planar",
        "photometric",
        "compression",
        "predictor",
        "tiled",
        "endian",
        "block",
    ];
    keys.map(|key| format!("{key}={}", real.facts[key])).join(" ")
}
