//! Each layer uses only what stands above it: read off the `use` lines and paths of the sources.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// From the bottom of the crate to its top. Modules of one row do not know each other.
const LAYERS: [&[&str]; 13] = [
    &["error", "sync"],
    &["cancel"],
    &["memory"],
    &["sample", "grid"],
    &["block"],
    &["cache", "codec"],
    &["source"],
    &["resample", "catalog"],
    &["dataset"],
    &["style", "encode", "pressure"],
    &["render"],
    &["request"],
    &["ffi"],
];

/// Names that are re-exported at the root and the module they come from, for `use crate::Name`.
const ROOT_NAMES: [(&str, &str); 8] = [
    ("Result", "error"),
    ("Error", "error"),
    ("ErrorKind", "error"),
    ("BlockLayout", "block"),
    ("SampleType", "sample"),
    ("Dataset", "dataset"),
    ("MemorySource", "source"),
    ("OpenOptions", "dataset"),
];

fn rank(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// What a source names behind `crate::`, its tests left out.
fn used(text: &str) -> BTreeSet<String> {
    let code: Vec<_> = text.lines().take_while(|line| *line != "mod tests {").collect();
    let mut names = BTreeSet::new();
    for line in code.iter().filter(|line| !line.trim_start().starts_with("//")) {
        for (at, _) in line.match_indices("crate::") {
            let rest = &line[at + "crate::".len()..];
            let list = rest.strip_prefix('{').map_or_else(|| vec![rest], |list| list.split(", ").collect());
            for name in list {
                let name: String = name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                names.insert(name);
            }
        }
    }
    names
}

#[test]
fn layers_use_only_what_stands_above_them() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let (mut seen, mut wrong) = (0, Vec::new());
    for file in &files {
        let path = file.strip_prefix(&src).unwrap();
        let module = path.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        // Tests in files of their own may use what stands below, as those in `mod tests` do.
        let is_test = path.file_stem().is_some_and(|stem| stem == "tests" || stem == "icc_tests" || stem == "oracle");
        if module == "lib" || is_test {
            continue;
        }
        let Some(here) = rank(module) else { panic!("{} is in no layer", path.display()) };
        for name in used(&std::fs::read_to_string(file).unwrap()) {
            let target = ROOT_NAMES.iter().find(|(root, _)| *root == name).map_or(name.as_str(), |(_, module)| module);
            let Some(there) = rank(target) else { panic!("{}: crate::{name} is in no layer", path.display()) };
            seen += 1;
            if there > here || (there == here && target != module) {
                wrong.push(format!("{} uses crate::{name}", path.display()));
            }
        }
    }
    assert!(seen > 100, "only {seen} uses were found: the test looks at the wrong place");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
