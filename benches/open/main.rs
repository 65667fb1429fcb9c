//! What it costs to open a georeferenced TIFF, to ask what it is and where it lies, and to close it, beside GDAL.
//!
//! ```text
//! cargo bench --bench open
//! ```
//!
//! A file of strips, and a tiled one of 16,384 x 16,384 pixels with six overviews, as a cloud-optimized GeoTIFF is; each
//! alone in its folder, and among 5,000 other files. Every opening parses the file anew, as if the process had never seen
//! it. CPU time, the page cache warm; the readers take turns, and the medians of their rounds are printed. GDAL is asked
//! once for what corresponds to it (geotransform, sizes, overviews), and once for its coordinate system too, which it looks
//! up in its database, where ours is the code that the file gives. It is left out where its headers or a C compiler are
//! missing.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::Command;

use rustix::time::{ClockId, clock_gettime};
use tiff_writer::{Blocks, Compression, Format, Geo, Image, TiffWriter};
use tilekeep::{Dataset, OpenOptions, Result};

#[path = "../support/gdal.rs"]
mod gdal;
#[path = "../../examples/support/tiff_writer.rs"]
#[allow(dead_code)]
mod tiff_writer;

const ROUNDS: usize = 7;
const TIMES: usize = 1000;
const OTHERS: u32 = 5000;

fn main() -> Result<()> {
    let alone = tempfile::tempdir()?;
    let crowd = tempfile::tempdir()?;
    for i in 0..OTHERS {
        File::create(crowd.path().join(format!("other_{i}.tif")))?;
    }
    let peer = gdal::program("benches/open/gdal_open.c", alone.path());
    if let Err(reason) = &peer {
        println!("left out: GDAL: {reason}");
    }
    for (name, write) in [("strips", strips as fn(&Path) -> io::Result<()>), ("tiles, 7 levels", pyramid)] {
        for (folder, place) in [(alone.path(), "alone"), (crowd.path(), "among 5,000 files")] {
            let file = folder.join("raster.tif");
            write(&file)?;
            compare(&format!("{name}, {place}"), &file, peer.as_deref().ok())?;
            fs::remove_file(&file)?;
        }
    }
    Ok(())
}

/// Prints microseconds of one opening, and how many times as long GDAL takes.
fn compare(name: &str, file: &Path, peer: Option<&Path>) -> Result<()> {
    let (mut ours, mut theirs) = (Vec::new(), [Vec::new(), Vec::new()]);
    for _ in 0..ROUNDS {
        ours.push(open_often(file)?);
        for (with_system, theirs) in theirs.iter_mut().enumerate() {
            theirs.extend(peer.and_then(|program| open_with(program, file, with_system)));
        }
    }
    let ours = median(ours);
    print!("{name:<36} {:>6.1} us", ours / 1e3);
    for (theirs, what) in theirs.into_iter().zip(["GDAL", "with its coordinate system"]) {
        if theirs.len() == ROUNDS {
            let theirs = median(theirs);
            print!(", {what} {:.1} us (x {:.1})", theirs / 1e3, theirs / ours);
        }
    }
    println!();
    Ok(())
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn cpu_ns() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Nanoseconds of one opening, the median of many.
fn open_often(file: &Path) -> Result<f64> {
    let mut took = Vec::new();
    for _ in 0..TIMES {
        let start = cpu_ns();
        let dataset = Dataset::open_with(file, &OpenOptions::default().shared(false))?;
        let info = dataset.info();
        assert!(dataset.geotransform(0).is_some() && info.epsg() == Some(32_633) && !dataset.levels().is_empty());
        drop(dataset);
        took.push(cpu_ns() - start);
    }
    Ok(median(took))
}

fn open_with(program: &Path, file: &Path, with_system: usize) -> Option<f64> {
    let output = Command::new(program).arg(file).arg(TIMES.to_string()).arg(with_system.to_string()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.trim().parse().ok().filter(|_| output.status.success())
}

/// An image of metres in UTM zone 33 north.
fn georeferenced(side: u32) -> Image {
    Image {
        pixel_scale: Some([10.0, 10.0, 0.0]),
        tiepoints: vec![[0.0, 0.0, 0.0, 300_000.0, 5_000_000.0, 0.0]],
        geo_keys: vec![(1024, Geo::Short(1)), (1025, Geo::Short(1)), (3072, Geo::Short(32_633))],
        nodata: Some("0".to_owned()),
        compression: Compression::Deflate,
        ..Image::new(side, side)
    }
}

fn strips(path: &Path) -> io::Result<()> {
    let image = Image { blocks: Blocks::Strips(8), ..georeferenced(2000) };
    let mut writer = TiffWriter::new(File::create(path)?, Format::default())?;
    writer.image(&image, |_, _, row| Some(vec![row as u8; (image.stored_rows(row) * image.width) as usize]))?;
    writer.finish()?;
    Ok(())
}

/// Blocks hold next to nothing: it is their number that counts.
fn pyramid(path: &Path) -> io::Result<()> {
    let image = Image { blocks: Blocks::Tiles(512, 512), ..georeferenced(16_384) };
    let mut writer = TiffWriter::new(File::create(path)?, Format::default())?;
    for factor in [1, 2, 4, 8, 16, 32, 64] {
        let level = if factor == 1 { image.clone() } else { image.reduced(factor) };
        writer.image(&level, |_, col, row| Some(vec![(col ^ row) as u8; 512 * 512]))?;
    }
    writer.finish()?;
    Ok(())
}
