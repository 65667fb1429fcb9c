//! Which of the real files are read, by codec, samples and layout: compared with the table in `tests/data/coverage.md`.

mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use common::{Real, data_dir, real_files};
use tilekeep::{BlockId, Dataset, ErrorKind, Result};

/// Set to anything, it has the table written anew.
const WRITE: &str = "TILEKEEP_WRITE_COVERAGE";

const EXPECTED: [&str; 4] = ["exact", "close", "some-read", "refused"];

/// How many files there are, and how many of them are read, for each of what is expected.
type Counts = [(usize, usize); EXPECTED.len()];

/// Reads the blocks of full resolution: all, or of thousands a part.
fn read_blocks(path: &Path) -> Result<()> {
    let dataset = Dataset::open(path)?;
    let level = dataset.levels()[0];
    let n_blocks = u64::from(level.cols()) * u64::from(level.rows());
    let step = n_blocks.div_ceil(1000).max(1);
    for plane in 0..dataset.info().n_planes() {
        for number in (0..n_blocks).step_by(step as usize) {
            let (col, row) = (number % u64::from(level.cols()), number / u64::from(level.cols()));
            dataset.block(BlockId::new(0, col as u32, row as u32).with_plane(plane))?;
        }
    }
    Ok(())
}

fn key(real: &Real) -> [String; 3] {
    let bits = real.number("bits").map(|bits| format!("{bits} bits"));
    let samples = match real.text("dtype") {
        "" => bits.unwrap_or_else(|| "-".to_owned()),
        dtype
            if bits.as_ref().is_some_and(|bits| !["8 bits", "16 bits", "32 bits", "64 bits"].contains(&&bits[..])) =>
        {
            format!("{dtype}, {}", bits.unwrap())
        }
        dtype => dtype.to_owned(),
    };
    let layout = match (real.facts["tiled"].as_bool(), real.number("planar")) {
        (None, _) => "-".to_owned(),
        (Some(tiled), planar) => {
            let blocks = if tiled { "tiles" } else { "strips" };
            format!("{blocks}, {}", if planar == Some(2) { "band" } else { "pixel" })
        }
    };
    [real.codec(), samples, layout]
}

#[test]
fn the_table_of_what_is_read_is_true() {
    let Some(dir) = data_dir() else { return };
    if cfg!(any(feature = "jpeg2000", feature = "jpegxl")) {
        eprintln!("SKIPPED: the table is of the codecs that every build has");
        return;
    }
    let mut rows: BTreeMap<[String; 3], Counts> = BTreeMap::new();
    let mut totals = Counts::default();
    let mut not_read = String::new();
    for real in real_files(&dir) {
        let column = EXPECTED.iter().position(|expected| *expected == real.expect).unwrap();
        let result = read_blocks(&real.path);
        for (n_read, n) in [&mut rows.entry(key(&real)).or_default()[column], &mut totals[column]] {
            *n += 1;
            *n_read += usize::from(result.is_ok());
        }
        if let Err(error) = result
            && real.expect != "refused"
        {
            // What breaks a stream is said otherwise by other decoders of the same codec.
            let reason = if error.kind() == ErrorKind::Unsupported { error.message() } else { error.kind().as_str() };
            // Without the folder, which is another one everywhere.
            let reason = reason.rsplit_once(&real.name).map_or(reason, |(_, reason)| reason.trim_start_matches(": "));
            writeln!(not_read, "| {} | {} | {reason} |", real.expect, real.name).unwrap();
        }
    }
    let mut table = String::from(
        "# Which real files are read\n\n\
         Files read of those that there are, by what other readers make of them: the same pixels to the bit (exact), nearly\n\
         the same (close), only some of the readers read them (some-read), none does (refused). Written by\n\
         `TILEKEEP_WRITE_COVERAGE=1 cargo test --test coverage`.\n\n\
         | codec | samples | layout | exact | close | some-read | refused |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    let cell = |(n_read, n): (usize, usize)| if n == 0 { String::new() } else { format!("{n_read} of {n}") };
    for ([codec, samples, layout], counts) in &rows {
        let [exact, close, some, refused] = counts.map(cell);
        writeln!(table, "| {codec} | {samples} | {layout} | {exact} | {close} | {some} | {refused} |").unwrap();
    }
    let [exact, close, some, refused] = totals.map(cell);
    writeln!(table, "| all | | | {exact} | {close} | {some} | {refused} |").unwrap();
    writeln!(table, "\n## Not read\n\n| expected | file | reason |\n| --- | --- | --- |\n{}", not_read.trim_end())
        .unwrap();
    println!("{table}");

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/coverage.md");
    if std::env::var_os(WRITE).is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &table).unwrap();
    }
    let (n_read, n) = totals[0];
    assert!((n - n_read) * 50 <= n, "{} of {n} exact files are not read", n - n_read);
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == table, "{} differs; {WRITE}=1 writes it anew", path.display());
}
