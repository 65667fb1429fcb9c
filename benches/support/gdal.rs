//! Programs that use GDAL, compiled where its headers are.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles `source`, a C file of the project, into `folder`. Says what is missing where that cannot be.
pub(crate) fn program(source: &str, folder: &Path) -> Result<PathBuf, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
    let program = folder.join(format!("tilekeep_{}", source.file_stem().unwrap_or_default().display()));
    let line = "cc -O2 -o \"$1\" \"$2\" $(gdal-config --cflags; gdal-config --libs)";
    let built = Command::new("sh").args(["-c", line, "sh"]).arg(&program).arg(&source).output();
    let built = built.map_err(|error| format!("sh: {error}"))?;
    let first_line = || String::from_utf8_lossy(&built.stderr).lines().next().unwrap_or_default().to_owned();
    if built.status.success() { Ok(program) } else { Err(first_line()) }
}
