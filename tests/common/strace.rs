//! What a piece of a test asks of the system, as strace sees it.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

/// Asked for by the traced test around what is counted: files that are not there.
pub(crate) const BEGIN: &str = "/tilekeep-trace-begins";
pub(crate) const END: &str = "/tilekeep-trace-ends";

/// Marks a place of the trace.
pub(crate) fn mark(mark: &str) {
    assert!(std::fs::metadata(mark).is_err());
}

/// The system calls of one test, one a line.
pub(crate) struct Trace {
    lines: Vec<String>,
}

/// Runs the test `name` of this program under strace, with a variable set that tells it so. `None` without strace.
pub(crate) fn trace(name: &str, variable: &str, value: impl AsRef<OsStr>) -> Option<Trace> {
    let log = tempfile::NamedTempFile::new().unwrap();
    if Command::new("strace").arg("-V").output().is_err() {
        assert!(std::env::var_os("TILEKEEP_REQUIRE_PEERS").is_none(), "strace is not installed");
        eprintln!("SKIPPED: strace is not installed");
        return None;
    }
    let child = Command::new("strace")
        .arg("-f")
        .arg("-o")
        .arg(log.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--test-threads", "1"])
        .env(variable, value)
        .output()
        .unwrap();
    let output = [child.stdout, child.stderr].concat();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&output));
    let text = std::fs::read_to_string(log.path()).unwrap();
    Some(Trace { lines: text.lines().map(str::to_owned).collect() })
}

impl Trace {
    fn find(&self, mark: &str) -> usize {
        self.lines.iter().position(|line| line.contains(mark)).unwrap_or_else(|| panic!("no {mark} in the trace"))
    }

    /// What all threads asked for between the marks.
    pub(crate) fn between(&self) -> &[String] {
        &self.lines[self.find(BEGIN) + 1..self.find(END)]
    }

    /// What the thread that set the marks asked for between them: the runner's main thread only waits for it.
    pub(crate) fn of_the_test(&self) -> Vec<&str> {
        let thread = |line: &str| line.split_whitespace().next().unwrap().to_owned();
        let marked = thread(&self.lines[self.find(BEGIN)]);
        self.between().iter().map(String::as_str).filter(|line| thread(line) == marked).collect()
    }

    /// What was asked for from the opening of a file on, up to the first mark.
    pub(crate) fn since_opened(&self, path: &Path) -> &[String] {
        let name = path.to_str().unwrap();
        let opened = self.lines.iter().position(|line| line.contains("openat") && line.contains(name)).unwrap();
        &self.lines[opened..self.find(BEGIN)]
    }
}
