//! C and C++ programs, compiled with warnings as errors against the shared library, run plainly and under
//! AddressSanitizer; and what the README tells C and C++ users to type, in an empty folder.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

#[path = "../examples/support/tiff_writer.rs"]
#[allow(dead_code)]
mod tiff_writer;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where cargo put the shared library that belongs to this test.
fn library_dir() -> PathBuf {
    let deps = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    deps.parent().filter(|dir| dir.join("libtilekeep.so").is_file()).unwrap_or(&deps).to_owned()
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Compiles one source file into `program`.
fn compile(source: &str, program: &Path, more: &[&str]) {
    let library = library_dir();
    let (compiler, standard) = if source.ends_with(".cpp") { ("c++", "-std=c++17") } else { ("cc", "-std=c99") };
    run(Command::new(compiler)
        .args([standard, "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror", "-g", "-pthread"])
        .args(more)
        .arg(root().join(source))
        .arg("-I")
        .arg(root().join("include"))
        .arg("-L")
        .arg(&library)
        .arg(format!("-Wl,-rpath,{}", library.display()))
        .args(["-ltilekeep", "-o"])
        .arg(program));
}

/// A PNG of 40 x 30 pixels with a title.
fn png_file(path: &Path) {
    let mut encoder = png::Encoder::new(std::fs::File::create(path).unwrap(), 40, 30);
    encoder.set_color(png::ColorType::Rgb);
    encoder.add_text_chunk("Title".to_owned(), "a test".to_owned()).unwrap();
    encoder.write_header().unwrap().write_image_data(&[77; 40 * 30 * 3]).unwrap();
}

/// A TIFF of 70 x 50 samples of 16 bits in tiles that can be lent as they are.
fn tiff_file(path: &Path) {
    use tiff_writer::{Blocks, Format, Image, Kind, TiffWriter};
    let image = Image { blocks: Blocks::Tiles(32, 32), kind: Kind::U16, ..Image::new(70, 50) };
    let mut writer = TiffWriter::new(std::fs::File::create(path).unwrap(), Format::default()).unwrap();
    let tile = |col: u32, row: u32| {
        let places = (0..32).flat_map(move |y| (0..32).map(move |x| (col * 32 + x, row * 32 + y)));
        places.flat_map(|(x, y)| ((x + 100 * y) as u16).to_ne_bytes()).collect()
    };
    writer.image(&image, |_, col, row| Some(tile(col, row))).unwrap();
    writer.finish().unwrap();
}

/// A TIFF of 64 x 40 samples of which the left half is valid, with control points, a label, a profile, and words about
/// its band, some of them in a file beside it; and a page of 20 x 12 samples of 16 bits.
fn described_file(path: &Path) {
    use tiff_writer::{Blocks, Format, Image, Kind, TiffWriter, Values};
    let xml = r#"<GDALMetadata><Item name="DESCRIPTION" sample="0" role="description">heights</Item>
        <Item name="SCALE" sample="0" role="scale">0.5</Item><Item name="UNITTYPE" sample="0" role="unittype">m</Item>
        </GDALMetadata>"#;
    let image = Image {
        blocks: Blocks::Strips(16),
        gdal_metadata: Some(xml.to_owned()),
        tiepoints: vec![[0.0, 0.0, 0.0, 5.0, 6.0, 7.0], [64.0, 40.0, 0.0, 8.0, 9.0, 1.0]],
        tags: vec![(34675, Values::Bytes(b"profile".to_vec()))],
        ..Image::new(64, 40)
    };
    let mask = Image { subfile_type: 4, ..Image::new(64, 40) };
    let label = Image { subfile_type: 1, ..Image::new(10, 30) };
    let mut writer = TiffWriter::new(std::fs::File::create(path).unwrap(), Format::default()).unwrap();
    writer.image(&image, |_, _, row| Some(vec![3; 64 * image.stored_rows(row) as usize])).unwrap();
    writer.image(&mask, |_, _, _| Some([[255; 32], [0; 32]].concat().repeat(40))).unwrap();
    writer.image(&label, |_, _, _| Some(vec![9; 300])).unwrap();
    let words = vec![(270, Values::Ascii("appendix\nof more lines".to_owned()))];
    let page = Image { kind: Kind::U16, tags: words, ..Image::new(20, 12) };
    writer.image(&page, |_, _, _| Some(500_u16.to_ne_bytes().repeat(240))).unwrap();
    writer.finish().unwrap();
    let pam = r#"<PAMDataset><SRS>LOCAL_CS["here"]</SRS><PAMRasterBand band="1"><NoDataValue>200</NoDataValue>
        <CategoryNames><Category>sea</Category><Category>land</Category></CategoryNames><Metadata>
        <MDI key="STATISTICS_MINIMUM">1</MDI><MDI key="STATISTICS_MAXIMUM">2</MDI><MDI key="STATISTICS_MEAN">1.5</MDI>
        <MDI key="STATISTICS_STDDEV">0.5</MDI></Metadata></PAMRasterBand></PAMDataset>"#;
    std::fs::write(format!("{}.aux.xml", path.display()), pam).unwrap();
}

fn programs_run(more: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let (png, tiff) = (dir.path().join("picture.png"), dir.path().join("raster.tif"));
    png_file(&png);
    tiff_file(&tiff);
    let described = dir.path().join("described.tif");
    described_file(&described);
    // Old enough to be told from what it may become, so that it is shared.
    let before = std::time::SystemTime::now() - std::time::Duration::new(3600, 1);
    std::fs::File::options().write(true).open(&tiff).unwrap().set_modified(before).unwrap();
    let programs = [
        ("tests/c/abi.c", Vec::new()),
        ("tests/c/files.c", vec![&png, &tiff, &described]),
        ("tests/c/tiles.c", vec![&tiff]),
        ("tests/c/abi.cpp", Vec::new()),
        ("tests/c/requests.c", Vec::new()),
        ("tests/c/request_kinds.c", Vec::new()),
        ("tests/c/viewports.c", Vec::new()),
        ("tests/c/pressure.c", Vec::new()),
    ];
    for (source, arguments) in programs {
        let program = dir.path().join("program");
        compile(source, &program, more);
        let output = run(Command::new(&program).args(arguments));
        assert_eq!(output.stdout, b"ok\n", "{source}");
    }
}

#[test]
fn c_and_cpp_programs_pass_their_checks() {
    programs_run(&[]);
}

#[test]
fn c_and_cpp_programs_pass_their_checks_under_address_sanitizer() {
    programs_run(&["-fsanitize=address", "-fno-omit-frame-pointer"]);
}

#[test]
fn the_examples_for_c_and_cpp_write_their_tiles() {
    let dir = tempfile::tempdir().unwrap();
    let png = dir.path().join("picture.png");
    png_file(&png);
    for (source, argument) in [
        ("examples/quickstart.c", Some(&png)),
        ("examples/quickstart.cpp", Some(&png)),
        ("examples/custom_source.c", None),
    ] {
        let (program, tile) = (dir.path().join("program"), dir.path().join("tile.png"));
        compile(source, &program, &[]);
        run(Command::new(&program).args(argument).arg(&tile));
        let tile = tilekeep::Dataset::open(&tile).unwrap();
        assert_eq!(tile.info().format, "png", "{source}");
        assert!(tile.levels()[0].width >= 40, "{source}");
    }
}
