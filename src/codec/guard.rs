//! Decoders of others, whose panics are errors of the stream.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, Result};

/// Runs a decoder that holds nothing which outlives the call. `what` of `len` bytes is the stream.
pub(super) fn guarded<T>(what: &str, len: usize, run: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|_| Err(Error::corrupt(format!("{what} of {len} bytes breaks the decoder"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_panic_is_an_error_of_the_stream() {
        let error = guarded::<()>("a stream", 7, || panic!("it was all too much")).unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Corrupt, "a stream of 7 bytes breaks the decoder"));
        assert_eq!(guarded("a stream", 7, || Ok(1)).unwrap(), 1);
    }
}
