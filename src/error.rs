//! The one error of the crate: what kind of thing failed, and a sentence that names it.

use std::fmt;
use std::sync::Arc;

/// The result of every fallible call in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller would do differently about a failure.
///
/// The C ABI has one negative status per kind; neither the names nor the numbers are ever reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The call itself is wrong: a coordinate out of range, a buffer too small, an unknown option.
    InvalidArgument,
    /// The named thing does not exist.
    NotFound,
    /// The operating system, or a client's source, could not deliver the bytes.
    Io,
    /// The bytes are there and contradict themselves or their format.
    Corrupt,
    /// The bytes are fine as far as can be told; this build cannot read them.
    Unsupported,
    /// A budget or a limit on sizes that come from files forbids it.
    LimitExceeded,
    /// The requester took the request back.
    Cancelled,
    /// The dataset cannot be written.
    ReadOnly,
    /// The source is no longer the one that was opened.
    Changed,
    /// A tile store failed where that could not be answered by a miss.
    Store,
    /// A bug of ours or a panic in a client's callback.
    Internal,
}

impl ErrorKind {
    /// The kind in words, as it starts the text of an [`Error`].
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid argument",
            Self::NotFound => "not found",
            Self::Io => "i/o error",
            Self::Corrupt => "corrupt data",
            Self::Unsupported => "unsupported",
            Self::LimitExceeded => "limit exceeded",
            Self::Cancelled => "cancelled",
            Self::ReadOnly => "read only",
            Self::Changed => "changed",
            Self::Store => "store error",
            Self::Internal => "internal error",
        }
    }
}

/// A failure: its [`kind`](Error::kind) and a one-line message with the numbers and the name of the thing.
///
/// Cloning costs one reference count, because one failed load is reported to everybody who waited for it.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
}

impl Error {
    /// An error of `kind` that says `message`: lower case, one line, with numbers and names.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Arc::new(Inner { kind, message: message.into() }))
    }

    /// What a caller would do differently about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The sentence, without the words of the kind.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The same failure seen from further out: `what` is put before the message, the kind stays.
    #[must_use]
    pub fn context(self, what: impl fmt::Display) -> Self {
        Self::new(self.0.kind, format!("{what}: {}", self.0.message))
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    pub(crate) fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    pub(crate) fn limit(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::LimitExceeded, message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Io,
        };
        Self::new(kind, error.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.kind.as_str(), self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error").field("kind", &self.0.kind).field("message", &self.0.message).finish()
    }
}

impl std::error::Error for Error {}

/// What a panic said, as far as it said it in words.
pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    if let Some(message) = panic.downcast_ref::<&str>() {
        message
    } else if let Some(message) = panic.downcast_ref::<String>() {
        message
    } else {
        "without a message"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_names_the_outer_thing_and_keeps_the_kind() {
        let error = Error::corrupt("expected 65536 bytes, file gave 65000").context("block (12, 7) of level 3");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert_eq!(error.to_string(), "corrupt data: block (12, 7) of level 3: expected 65536 bytes, file gave 65000");
    }

    #[test]
    fn a_missing_file_is_not_found_and_other_failures_are_io() {
        let missing: Error = std::io::Error::from(std::io::ErrorKind::NotFound).into();
        let denied: Error = std::io::Error::from(std::io::ErrorKind::PermissionDenied).into();
        assert_eq!((missing.kind(), denied.kind()), (ErrorKind::NotFound, ErrorKind::Io));
    }
}
