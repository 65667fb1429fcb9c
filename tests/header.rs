//! The committed C header is the one that the sources make.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn the_header_is_generated_from_the_sources() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    let names = [
        "status",
        "dataset",
        "options",
        "info",
        "facts",
        "catalog",
        "blocks",
        "cache",
        "codes",
        "window",
        "tile",
        "tiles",
        "tile_cache",
        "describe",
        "pages",
        "source",
        "tile_store",
        // With the files that it is made of, which cbindgen finds.
        "request/mod",
        "pressure",
    ];
    let ffi = root.join("src/ffi");
    for path in files(&ffi) {
        let exports = std::fs::read_to_string(&path).unwrap().contains("#[unsafe(no_mangle)]");
        let name = path.strip_prefix(&ffi).unwrap().with_extension("");
        let is_named = names.iter().any(|known| {
            let known = Path::new(known);
            known == name || (known.ends_with("mod") && known.parent() == name.parent())
        });
        assert!(!exports || is_named, "{} is not in the header", path.display());
    }
    let sources = names.map(|name| root.join(format!("src/ffi/{name}.rs")));
    let builder = sources.iter().fold(cbindgen::Builder::new().with_config(config), |b, path| b.with_src(path));
    let mut generated = Vec::new();
    builder.generate().unwrap().write(&mut generated);

    let text = String::from_utf8_lossy(&generated);
    let declared = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '(');
    let functions = declared.filter_map(|word| word.strip_suffix('(')).filter(|name| name.starts_with("tilekeep_"));
    let mut once = HashSet::new();
    for function in functions {
        assert!(once.insert(function), "{function} is declared twice");
    }

    let path = root.join("include/tilekeep.h");
    if std::env::var_os("TILEKEEP_WRITE_HEADER").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "{} is not what the sources make; write it anew with TILEKEEP_WRITE_HEADER=1 cargo test --test header",
        path.display()
    );
}
