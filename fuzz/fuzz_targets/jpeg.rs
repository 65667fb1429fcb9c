#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|bytes: &[u8]| -> Corpus {
    if !(bytes.starts_with(&[0xFF, 0xD8])) {
        return Corpus::Reject;
    }
    tilekeep_fuzz::read_file(bytes);
    Corpus::Keep
});
