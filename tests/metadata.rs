//! What real files say beside their pixels, compared with what GDAL says of them.

mod common;

use std::collections::BTreeMap;
use std::process::Command;

use common::{Real, data_dir, real_files};
use serde_json::Value;
use tilekeep::{ColorInterpretation, Dataset, MaskKind, SourceInfo, WindowRequest};

/// Facts that differ from GDAL's on purpose, by the end of the file's name and the start of the fact.
const KNOWN_DIFFERENCES: [(&str, &str, &str); 6] = [
    ("/cielab.tif", "band", "presented as stored, not as RGBA"),
    ("/rgbsmall_cmyk.tif", "band", "presented as stored, not as RGBA"),
    ("/epsg26711_3855_geotiff1_1.tif", "band 0 unit", "stated by the code of a vertical system only"),
    ("/input_epsg_6259_plus_6360_us_survey_foot.tif", "band 0 unit", "stated by the code of a vertical system only"),
    (".jpg", "metadata EXIF_", "the fields of EXIF are not items; the block of bytes is there"),
    (".JPG", "metadata EXIF_", "the fields of EXIF are not items; the block of bytes is there"),
];

fn gdal_name(color: ColorInterpretation) -> &'static str {
    use ColorInterpretation as C;
    match color {
        C::Undefined => "Undefined",
        C::Gray => "Gray",
        C::Palette => "Palette",
        C::Red => "Red",
        C::Green => "Green",
        C::Blue => "Blue",
        C::Alpha => "Alpha",
        C::Cyan => "Cyan",
        C::Magenta => "Magenta",
        C::Yellow => "Yellow",
        C::Black => "Black",
        C::Luminance => "YCbCr_Y",
        C::ChromaFirst => "YCbCr_Cb",
        C::ChromaSecond => "YCbCr_Cr",
    }
}

fn gdal_flags(kind: MaskKind) -> Value {
    let names: &[&str] = match kind {
        MaskKind::StoredForBand => &[],
        MaskKind::AllValid => &["ALL_VALID"],
        MaskKind::Stored => &["PER_DATASET"],
        MaskKind::Alpha => &["PER_DATASET", "ALPHA"],
        MaskKind::Nodata => &["NODATA"],
        MaskKind::NodataValues => &["PER_DATASET", "NODATA"],
    };
    names.iter().map(|name| Value::from(*name)).collect()
}

fn number(value: f64) -> String {
    format!("{value:.7e}")
}

/// A number of GDAL's, which writes those that JSON does not have as texts.
fn theirs(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Facts by name: ours, and GDAL's.
#[derive(Default)]
struct Facts(BTreeMap<String, (String, String)>);

impl Facts {
    fn add(&mut self, name: impl Into<String>, ours: String, theirs: String) {
        self.0.insert(name.into(), (ours, theirs));
    }

    fn add_numbers(&mut self, name: impl Into<String>, ours: Option<f64>, theirs: Option<f64>) {
        let text = |value: Option<f64>| value.map(number).unwrap_or_default();
        self.add(name, text(ours), text(theirs));
    }
}

/// Items of one domain of metadata.
fn items(info: &SourceInfo, domain: &str) -> BTreeMap<String, String> {
    let own = info.metadata.iter().filter(|item| item.domain == domain);
    own.map(|item| (item.key.clone(), item.value.clone())).collect()
}

fn add_metadata(facts: &mut Facts, name: &str, ours: &BTreeMap<String, String>, theirs: &Value) {
    let empty = serde_json::Map::new();
    let theirs = theirs.as_object().unwrap_or(&empty);
    let keys: std::collections::BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    for key in keys {
        // Nothing is as good as an empty text, and what is no ASCII may have come in another encoding.
        let text = |value: Option<&str>| {
            let value = value.unwrap_or_default().trim().replace("\r\n", "\n");
            value.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect::<String>()
        };
        let (ours, theirs) = (ours.get(key).map(String::as_str), theirs.get(key).and_then(Value::as_str));
        facts.add(format!("{name} {key}"), text(ours), text(theirs));
    }
}

/// All that is compared of a file.
fn facts(dataset: &Dataset, gdal: &Value) -> Facts {
    let (info, mut facts) = (dataset.info(), Facts::default());
    for i in 0..6 {
        let ours = info.geotransform.map(|g| g.0[i]);
        facts.add_numbers(format!("geotransform {i}"), ours, theirs(&gdal["geoTransform"][i]));
    }
    let none = Vec::new();
    let gcps = gdal["gcps"]["gcpList"].as_array().unwrap_or(&none);
    facts.add("gcps", info.gcps.len().to_string(), gcps.len().to_string());
    for (i, (ours, theirs)) in info.gcps.iter().zip(gcps).enumerate() {
        let numbers = [ours.col, ours.row, ours.x, ours.y, ours.z].map(number).join(" ");
        let known = ["pixel", "line", "x", "y", "z"].map(|key| number(theirs[key].as_f64().unwrap_or(0.0))).join(" ");
        let word = |key: &str| theirs[key].as_str().unwrap_or_default();
        let known = format!("{} {} {known}", word("id"), word("info"));
        facts.add(format!("gcp {i}"), format!("{} {} {numbers}", ours.id, ours.info), known);
    }
    add_metadata(&mut facts, "metadata", &items(info, ""), &gdal["metadata"][""]);
    add_metadata(&mut facts, "rpc", &items(info, "RPC"), &gdal["metadata"]["RPC"]);
    for (number, theirs_of_band) in gdal["bands"].as_array().unwrap_or(&none).iter().enumerate() {
        let band = number as u32;
        if band >= info.n_bands {
            facts.add("bands", info.n_bands.to_string(), format!("{} and more", number + 1));
            break;
        }
        let own = info.band(band);
        let word = |key: &str| theirs_of_band[key].as_str().unwrap_or_default().to_owned();
        let name = |fact: &str| format!("band {band} {fact}");
        facts.add(name("color"), gdal_name(info.colors[number]).to_owned(), word("colorInterpretation"));
        facts.add(name("description"), own.description, word("description"));
        facts.add(name("unit"), own.unit, word("unit"));
        let nodata = info.band_nodata(band).map(|nodata| nodata.as_f64());
        // Of floats gdalinfo prints seven digits.
        let digits = |value: Option<f64>| value.map(|value| format!("{value:.6e}")).unwrap_or_default();
        facts.add(name("nodata"), digits(nodata), digits(theirs(&theirs_of_band["noDataValue"])));
        facts.add_numbers(
            name("scale"),
            Some(own.scale.unwrap_or(1.0)),
            theirs(&theirs_of_band["scale"]).or(Some(1.0)),
        );
        facts.add_numbers(
            name("offset"),
            Some(own.offset.unwrap_or(0.0)),
            theirs(&theirs_of_band["offset"]).or(Some(0.0)),
        );
        let kind = info.mask_kind(band);
        // gdalinfo keeps silent about masks that follow from what it says anyway.
        let silent = matches!(kind, MaskKind::AllValid | MaskKind::Nodata) && theirs_of_band["mask"].is_null();
        if !silent {
            facts.add(name("mask"), gdal_flags(kind).to_string(), theirs_of_band["mask"]["flags"].to_string());
        }
        let table = theirs_of_band["colorTable"]["entries"].as_array();
        let ours = info.color_table.as_ref().map(|table| serde_json::json!(table).to_string());
        facts.add(
            name("colors"),
            ours.unwrap_or_default(),
            table.map(|t| serde_json::json!(t).to_string()).unwrap_or_default(),
        );
        add_metadata(
            &mut facts,
            &name("metadata"),
            &items(info, &format!("band/{band}")),
            &theirs_of_band["metadata"][""],
        );
    }
    facts
}

fn is_known(real: &Real, fact: &str) -> bool {
    KNOWN_DIFFERENCES.iter().any(|(name, known, _)| real.name.ends_with(name) && *known == fact)
}

fn gdalinfo(real: &Real) -> Option<Value> {
    let output = Command::new("gdalinfo").args(["-json", "-nofl"]).arg(&real.path).output().ok()?;
    // Texts come as they are in the file, whatever their encoding.
    output.status.success().then(|| serde_json::from_str(&String::from_utf8_lossy(&output.stdout)).ok())?
}

#[test]
fn what_is_said_beside_the_pixels_is_what_gdal_says() {
    let Some(dir) = data_dir() else { return };
    if Command::new("gdalinfo").arg("--version").output().is_err() {
        assert!(std::env::var_os("TILEKEEP_REQUIRE_PEERS").is_none(), "gdalinfo is not installed");
        eprintln!("SKIPPED: gdalinfo is not installed");
        return;
    }
    let (mut n_files, mut n_facts, mut known, mut failures) = (0, 0, BTreeMap::new(), Vec::new());
    for real in real_files(&dir).iter().filter(|real| matches!(real.expect.as_str(), "exact" | "close")) {
        let Ok(dataset) = Dataset::open(&real.path) else { continue };
        let Some(gdal) = gdalinfo(real) else {
            println!("gdalinfo refuses {}", real.name);
            continue;
        };
        n_files += 1;
        let flags = real.number("maskflags").map(|flags| flags as i64);
        let ours = i64::from(dataset.info().mask_kind(0) as i32);
        if flags.is_some_and(|flags| flags != ours) && !is_known(real, "band") {
            failures.push(format!("{}: mask flags {ours}, not {flags:?}", real.name));
        }
        for (fact, (ours, theirs)) in facts(&dataset, &gdal).0 {
            n_facts += 1;
            if ours == theirs {
                continue;
            }
            let why = KNOWN_DIFFERENCES
                .iter()
                .find(|(name, known, _)| !known.is_empty() && real.name.ends_with(name) && fact.starts_with(known));
            match why {
                Some((name, known_fact, why)) => *known.entry((*name, *known_fact, *why)).or_insert(0) += 1,
                None => failures.push(format!("{}: {fact}: {ours:?}, not {theirs:?}", real.name)),
            }
        }
    }
    println!("{n_facts} facts of {n_files} files compared, {} differ beside the known:", failures.len());
    for ((name, fact, why), n) in &known {
        println!("{n:>6} {fact} of {name}: {why}");
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(n_files > 450 && n_facts > 10_000, "{n_facts} facts of {n_files} files");
}

/// Files whose masks differ from those of GDAL 3.6, and why.
const MASK_DIFFERENCES: [(&str, &str); 3] = [
    ("gcore/data/test3_with_mask_1bit.tif", "a bit for each band: valid is 255 here, and 1 there"),
    ("pngsuite/ibasn4a16.png", "GDAL takes the bytes of interlaced samples of 16 bits in the wrong order"),
    ("pngsuite/ibasn6a16.png", "GDAL takes the bytes of interlaced samples of 16 bits in the wrong order"),
];

/// Which pixels of the first band GDAL takes for valid.
fn gdal_mask(real: &Real) -> Option<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let raw = dir.path().join("mask");
    let translated = Command::new("gdal_translate")
        .args(["-q", "-of", "ENVI", "-ot", "Byte", "-b", "mask,1"])
        .args([&real.path, &raw])
        .output()
        .ok()?;
    translated.status.success().then(|| std::fs::read(&raw).unwrap())
}

#[test]
fn masks_are_those_that_gdal_makes() {
    let Some(dir) = data_dir() else { return };
    if Command::new("gdal_translate").arg("--version").output().is_err() {
        assert!(std::env::var_os("TILEKEEP_REQUIRE_PEERS").is_none(), "gdal_translate is not installed");
        eprintln!("SKIPPED: gdal_translate is not installed");
        return;
    }
    let (mut n_files, mut n_known, mut failures) = (BTreeMap::new(), 0, Vec::new());
    for real in real_files(&dir).iter().filter(|real| real.expect == "exact" && !is_known(real, "band")) {
        let Ok(dataset) = Dataset::open(&real.path) else { continue };
        let (kind, level) = (dataset.info().mask_kind(0), dataset.levels()[0]);
        // Where all is valid there is nothing to compare but the kind, and the largest ones are of no other kind.
        if kind == MaskKind::AllValid || level.width * level.height > 1 << 24 {
            continue;
        }
        let mut ours = vec![77; (level.width * level.height) as usize];
        dataset.read_mask_window(0, &WindowRequest::new(0, level.window()), &mut ours).unwrap();
        let Some(theirs) = gdal_mask(real) else {
            println!("gdal_translate refuses {}", real.name);
            continue;
        };
        // A raster of one pixel gets a file of more bytes.
        let theirs = theirs.get(..ours.len()).unwrap_or_default();
        if let Some((name, why)) = MASK_DIFFERENCES.iter().find(|(name, _)| real.name.ends_with(name)) {
            n_known += 1;
            println!("not compared: {name}: {why}");
        } else if ours != theirs {
            let n = ours.iter().zip(theirs).filter(|(a, b)| a != b).count();
            failures.push(format!("{}: {kind:?}: {n} of {} pixels differ", real.name, ours.len()));
        }
        *n_files.entry(format!("{kind:?}")).or_insert(0) += 1;
    }
    println!("masks compared, by kind: {n_files:?}");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(n_files.values().sum::<i32>() > 100, "{n_files:?}");
    assert_eq!(n_known, MASK_DIFFERENCES.len());
}
