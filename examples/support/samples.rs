//! Files of a made-up landscape.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::landscape::Landscape;
use super::{Blocks, Compression, Format, Geo, Image, Kind, Order, TiffWriter};

/// The side of the tiles of a pyramid.
const TILE: u32 = 256;
/// Tiles that are computed at a time.
const AHEAD: u32 = 32;

/// Writes a made-up landscape to `path`: RGB in tiles of 256 x 256, Deflate with predictor 2, georeferenced in
/// EPSG:32632 with 10 m a pixel, with overviews down to 256 pixels. The same size gives the same file.
///
/// The picture is computed tile by tile, overviews too: memory stays small at any size. Beyond 3 GiB of pixels the
/// file is a BigTIFF.
pub fn sample_pyramid(path: impl AsRef<Path>, width: u32, height: u32) -> io::Result<()> {
    let land = Landscape::new(width, height);
    pyramid(path.as_ref(), &Image { n_bands: 3, predictor: 2, ..on_the_ground(width, height) }, |step, x, y| {
        land.tile(step, x, y, TILE)
    })
}

/// Writes the heights of the same landscape to `path`, in metres as floats of 32 bits with predictor 3; where the sea is
/// deeper than 300 m nobody measured, and samples are nodata, -9999.
pub fn sample_elevations(path: impl AsRef<Path>, width: u32, height: u32) -> io::Result<()> {
    let land = Landscape::new(width, height);
    let nodata = Some("-9999".to_owned());
    let item = |role: &str, text: &str| format!("<Item name=\"\" sample=\"0\" role=\"{role}\">{text}</Item>");
    let xml = [item("description", "height"), item("unittype", "m")].concat();
    let gdal_metadata = Some(format!("<GDALMetadata>{xml}</GDALMetadata>"));
    let image = Image { kind: Kind::F32, predictor: 3, nodata, gdal_metadata, ..on_the_ground(width, height) };
    pyramid(path.as_ref(), &image, |step, x, y| {
        // To an eighth of a metre, as measured.
        let metres = land.heights(step, x, y, TILE).into_iter().map(|height| (height * 32_000.0).round() / 8.0);
        metres.flat_map(|m| if m < -300.0 { -9999.0 } else { m }.to_ne_bytes()).collect()
    })
}

/// An image in tiles that lies in EPSG:32632 with 10 m a pixel.
fn on_the_ground(width: u32, height: u32) -> Image {
    Image {
        blocks: Blocks::Tiles(TILE, TILE),
        compression: Compression::Deflate,
        pixel_scale: Some([10.0, 10.0, 0.0]),
        tiepoints: vec![[0.0, 0.0, 0.0, 480_000.0, 5_260_000.0, 0.0]],
        geo_keys: vec![
            (1024, Geo::Short(1)),
            (1025, Geo::Short(1)),
            (1026, Geo::Ascii("WGS 84 / UTM zone 32N".to_owned())),
            (3072, Geo::Short(32632)),
            (3076, Geo::Short(9001)),
        ],
        ..Image::new(width, height)
    }
}

/// Writes an image and its overviews down to one tile. `tile` makes the samples of the tile whose first pixel is at `x, y`,
/// where a pixel measures `step` pixels of full resolution; several are made at once.
fn pyramid(path: &Path, base: &Image, tile: impl Fn(f64, u64, u64) -> Vec<u8> + Sync) -> io::Result<()> {
    let big = u64::from(base.width) * u64::from(base.height) * 4 > 3 << 30;
    let out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut writer = TiffWriter::new(out, Format { big, order: Order::Little })?;
    let mut factor = 1;
    loop {
        let image = if factor == 1 { base.clone() } else { base.reduced(factor) };
        let mut ahead = Vec::new().into_iter();
        writer.image(&image, |_, col, row| {
            if col % AHEAD == 0 {
                let n = AHEAD.min(image.grid().0 - col);
                let place = |i: u32| (u64::from((col + i) * TILE), u64::from(row * TILE));
                ahead = at_once(n, |i| tile(f64::from(factor), place(i).0, place(i).1)).into_iter();
            }
            ahead.next()
        })?;
        if image.width <= TILE && image.height <= TILE {
            break;
        }
        factor *= 2;
    }
    writer.finish()?.flush()
}

/// What `make` makes of 0, 1, … up to `n`, on all processors.
fn at_once(n: u32, make: impl Fn(u32) -> Vec<u8> + Sync) -> Vec<Vec<u8>> {
    let n_threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(n as usize);
    let next = AtomicUsize::new(0);
    let some = || {
        let mut made = Vec::new();
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= n as usize {
                return made;
            }
            made.push((i, make(i as u32)));
        }
    };
    let mut made: Vec<_> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..n_threads).map(|_| scope.spawn(some)).collect();
        let mut made = some();
        others.into_iter().for_each(|other| made.extend(other.join().expect("a tile of the landscape")));
        made
    });
    made.sort_unstable_by_key(|(i, _)| *i);
    made.into_iter().map(|(_, samples)| samples).collect()
}

/// What a sample file shows of the made-up landscape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// RGB with the noise of a sensor.
    Photo,
    /// Elevations of 16 bits.
    Elevations,
    /// The same in metres, as floats of 32 bits.
    ElevationsInMetres,
}

/// Writes a made-up landscape to `path` in square tiles of this side, without overviews. The same arguments give the same
/// file.
pub fn sample_tiles(
    path: impl AsRef<Path>,
    scene: Scene,
    (width, height): (u32, u32),
    side: u32,
    (compression, predictor): (Compression, u16),
) -> io::Result<()> {
    let out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut writer = TiffWriter::new(out, Format::default())?;
    let (n_bands, kind) = match scene {
        Scene::Photo => (3, Kind::U8),
        Scene::Elevations => (1, Kind::U16),
        Scene::ElevationsInMetres => (1, Kind::F32),
    };
    let photometric = matches!(compression, Compression::Jpeg(_)).then_some(6);
    let blocks = Blocks::Tiles(side, side);
    let image = Image { blocks, n_bands, kind, compression, predictor, photometric, ..Image::new(width, height) };
    writer.image(&image, |_, col, row| Some(sample_tile(&Landscape::new(width, height), scene, (col, row), side)))?;
    writer.finish()?.flush()
}

/// One tile of a scene, as the writer takes it.
fn sample_tile(land: &Landscape, scene: Scene, (col, row): (u32, u32), side: u32) -> Vec<u8> {
    let (x, y) = (u64::from(col * side), u64::from(row * side));
    match scene {
        Scene::Photo => land.photo(x, y, side),
        Scene::Elevations => land.elevations(x, y, side),
        Scene::ElevationsInMetres => {
            let decimetres = land.elevations(x, y, side);
            let metres = |d: &[u8; 2]| (f32::from(u16::from_ne_bytes(*d)) - 10_000.0) / 10.0;
            decimetres.as_chunks().0.iter().flat_map(|d| metres(d).to_ne_bytes()).collect()
        }
    }
}
