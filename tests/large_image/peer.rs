//! large_image in a process of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// Samples as numpy has them, pixel after pixel.
pub(crate) struct Array {
    pub(crate) dtype: String,
    /// Rows, columns, channels.
    pub(crate) shape: [usize; 3],
    pub(crate) bytes: Vec<u8>,
}

impl Array {
    pub(crate) fn numbers(&self) -> Vec<f64> {
        let sample = super::styles::sample_of(&self.dtype).unwrap_or_else(|| panic!("samples of {}", self.dtype));
        super::styles::numbers(sample, &self.bytes)
    }
}

pub(crate) struct Peer {
    process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// `None` where no Python is named, and none is required.
    pub(crate) fn start() -> Option<Self> {
        let Some(python) = std::env::var_os("TILEKEEP_PYTHON") else {
            assert!(std::env::var_os("TILEKEEP_REQUIRE_PEERS").is_none(), "TILEKEEP_PYTHON is not set");
            eprintln!("SKIPPED: nothing is compared with large_image, because TILEKEEP_PYTHON is not set");
            return None;
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/large_image/compare.py");
        let mut command = Command::new(&python);
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap_or_else(|e| panic!("{}: {e}", python.display()));
        let (Some(questions), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            let _ = process.kill();
            let _ = process.wait();
            panic!("both are pipes");
        };
        Some(Self { process, questions, answers: BufReader::new(answers) })
    }

    /// The arrays that large_image makes of a file and a style, or what it says instead.
    pub(crate) fn ask(&mut self, path: &Path, source: &str, style: &Value) -> Result<Vec<Array>, String> {
        writeln!(self.questions, "{}", json!({"path": path, "source": source, "style": style})).unwrap();
        let mut head = String::new();
        assert!(self.answers.read_line(&mut head).unwrap() > 0, "compare.py ended");
        let head: Value = serde_json::from_str(&head).unwrap();
        if let Some(error) = head["error"].as_str() {
            return Err(error.to_owned());
        }
        let mut read = |head: &Value| {
            let dtype = head["dtype"].as_str().unwrap().to_owned();
            let shape: [usize; 3] = serde_json::from_value(head["shape"].clone()).unwrap();
            let sample = super::styles::sample_of(&dtype).map_or(1, tilekeep::SampleType::bytes);
            let mut bytes = vec![0; shape.iter().product::<usize>() * sample];
            self.answers.read_exact(&mut bytes).unwrap();
            Array { dtype, shape, bytes }
        };
        Ok(head.as_array().unwrap().iter().map(&mut read).collect())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
