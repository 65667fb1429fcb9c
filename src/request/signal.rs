//! What an event loop waits on: a file descriptor that is readable while there are answers that nobody has looked at.

#[cfg(unix)]
pub(super) use of_unix::Signal;

#[cfg(not(unix))]
pub(super) use of_others::Signal;

#[cfg(unix)]
mod of_unix {
    use std::io::{ErrorKind, Read, Write};
    use std::os::fd::{AsFd, BorrowedFd};
    use std::os::unix::net::UnixStream;

    use crate::error::{Error, Result};
    use crate::sync::Mutex;

    /// Two ends of a stream in which one byte lies while something is to be looked at.
    pub(in super::super) struct Signal {
        read_end: UnixStream,
        write_end: UnixStream,
        /// Answers that nobody has looked at. Less than nothing where one was seen before it was counted.
        waiting: Mutex<i64>,
    }

    impl Signal {
        pub(in super::super) fn new() -> Result<Self> {
            let no = |error: std::io::Error| Error::from(error).context("a file descriptor for requests");
            let (read_end, write_end) = UnixStream::pair().map_err(no)?;
            // Whoever else reads from it shall not make us wait.
            read_end.set_nonblocking(true).map_err(no)?;
            write_end.set_nonblocking(true).map_err(no)?;
            Ok(Self { read_end, write_end, waiting: Mutex::new(0) })
        }

        /// So many more answers wait to be looked at, or fewer.
        pub(in super::super) fn change(&self, by: i64) {
            // The byte is moved under the lock, so that it is there exactly while the number is above zero. Neither end ever
            // has to wait.
            let mut waiting = self.waiting.lock();
            let before = *waiting;
            *waiting += by;
            match (before > 0, *waiting > 0) {
                (false, true) => until_done(|| (&self.write_end).write(&[1])),
                (true, false) => until_done(|| (&self.read_end).read(&mut [0])),
                _ => {}
            }
        }

        pub(in super::super) fn as_fd(&self) -> BorrowedFd<'_> {
            self.read_end.as_fd()
        }
    }

    fn until_done(mut call: impl FnMut() -> std::io::Result<usize>) {
        while call().is_err_and(|error| error.kind() == ErrorKind::Interrupted) {}
    }
}

#[cfg(not(unix))]
mod of_others {
    /// There is none here.
    pub(in super::super) enum Signal {}

    impl Signal {
        pub(in super::super) fn change(&self, _by: i64) {
            match *self {}
        }
    }
}
