//! What the tests share: the real files and what others read in them.
#![allow(dead_code, unreachable_pub, reason = "every test uses another part")]

pub mod counting;
pub mod traces;

use std::path::{Path, PathBuf};

use serde_json::Value;
use tilekeep::{Dataset, Interleave, Layout, Result, WindowRequest};

/// The folder with the real files, beside the project; it has a licence of its own and is not part of it.
pub fn data_dir() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    if dir.join("oracle.jsonl").is_file() {
        return Some(dir);
    }
    assert!(std::env::var_os("TILEKEEP_REQUIRE_DATA").is_none(), "{} is not there", dir.display());
    eprintln!("SKIPPED: no real files, because {} is not there", dir.display());
    None
}

/// One real file and what is known of it.
pub struct Real {
    pub path: PathBuf,
    pub name: String,
    pub expect: String,
    pub format: String,
    pub facts: Value,
}

impl Real {
    pub fn text(&self, key: &str) -> &str {
        self.facts[key].as_str().unwrap_or_default()
    }

    pub fn number(&self, key: &str) -> Option<u64> {
        self.facts[key].as_u64()
    }

    /// The codec, for counting: that of the TIFF, or the format.
    pub fn codec(&self) -> String {
        match self.facts["compression"].as_str() {
            Some(compression) => format!("tiff {compression}"),
            None => self.format.clone(),
        }
    }
}

pub fn real_files(dir: &Path) -> Vec<Real> {
    let lines = std::fs::read_to_string(dir.join("oracle.jsonl")).unwrap();
    lines
        .lines()
        .map(|line| {
            let facts: Value = serde_json::from_str(line).unwrap();
            let name = facts["path"].as_str().unwrap().to_owned();
            Real {
                path: dir.join(&name),
                expect: facts["expect"].as_str().unwrap().to_owned(),
                format: facts["format"].as_str().unwrap().to_owned(),
                name,
                facts,
            }
        })
        .collect()
}

/// All pixels of level 0.
pub fn read_all(dataset: &Dataset, interleave: Interleave) -> Result<Vec<u8>> {
    let level = dataset.levels()[0];
    let request = WindowRequest::new(0, level.window()).layout(Layout::Tight(interleave));
    let bytes = dataset.window_bytes(&request)?;
    // The files are small; one that claims to be large must fail before this allocates for it.
    if bytes > 1 << 30 {
        return Err(tilekeep::Error::new(tilekeep::ErrorKind::LimitExceeded, format!("{bytes} bytes of pixels")));
    }
    let mut pixels = vec![0xA5; bytes];
    dataset.read_window(&request, &mut pixels)?;
    Ok(pixels)
}
