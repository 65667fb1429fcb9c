//! What the tags of TIFF files say, and which are refused by name.

use tiff::tiff_writer::{self, Compression, Geo, Kind, Values};
use tiff::{Folder, open_special};
use tilekeep::{ColorInterpretation, Dataset, ErrorKind, GeoKeyValue, Geotransform, Nodata};

#[path = "common/tiff.rs"]
mod tiff;

#[test]
fn compressions_that_are_not_read_are_named_with_tag_and_number() {
    for number in [6, 34676, 65000] {
        let error = open_special(|image| image.tags = vec![(259, Values::Short(vec![number]))]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        for part in ["259", &number.to_string()] {
            assert!(error.message().contains(part), "{error}");
        }
    }
}

#[test]
fn predictors_that_do_not_fit_are_named_with_tag_and_number() {
    for (predictor, kind) in [(3, Kind::U16), (4, Kind::U8), (34892, Kind::F32)] {
        let error = open_special(|image| {
            image.kind = kind;
            image.compression = Compression::Lzw;
            image.tags = vec![(317, Values::Short(vec![predictor]))];
        });
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.message().contains("317") && error.message().contains(&predictor.to_string()), "{error}");
    }
}

#[test]
fn nodata_is_given_as_the_samples_have_it() {
    let cases = [
        (Kind::U8, "255", Some(Nodata::Float(255.0))),
        (Kind::I16, "-32768", Some(Nodata::Float(-32768.0))),
        (Kind::F32, "-3.4028234663852886e+38", Some(Nodata::Float(f64::from(f32::MIN)))),
        (Kind::F64, "1e300", Some(Nodata::Float(1e300))),
        (Kind::I64, "-9223372036854775808", Some(Nodata::Int(i64::MIN))),
        (Kind::U64, "18446744073709551615", Some(Nodata::UInt(u64::MAX))),
        (Kind::U8, "nothing", None),
        (Kind::U8, "", None),
    ];
    for (kind, text, expected) in cases {
        let dataset = open_special(|image| (image.kind, image.nodata) = (kind, Some(text.to_owned()))).unwrap();
        assert_eq!(dataset.info().nodata, expected, "{text} in {kind:?}");
    }
    let dataset = open_special(|image| (image.kind, image.nodata) = (Kind::F32, Some("nan".to_owned()))).unwrap();
    assert!(dataset.info().nodata.unwrap().as_f64().is_nan());
}

#[test]
fn the_geotransform_counts_from_the_corner_of_the_first_pixel() {
    let scale = Some([10.0, 20.0, 0.0]);
    let corner = [0.0, 0.0, 0.0, 5000.0, 9000.0, 0.0];
    let inside = [2.0, 3.0, 0.0, 5020.0, 8940.0, 0.0];
    let north_up = [5000.0, 10.0, 0.0, 9000.0, 0.0, -20.0];
    let moved = [4995.0, 10.0, 0.0, 9010.0, 0.0, -20.0];
    let turned = [100.0, 3.0, 4.0, 200.0, 5.0, -6.0];
    let matrix = vec![3.0, 4.0, 0.0, 100.0, 5.0, -6.0, 0.0, 200.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0];
    let point = vec![(1025, Geo::Short(2))];
    let area = vec![(1025, Geo::Short(1))];
    let cases = [
        (scale, vec![corner], area.clone(), vec![], Some(north_up)),
        (scale, vec![inside], vec![], vec![], Some(north_up)),
        (scale, vec![corner], point.clone(), vec![], Some(moved)),
        (None, vec![], area, vec![(34264, Values::Double(matrix.clone()))], Some(turned)),
        (None, vec![], point, vec![(34264, Values::Double(matrix))], Some([96.5, 3.0, 4.0, 200.5, 5.0, -6.0])),
        (None, vec![corner, inside], vec![], vec![], None),
        (scale, vec![], vec![], vec![], None),
        (None, vec![], vec![], vec![], None),
    ];
    for (number, (pixel_scale, tiepoints, geo_keys, tags, expected)) in cases.into_iter().enumerate() {
        let dataset = open_special(|image| {
            (image.pixel_scale, image.tiepoints, image.geo_keys, image.tags) = (pixel_scale, tiepoints, geo_keys, tags);
        });
        assert_eq!(dataset.unwrap().info().geotransform, expected.map(Geotransform), "case {number}");
    }
}

#[test]
fn coarser_levels_have_coarser_geotransforms() {
    let folder = Folder::new();
    let path = folder.path("sample.tif");
    tiff_writer::sample_pyramid(&path, 600, 401).unwrap();
    let dataset = Dataset::open(&path).unwrap();
    assert_eq!(dataset.info().epsg(), Some(32632));
    assert!(dataset.levels().iter().all(|level| level.native));
    let (base, last) = (dataset.levels()[0], dataset.levels()[2]);
    assert_eq!((last.width, last.height), (150, 101));
    let far =
        |level: u32, width: u64, height: u64| dataset.geotransform(level).unwrap().apply(width as f64, height as f64);
    let (fine, coarse) = (far(0, base.width, base.height), far(2, last.width, last.height));
    assert!((fine.0 - coarse.0).abs() < 1e-6 && (fine.1 - coarse.1).abs() < 1e-6, "{fine:?} {coarse:?}");
}

#[test]
fn geo_keys_and_the_epsg_code_are_given() {
    let keys = vec![
        (1024, Geo::Short(1)),
        (1026, Geo::Ascii("somewhere".to_owned())),
        (2048, Geo::Short(4258)),
        (2057, Geo::Double(6_378_137.0)),
        (2059, Geo::Double(298.257)),
        (3072, Geo::Short(25832)),
        (3073, Geo::Ascii("here".to_owned())),
    ];
    let dataset = open_special(|image| image.geo_keys = keys).unwrap();
    let said: Vec<_> = dataset.info().geo_keys.iter().map(|key| (key.id, key.value.to_string())).collect();
    let expected = [
        (1024, "1"),
        (1026, "somewhere"),
        (2048, "4258"),
        (2057, "6378137"),
        (2059, "298.257"),
        (3072, "25832"),
        (3073, "here"),
    ];
    assert!(said.iter().map(|(id, text)| (*id, text.as_str())).eq(expected), "{said:?}");
    assert_eq!(dataset.info().geo_keys[0].value, GeoKeyValue::Short(1));
    assert_eq!(dataset.info().epsg(), Some(25832));

    let geographic = open_special(|image| image.geo_keys = vec![(2048, Geo::Short(4326))]).unwrap();
    assert_eq!(geographic.info().epsg(), Some(4326));
    let user_defined = open_special(|image| image.geo_keys = vec![(3072, Geo::Short(32767))]).unwrap();
    assert_eq!(user_defined.info().epsg(), None);
}

#[test]
fn the_colour_table_has_eight_bits_a_part() {
    for scale in [1, 257] {
        let dataset = open_special(|image| {
            image.photometric = Some(3);
            image.color_map = Some((0..256).map(|i| [i * scale, (255 - i) * scale, 7 * scale]).collect());
        });
        let dataset = dataset.unwrap();
        let table = dataset.info().color_table.as_ref().unwrap();
        assert_eq!((table.len(), table[0], table[200]), (256, [0, 255, 7, 255], [200, 55, 7, 255]));
        assert_eq!(dataset.info().colors, [ColorInterpretation::Palette]);
    }
}

#[test]
fn bands_show_what_photometric_and_extra_samples_say() {
    use ColorInterpretation as C;
    let cases: [(u16, u16, &[u16], &[C]); 6] = [
        (1, 1, &[], &[C::Gray]),
        (2, 1, &[2], &[C::Gray, C::Alpha]),
        (3, 2, &[], &[C::Red, C::Green, C::Blue]),
        (4, 2, &[1], &[C::Red, C::Green, C::Blue, C::Alpha]),
        (4, 2, &[0], &[C::Red, C::Green, C::Blue, C::Undefined]),
        (4, 5, &[], &[C::Cyan, C::Magenta, C::Yellow, C::Black]),
    ];
    for (n_bands, photometric, extra, expected) in cases {
        let dataset = open_special(|image| {
            (image.n_bands, image.photometric, image.extra_samples) = (n_bands, Some(photometric), extra.to_vec());
        });
        assert_eq!(dataset.unwrap().info().colors, expected);
    }
}

#[test]
fn metadata_is_given_by_domain_and_key() {
    let xml = r#"<GDALMetadata><Item name="AREA">north</Item><Item name="gain" sample="1">2</Item>
        <Item name="SCALE" sample="1" role="scale">3</Item><Item name="k" domain="RPC">v &lt; w</Item></GDALMetadata>"#;
    let dataset = open_special(|image| {
        image.n_bands = 2;
        image.gdal_metadata = Some(xml.to_owned());
        image.tags = vec![(305, Values::Ascii("a test".to_owned()))];
    });
    let dataset = dataset.unwrap();
    let cases = [
        ("", "AREA", Some("north")),
        ("band/1", "gain", Some("2")),
        ("RPC", "k", Some("v < w")),
        ("", "TIFFTAG_SOFTWARE", Some("a test")),
        ("", "gain", None),
        ("band/1", "SCALE", None),
    ];
    for (domain, key, value) in cases {
        assert_eq!(dataset.info().metadata(domain, key), value, "{domain} {key}");
    }
    assert_eq!([0, 1].map(|band| dataset.info().band(band).scale), [None, Some(3.0)]);
}
