//! Files beside a raster, and the masks and overviews in them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tiff_writer::{Blocks, Compression, Format, Image, Kind, TiffWriter};
use tilekeep::{
    ColorInterpretation, Dataset, ErrorKind, Interleave, Layout, Limits, MaskKind, Nodata, OpenOptions, Resampling,
    Result, Sidecars, Window, WindowRequest,
};

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "common/strace.rs"]
mod strace;

#[path = "../examples/support/tiff_writer.rs"]
#[allow(dead_code)]
mod tiff_writer;

/// A sample of the pictures: another one in every pixel and band, as far as a byte goes.
fn sample(x: u32, y: u32, band: u32) -> u8 {
    (x * 3 + y * 5 + band * 70) as u8
}

/// The samples of a block of `image`, each `of(x, y, band)`.
fn block(image: &Image, plane: u16, col: u32, row: u32, of: impl Fn(u32, u32, u32) -> u8) -> Vec<u8> {
    let (width, height) = image.block_size();
    let height = if matches!(image.blocks, Blocks::Strips(_)) { image.stored_rows(row) } else { height };
    let (left, top) = (col * width, row * image.block_size().1);
    let bands = if image.planar { u32::from(plane)..u32::from(plane) + 1 } else { 0..u32::from(image.n_bands) };
    let places = (top..top + height).flat_map(|y| (left..left + width).map(move |x| (x, y)));
    places.flat_map(|(x, y)| bands.clone().map(move |band| (x, y, band))).map(|(x, y, band)| of(x, y, band)).collect()
}

/// The sample at `x, y` of a band.
type Samples<'a> = &'a dyn Fn(u32, u32, u32) -> u8;

/// A file of these images, each with samples of its own.
fn write(path: &Path, images: &[(&Image, Samples<'_>)]) {
    let mut writer = TiffWriter::new(File::create(path).unwrap(), Format::default()).unwrap();
    for (image, of) in images {
        writer.image(image, |plane, col, row| Some(block(image, plane, col, row, of))).unwrap();
    }
    writer.finish().unwrap();
}

fn rgb(width: u32, height: u32) -> Image {
    Image { n_bands: 3, blocks: Blocks::Tiles(64, 64), compression: Compression::Deflate, ..Image::new(width, height) }
}

/// A folder with an RGB TIFF of 300 x 200 pixels, which says nothing of its place.
fn folder() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("picture.tif");
    write(&path, &[(&rgb(300, 200), &sample)]);
    (dir, path)
}

fn png(path: &Path) {
    let mut encoder = png::Encoder::new(File::create(path).unwrap(), 300, 200);
    encoder.set_color(png::ColorType::Rgb);
    let pixels: Vec<u8> =
        (0..200).flat_map(|y| (0..300).flat_map(move |x| (0..3).map(move |b| sample(x, y, b)))).collect();
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
}

fn beside(path: &Path, suffix: &str, text: &str) {
    fs::write(format!("{}{suffix}", path.display()), text).unwrap();
}

fn level(dataset: &Dataset, level: u32) -> Vec<u8> {
    let window = dataset.levels()[level as usize].window();
    let request = WindowRequest::new(level, window);
    let mut pixels = vec![0; dataset.window_bytes(&request).unwrap()];
    dataset.read_window(&request, &mut pixels).unwrap();
    pixels
}

fn mask(dataset: &Dataset, band: u32, request: &WindowRequest) -> Vec<u8> {
    let mut bytes = vec![77; (request.size.0 * request.size.1) as usize];
    dataset.read_mask_window(band, request, &mut bytes).unwrap();
    bytes
}

const WORLD: &str = "2\n0\n0\n-3\n101\n98.5\n";
const WORLD_TRANSFORM: [f64; 6] = [100.0, 2.0, 0.0, 100.0, 0.0, -3.0];

/// Opens a file as if nothing was known of it: files beside one that is known are not looked at.
fn open(path: impl AsRef<Path>) -> Result<Dataset> {
    Dataset::open_with(path, &OpenOptions::default().shared(false))
}

fn transform(path: &Path) -> Option<[f64; 6]> {
    open(path).unwrap().info().geotransform.map(|g| g.0)
}

#[test]
fn a_world_file_places_a_raster_that_says_nothing_of_its_place() {
    for name in ["picture.tfw", "picture.TFW", "picture.tifw", "picture.wld", "picture.WLD"] {
        let (dir, path) = folder();
        fs::write(dir.path().join(name), WORLD).unwrap();
        assert_eq!(transform(&path), Some(WORLD_TRANSFORM), "{name}");
        let ignored =
            Dataset::open_with(&path, &OpenOptions::default().sidecars(Sidecars::Ignore).shared(false)).unwrap();
        assert_eq!(ignored.info().geotransform, None);
    }
    // What the file itself says comes first, but not tie points without a scale.
    let (dir, path) = folder();
    fs::write(dir.path().join("picture.tfw"), WORLD).unwrap();
    let ties = vec![[0.0, 0.0, 0.0, 5.0, 6.0, 0.0]];
    write(&path, &[(&Image { tiepoints: ties.clone(), ..rgb(300, 200) }, &sample)]);
    assert_eq!(transform(&path), Some(WORLD_TRANSFORM));
    assert!(open(&path).unwrap().info().gcps.is_empty());
    write(&path, &[(&Image { tiepoints: ties, pixel_scale: Some([1.0, 1.0, 0.0]), ..rgb(300, 200) }, &sample)]);
    assert_eq!(transform(&path), Some([5.0, 1.0, 0.0, 6.0, 0.0, -1.0]));
}

const PAM: &str = r#"<PAMDataset><SRS>PROJCS["u",AUTHORITY["EPSG","32631"]]</SRS><GeoTransform>1,2,0,3,0,-2</GeoTransform>
    <Metadata><MDI key="A">pam</MDI><MDI key="NEW">n</MDI></Metadata>
    <PAMRasterBand band="2"><NoDataValue>7</NoDataValue><Description>d</Description><UnitType>m</UnitType><Offset>3</Offset>
    <Scale>2</Scale><ColorInterp>Alpha</ColorInterp><Metadata><MDI key="STATISTICS_MINIMUM">1</MDI>
    <MDI key="STATISTICS_MAXIMUM">9</MDI><MDI key="STATISTICS_MEAN">5</MDI><MDI key="STATISTICS_STDDEV">2</MDI></Metadata>
    </PAMRasterBand></PAMDataset>"#;

#[test]
fn metadata_beside_a_tiff_comes_before_its_own_but_for_what_its_bands_are() {
    let (_dir, path) = folder();
    let own = r#"<GDALMetadata><Item name="A">own</Item><Item name="B">own</Item>
        <Item name="SCALE" sample="1" role="scale">8</Item></GDALMetadata>"#;
    let image = Image {
        nodata: Some("3".to_owned()),
        gdal_metadata: Some(own.to_owned()),
        pixel_scale: Some([1.0, 1.0, 0.0]),
        tiepoints: vec![[0.0; 6]],
        ..rgb(300, 200)
    };
    write(&path, &[(&image, &sample)]);
    beside(&path, ".aux.xml", PAM);
    let dataset = open(&path).unwrap();
    let info = dataset.info();
    assert_eq!(info.geotransform.unwrap().0, [1.0, 2.0, 0.0, 3.0, 0.0, -2.0]);
    assert_eq!(["A", "B", "NEW"].map(|key| info.metadata("", key)), [Some("pam"), Some("own"), Some("n")]);
    assert_eq!(info.epsg(), Some(32631));
    let nodata = |band| info.band_nodata(band).map(Nodata::as_f64);
    assert_eq!([nodata(0), nodata(1), nodata(2)], [Some(3.0), Some(7.0), Some(3.0)]);
    let band = info.band(1);
    assert_eq!(
        (band.scale, band.offset, band.unit.as_str(), band.description.as_str()),
        (Some(8.0), Some(3.0), "m", "d")
    );
    assert_eq!(info.colors[1], ColorInterpretation::Alpha);
    let statistics = info.statistics(1).unwrap();
    assert_eq!((statistics.min, statistics.max, statistics.mean, statistics.std_dev), (1.0, 9.0, 5.0, 2.0));
    assert_eq!(info.statistics(0), None);
    // Each band is masked by its own value.
    let request = WindowRequest::new(0, Window::new(0, 0, 300, 200));
    for (band, value) in [(0, 3), (1, 7), (2, 3)] {
        assert_eq!(dataset.mask_kind(band).unwrap(), MaskKind::Nodata);
        let bytes = mask(&dataset, band, &request);
        let right = |i: usize| sample(i as u32 % 300, i as u32 / 300, band) != value;
        assert!(bytes.iter().enumerate().all(|(i, byte)| *byte == if right(i) { 255 } else { 0 }));
        assert!(bytes.contains(&0));
    }
}

#[test]
fn points_beside_a_raster_take_the_place_of_where_a_tiff_says_it_is() {
    let points = r#"<PAMDataset><GCPList><GCP Id="a" Pixel="1" Line="2" X="3" Y="4" Z="5"/></GCPList></PAMDataset>"#;
    let (dir, path) = folder();
    write(&path, &[(&Image { pixel_scale: Some([1.0; 3]), tiepoints: vec![[0.0; 6]], ..rgb(300, 200) }, &sample)]);
    beside(&path, ".aux.xml", points);
    fs::write(dir.path().join("picture.tfw"), WORLD).unwrap();
    let dataset = open(&path).unwrap();
    assert_eq!((dataset.info().geotransform, dataset.info().gcps.len()), (None, 1));
    assert_eq!((dataset.info().gcps[0].id.as_str(), dataset.info().gcps[0].z), ("a", 5.0));

    // A PNG has both, and its world file comes before what GDAL wrote beside it.
    let path = dir.path().join("other.png");
    png(&path);
    beside(&path, ".aux.xml", points);
    fs::write(dir.path().join("other.pgw"), WORLD).unwrap();
    let info = open(&path).unwrap().info().clone();
    assert_eq!((info.geotransform.map(|g| g.0), info.gcps.len()), (Some(WORLD_TRANSFORM), 1));
    beside(&path, ".aux.xml", PAM);
    assert_eq!(transform(&path), Some(WORLD_TRANSFORM));
    fs::remove_file(dir.path().join("other.pgw")).unwrap();
    assert_eq!(transform(&path), Some([1.0, 2.0, 0.0, 3.0, 0.0, -2.0]));
}

#[test]
fn damaged_files_beside_a_raster_are_as_if_they_were_not_there() {
    let (dir, path) = folder();
    let plain = open(&path).unwrap();
    beside(&path, ".aux.xml", "<PAMDataset><GeoTransform>1,2");
    beside(&path, ".ovr", "II*\0");
    beside(&path, ".msk", "no mask");
    fs::write(dir.path().join("picture.tfw"), "2\n0\n0\n").unwrap();
    fs::create_dir(dir.path().join("picture.TFW")).unwrap();
    let dataset = open(&path).unwrap();
    assert_eq!(format!("{:?}", dataset.info()), format!("{:?}", plain.info()));
    assert_eq!(level(&dataset, 0), level(&plain, 0));
    // An overview of another number of bands is none, and a mask of another size neither.
    write(&dir.path().join("picture.tif.ovr"), &[(&Image::new(150, 100), &sample)]);
    let flags = "<GDALMetadata><Item name=\"INTERNAL_MASK_FLAGS_1\">2</Item></GDALMetadata>".to_owned();
    let small = Image { gdal_metadata: Some(flags), ..Image::new(299, 200) };
    write(&dir.path().join("picture.tif.msk"), &[(&small, &sample)]);
    let dataset = open(&path).unwrap();
    assert_eq!((dataset.info().levels.len(), dataset.mask_kind(0).unwrap()), (1, MaskKind::AllValid));
}

#[test]
fn overviews_beside_a_raster_are_levels_whatever_the_order_of_their_bands() {
    let other = |x: u32, y: u32, band: u32| sample(x, y, band).wrapping_add(1);
    for (planar_base, planar) in [(false, true), (false, false), (true, false)] {
        for is_png in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(if is_png { "picture.png" } else { "picture.tif" });
            if is_png {
                png(&path);
            } else {
                write(&path, &[(&Image { planar: planar_base, ..rgb(300, 200) }, &sample)]);
            }
            let half = Image { planar, subfile_type: 1, ..rgb(150, 100) };
            let quarter = Image { planar, subfile_type: 1, ..rgb(75, 50) };
            let ovr = PathBuf::from(format!("{}.ovr", path.display()));
            write(&ovr, &[(&half, &other), (&quarter, &other)]);
            tilekeep::conformance::check(&*tilekeep::open_path(&path, Limits::default()).unwrap().0).unwrap();
            let dataset = open(&path).unwrap();
            let levels: Vec<_> = dataset.levels().iter().map(|l| (l.width, l.height, l.native)).collect();
            assert_eq!(levels, [(300, 200, true), (150, 100, true), (75, 50, true)]);
            for (number, of) in [(0, &sample as Samples<'_>), (1, &other), (2, &other)] {
                let (width, height) = (levels[number].0 as u32, levels[number].1 as u32);
                let whole = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
                let known: Vec<u8> = whole.flat_map(|(x, y)| (0..3).map(move |band| of(x, y, band))).collect();
                assert!(level(&dataset, number as u32) == known, "{planar_base} {planar} {is_png} {number}");
            }
            let ignored =
                Dataset::open_with(&path, &OpenOptions::default().sidecars(Sidecars::Ignore).shared(false)).unwrap();
            assert_eq!(ignored.info().levels.len(), 1);
        }
    }
}

#[test]
fn overviews_beside_a_jpeg_take_the_place_of_the_levels_that_its_decoder_makes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("picture.jpg");
    let pixels = vec![90; 600 * 400 * 3];
    jpeg_encoder::Encoder::new_file(&path, 90)
        .unwrap()
        .encode(&pixels, 600, 400, jpeg_encoder::ColorType::Rgb)
        .unwrap();
    let sizes = |dataset: &Dataset| dataset.levels().iter().map(|l| (l.width, l.height, l.native)).collect::<Vec<_>>();
    let alone = Dataset::open_with(&path, &OpenOptions::default().shared(false)).unwrap();
    assert_eq!(sizes(&alone), [(600, 400, true), (300, 200, false), (150, 100, false)]);
    assert_eq!(alone.info().levels.len(), 3);
    let quarter = Image { subfile_type: 1, ..rgb(150, 100) };
    write(&dir.path().join("picture.jpg.ovr"), &[(&quarter, &sample)]);
    tilekeep::conformance::check(&*tilekeep::open_path(&path, Limits::default()).unwrap().0).unwrap();
    let dataset = Dataset::open_with(&path, &OpenOptions::default().shared(false)).unwrap();
    // What is between is made of the pixels, as of any raster.
    assert_eq!(sizes(&dataset), [(600, 400, true), (300, 200, false), (150, 100, true)]);
    let places = (0..100).flat_map(|y| (0..150).map(move |x| (x, y)));
    let known: Vec<u8> = places.flat_map(|(x, y)| (0..3).map(move |band| sample(x, y, band))).collect();
    assert!(level(&dataset, 2) == known);
    assert!(level(&dataset, 1).iter().all(|value| value.abs_diff(90) <= 2));
}

#[test]
fn levels_of_a_jpeg_heed_the_nodata_and_the_palette_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("picture.jpg");
    // Columns of 0 and then of 200, which share a pixel of level 1.
    let pixels: Vec<u8> = (0..1024 * 1024).map(|at| if at % 1024 < 505 { 0 } else { 200 }).collect();
    let mut encoder = jpeg_encoder::Encoder::new_file(&path, 100).unwrap();
    encoder.set_sampling_factor(jpeg_encoder::SamplingFactor::R_4_4_4);
    encoder.encode(&pixels, 1024, 1024, jpeg_encoder::ColorType::Luma).unwrap();
    let levels = |band: &str| {
        let pam = format!("<PAMDataset><PAMRasterBand band=\"1\">{band}</PAMRasterBand></PAMDataset>");
        beside(&path, ".aux.xml", &pam);
        tilekeep::conformance::check(&*tilekeep::open_path(&path, Limits::default()).unwrap().0).unwrap();
        let dataset = Dataset::open_with(&path, &OpenOptions::default().shared(false)).unwrap();
        assert_eq!(dataset.levels().len(), 3);
        [0, 1, 2].map(|number| level(&dataset, number))
    };
    let at = |finer: &[u8], number: u32, pixel: usize, step: usize| {
        let side = 1024 >> number;
        finer[(pixel / (side / 2) * 2 + step / 2) * side + pixel % (side / 2) * 2 + step % 2]
    };
    let unscaled = levels("<Description>grey</Description>");
    assert!((90..110).contains(&unscaled[1][252]), "{}", unscaled[1][252]);
    let nodata = levels("<NoDataValue>0</NoDataValue>");
    assert!((195..=205).contains(&nodata[1][252]) && (195..=205).contains(&nodata[2][126]));
    let entries = "<Entry c1=\"255\" c2=\"0\" c3=\"0\" c4=\"255\"/>".repeat(256);
    let palette = levels(&format!("<ColorTable>{entries}</ColorTable>"));
    for number in [0, 1] {
        for (pixel, value) in nodata[number as usize + 1].iter().enumerate() {
            let valid: Vec<u32> = (0..4).map(|step| at(&nodata[number as usize], number, pixel, step).into()).collect();
            let (n, sum) = (valid.iter().filter(|value| **value > 0).count() as u32, valid.iter().sum::<u32>());
            let mean = sum.checked_div(n).unwrap_or(0);
            assert!(u32::from(*value).abs_diff(mean) <= 1, "level {}, pixel {pixel}: {value} for {mean}", number + 1);
        }
        for (pixel, index) in palette[number as usize + 1].iter().enumerate() {
            assert_eq!(*index, at(&palette[number as usize], number, pixel, 0), "level {}, {pixel}", number + 1);
        }
    }
}

/// Valid where the two columns of a checkerboard of 10 x 10 pixels are the same.
fn checked(x: u32, y: u32) -> bool {
    (x / 10 + y / 10).is_multiple_of(2)
}

fn byte(valid: bool) -> u8 {
    if valid { 255 } else { 0 }
}

/// A mask of one bit a pixel, which the writer does not make: rows of bytes of eight pixels.
fn bit_mask(width: u32, height: u32, subfile_type: u32) -> Image {
    use tiff_writer::Values;
    let tags = vec![
        (256, Values::Long(vec![width])),
        (258, Values::Short(vec![1])),
        (262, Values::Short(vec![4])),
        (277, Values::Short(vec![1])),
    ];
    Image { subfile_type, tags, compression: Compression::Deflate, ..Image::new(width.div_ceil(8), height) }
}

fn bits(width: u32, valid: impl Fn(u32, u32) -> bool) -> impl Fn(u32, u32, u32) -> u8 {
    move |x, y, _| (0..8).filter(|bit| x * 8 + bit < width && valid(x * 8 + bit, y)).map(|bit| 0x80 >> bit).sum()
}

#[test]
fn a_mask_in_the_file_is_read_at_any_size_through_the_cache_of_the_dataset() {
    let (_dir, path) = folder();
    let half = Image { subfile_type: 1, ..rgb(150, 100) };
    write(
        &path,
        &[
            (&rgb(300, 200), &sample),
            (&bit_mask(300, 200, 4), &bits(300, checked)),
            (&half, &sample),
            (&bit_mask(150, 100, 5), &bits(150, |x, y| !checked(2 * x, 2 * y))),
        ],
    );
    let source = tilekeep::open_path(&path, Limits::default()).unwrap().0;
    tilekeep::conformance::check(&source.mask().unwrap()).unwrap();
    let dataset = open(&path).unwrap();
    assert_eq!((dataset.info().n_mask_bands, dataset.info().levels.len()), (1, 2));
    assert_eq!(dataset.mask_kind(2).unwrap(), MaskKind::Stored);
    let request = WindowRequest::new(0, Window::new(17, 33, 200, 100));
    let known: Vec<u8> = (33..133).flat_map(|y| (17..217).map(move |x| byte(checked(x, y)))).collect();
    assert!(mask(&dataset, 1, &request) == known);
    let (loads, bytes) = (dataset.stats().loads, dataset.stats().bytes);
    assert!(loads == 1 && bytes >= 300 * 200, "{loads} loads, {bytes} bytes");
    assert!(mask(&dataset, 0, &request) == known);
    assert_eq!(dataset.stats().loads, loads, "it was there");

    // The stored level of the mask, which says the opposite; and the whole of it, through level 0.
    let small = WindowRequest::new(1, Window::new(0, 0, 150, 100));
    let known: Vec<u8> = (0..100).flat_map(|y| (0..150).map(move |x| byte(!checked(2 * x, 2 * y)))).collect();
    assert!(mask(&dataset, 0, &small) == known);
    assert!(mask(&dataset, 0, &WindowRequest::new(0, Window::new(0, 0, 300, 200)).size(150, 100)) == known);
    let mut exact = WindowRequest::new(0, Window::new(0, 0, 300, 200)).size(150, 100);
    exact.exact_level = true;
    assert!(mask(&dataset, 0, &exact).iter().zip(&known).all(|(a, b)| a != b));
    let even = WindowRequest::new(0, Window::new(0, 0, 40, 40)).size(2, 2).resampling(Resampling::Average);
    assert_eq!(mask(&dataset, 0, &even), [128; 4]);

    // A level that is not stored, strides, and the blocks of the raster beside those of the mask.
    let strided = Layout::Strided { pixel: 2, row: 5, band: 1 };
    let mut out = [9; 10];
    let window = WindowRequest::new(0, Window::new(9, 9, 2, 2)).layout(strided);
    dataset.read_mask_window(0, &window, &mut out).unwrap();
    assert_eq!(out, [255, 9, 0, 9, 9, 0, 9, 255, 9, 9]);
    assert!(level(&dataset, 0).iter().take(9).eq([0, 70, 140, 3, 73, 143, 6, 76, 146].iter()));
    // Which are in the same cache, but no blocks of the raster.
    let of_mask = tilekeep::BlockId::new(0, 0, 0).with_plane(1 << 31);
    assert_eq!(dataset.block(of_mask).unwrap_err().kind(), ErrorKind::InvalidArgument);
    dataset.evict_all();
    assert_eq!(dataset.stats().bytes, 0);

    for (wrong, band) in [
        (request.clone().bands([0]), 0),
        (request.clone().sample(tilekeep::SampleType::U8), 0),
        (request.clone(), 3),
        (WindowRequest::new(0, Window::new(200, 0, 101, 1)), 0),
        (WindowRequest::new(5, Window::new(0, 0, 1, 1)), 0),
    ] {
        let error = dataset.read_mask_window(band, &wrong, &mut vec![0; 100_000]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    }
    assert!(dataset.read_mask_window(0, &request, &mut [0; 19_999]).is_err());
}

#[test]
fn a_mask_beside_the_file_counts_when_it_says_what_for() {
    let item =
        |flags: &str| format!("<GDALMetadata><Item name=\"INTERNAL_MASK_FLAGS_1\">{flags}</Item></GDALMetadata>");
    let valid = |x: u32, y: u32, band: u32| byte(checked(x + 10 * band, y));
    let request = WindowRequest::new(0, Window::new(0, 0, 300, 200));
    let known = |band: u32| -> Vec<u8> { (0..200).flat_map(|y| (0..300).map(move |x| valid(x, y, band))).collect() };
    for (flags, kind) in [("2", MaskKind::Stored), ("0", MaskKind::StoredForBand)] {
        let (_dir, path) = folder();
        let image = Image { gdal_metadata: Some(item(flags)), planar: true, ..rgb(300, 200) };
        let msk = PathBuf::from(format!("{}.msk", path.display()));
        write(&msk, &[(&image, &valid)]);
        let dataset = open(&path).unwrap();
        assert_eq!(dataset.mask_kind(1).unwrap(), kind);
        let band = if kind == MaskKind::Stored { 0 } else { 1 };
        assert!(mask(&dataset, 1, &request) == known(band));
        let ignored =
            Dataset::open_with(&path, &OpenOptions::default().sidecars(Sidecars::Ignore).shared(false)).unwrap();
        assert_eq!(mask(&ignored, 1, &request), vec![255; 300 * 200]);
        // Overviews beside the mask are its levels.
        write(&msk.with_extension("msk.ovr"), &[(&Image { planar: true, ..rgb(150, 100) }, &|_, _, _| 7)]);
        let small = request.clone().size(150, 100);
        assert_eq!(mask(&open(&path).unwrap(), 1, &small), vec![7; 150 * 100]);
        write(&msk, &[(&Image { gdal_metadata: None, ..image }, &valid)]);
        assert_eq!(open(&path).unwrap().mask_kind(1).unwrap(), MaskKind::AllValid);
    }
}

#[test]
fn threads_that_ask_for_a_mask_at_once_read_each_block_of_it_once() {
    let (_dir, path) = folder();
    let tiles = Blocks::Tiles(64, 64);
    let mask_image =
        Image { subfile_type: 4, blocks: tiles, compression: Compression::Deflate, ..Image::new(300, 200) };
    write(&path, &[(&rgb(300, 200), &sample), (&mask_image, &|x, y, _| byte(checked(x, y)))]);
    let dataset = open(&path).unwrap();
    let request = WindowRequest::new(0, Window::new(0, 0, 300, 200));
    let known: Vec<u8> = (0..200).flat_map(|y| (0..300).map(move |x| byte(checked(x, y)))).collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert!(mask(&dataset, 0, &request) == known));
        }
    });
    assert_eq!(dataset.stats().loads, 5 * 4);
}

#[test]
fn alpha_and_nodata_make_masks() {
    let (_dir, path) = folder();
    let request = WindowRequest::new(0, Window::new(0, 0, 300, 200));
    let image = Image { n_bands: 4, extra_samples: vec![2], ..rgb(300, 200) };
    write(&path, &[(&image, &sample)]);
    let dataset = open(&path).unwrap();
    assert_eq!([0, 3].map(|band| dataset.mask_kind(band).unwrap()), [MaskKind::Alpha, MaskKind::AllValid]);
    let alpha: Vec<u8> = (0..200).flat_map(|y| (0..300).map(move |x| sample(x, y, 3))).collect();
    assert!(mask(&dataset, 1, &request) == alpha);
    assert!(mask(&dataset, 3, &request) == vec![255; 60_000]);

    // Alpha of 16 bits: only what is wholly clear is 0.
    let image = Image { n_bands: 2, kind: Kind::U16, extra_samples: vec![2], ..Image::new(4, 1) };
    let mut writer = TiffWriter::new(File::create(&path).unwrap(), Format::default()).unwrap();
    let samples = [9u16, 0, 9, 1, 9, 0x8000, 9, 65_535].iter().flat_map(|v| v.to_ne_bytes()).collect::<Vec<u8>>();
    writer.image(&image, |_, _, _| Some(samples.clone())).unwrap();
    writer.finish().unwrap();
    let dataset = open(&path).unwrap();
    assert_eq!(mask(&dataset, 0, &WindowRequest::new(0, Window::new(0, 0, 4, 1))), [0, 1, 127, 255]);

    // NaN is nodata where it is said to be.
    for (nodata, known) in [("nan", [255, 0, 255, 255]), ("1.5", [0, 255, 255, 255]), ("0.1", [255, 255, 0, 255])] {
        let image = Image { kind: Kind::F32, nodata: Some(nodata.to_owned()), ..Image::new(4, 1) };
        let mut writer = TiffWriter::new(File::create(&path).unwrap(), Format::default()).unwrap();
        let samples = [1.5f32, f32::NAN, 0.1, -1.0].iter().flat_map(|v| v.to_ne_bytes()).collect::<Vec<u8>>();
        writer.image(&image, |_, _, _| Some(samples.clone())).unwrap();
        writer.finish().unwrap();
        let dataset = open(&path).unwrap();
        assert_eq!(mask(&dataset, 0, &WindowRequest::new(0, Window::new(0, 0, 4, 1))), known, "{nodata}");
    }

    // Only all bands together are nothing, with one value for each.
    let values = "<GDALMetadata><Item name=\"NODATA_VALUES\">30 100 170</Item></GDALMetadata>".to_owned();
    write(&path, &[(&Image { gdal_metadata: Some(values), ..rgb(300, 200) }, &sample)]);
    let dataset = open(&path).unwrap();
    assert_eq!(dataset.mask_kind(0).unwrap(), MaskKind::NodataValues);
    let nothing = |x: u32, y: u32| [30, 100, 170].iter().zip(0..).all(|(value, band)| sample(x, y, band) == *value);
    let known: Vec<u8> = (0..200).flat_map(|y| (0..300).map(move |x| byte(!nothing(x, y)))).collect();
    assert!(known.contains(&0) && mask(&dataset, 2, &request) == known);
}

#[test]
fn what_is_averaged_leaves_out_the_nodata_of_each_band() {
    // In every second column there is nothing, which each band says by a value that another one means.
    let of = |x: u32, _: u32, band: u32| [[9, 40], [5, 9], [40, 5]][band as usize][x as usize % 2];
    for planar in [false, true] {
        let (_dir, path) = folder();
        write(&path, &[(&Image { planar, ..rgb(512, 4) }, &of)]);
        let bands = [9, 5, 40].iter().zip(1..).map(|(nodata, band)| {
            format!("<PAMRasterBand band=\"{band}\"><NoDataValue>{nodata}</NoDataValue></PAMRasterBand>")
        });
        beside(&path, ".aux.xml", &format!("<PAMDataset>{}</PAMDataset>", bands.collect::<String>()));
        let dataset = open(&path).unwrap();
        assert!(level(&dataset, 1).chunks_exact(3).all(|pixel| pixel == [40, 9, 5]), "planar: {planar}");
        let window = WindowRequest::new(0, Window::new(0, 0, 512, 4)).size(128, 1).resampling(Resampling::Average);
        let mut pixels = vec![0; dataset.window_bytes(&window.clone().bands([2, 1])).unwrap()];
        dataset.read_window(&window.bands([2, 1]), &mut pixels).unwrap();
        assert!(pixels.chunks_exact(2).all(|pixel| pixel == [5, 9]), "planar: {planar}");
    }
}

#[test]
fn a_client_can_read_a_mask_in_parts_of_any_interleave() {
    let (_dir, path) = folder();
    let image = Image { nodata: Some("70".to_owned()), planar: true, ..rgb(300, 200) };
    write(&path, &[(&image, &sample)]);
    let dataset = open(&path).unwrap();
    let whole = mask(&dataset, 1, &WindowRequest::new(0, Window::new(0, 0, 300, 200)));
    let tight = Layout::Tight(Interleave::Band);
    for y in (0..200).step_by(70) {
        let height = 70.min(200 - y);
        let part = mask(&dataset, 1, &WindowRequest::new(0, Window::new(0, y, 300, height)).layout(tight));
        assert!(part == whole[y as usize * 300..][..part.len()]);
    }
}

const CHILD: &str = "TILEKEEP_TEST_FILE_TO_OPEN";

/// The other half of the next test: runs in a process of its own, watched from outside. The look-ups of files that do not
/// exist mark in the trace where opening begins and ends.
#[test]
fn opening_between_two_marks() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    // Once before, for what is set up only once in a process.
    drop(open(&path).unwrap());
    strace::mark(strace::BEGIN);
    let dataset = open(&path).unwrap();
    let place = (dataset.info().geotransform, dataset.info().epsg(), dataset.info().gcps.len());
    strace::mark(strace::END);
    println!("{place:?}");
}

#[test]
fn opening_makes_at_most_thirty_system_calls_however_many_files_lie_beside() {
    let placed = Image { pixel_scale: Some([1.0; 3]), tiepoints: vec![[0.0; 6]], ..rgb(300, 200) };
    for (name, image, most) in
        [("plain.tif", Some(rgb(300, 200)), 30), ("placed.tif", Some(placed), 24), ("picture.png", None, 30)]
    {
        let mut counts = Vec::new();
        for n_siblings in [0, 5000] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(name);
            match &image {
                Some(image) => write(&path, &[(image, &sample)]),
                None => png(&path),
            }
            for i in 0..n_siblings {
                File::create(dir.path().join(format!("sibling{i}.tif.aux.xml"))).unwrap();
            }
            let Some(trace) = strace::trace("opening_between_two_marks", CHILD, &path) else { return };
            let made = trace.of_the_test();
            assert!(made.iter().all(|call| !call.contains("getdents")), "{made:#?}");
            assert!(made.len() <= most, "{name} beside {n_siblings}: {} calls: {made:#?}", made.len());
            counts.push(made.len());
        }
        println!("{name}: {counts:?} system calls");
        assert_eq!(counts[0], counts[1], "{name}");
    }
}
