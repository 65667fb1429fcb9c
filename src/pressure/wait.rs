//! How the thread of a watch waits: for the time of the next look, for the system to say that processes stand still, for
//! the end.

#[cfg(all(any(target_os = "linux", target_os = "android"), not(any(miri, shuttle))))]
pub(super) use polled::Waiting;
#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(any(miri, shuttle)))))]
pub(super) use timed::Waiting;

/// What came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(all(any(target_os = "linux", target_os = "android"), not(any(miri, shuttle)))),
    expect(dead_code, reason = "no stalls are told of there")
)]
pub(super) enum Awaited {
    Time,
    Stalls,
    /// Stalls are told of in that file no more.
    NoMoreStalls,
    End,
}

#[cfg(all(any(target_os = "linux", target_os = "android"), not(any(miri, shuttle))))]
mod polled {
    use std::fs::File;
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

    use crate::error::{Error, Result};

    use super::Awaited;

    /// A file that can be read when the end has come.
    pub(in crate::pressure) struct Waiting {
        end: OwnedFd,
    }

    impl Waiting {
        pub(in crate::pressure) fn new() -> Result<Self> {
            let end = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
            let end = end.map_err(|error| Error::from(std::io::Error::from(error)).context("watching memory"))?;
            Ok(Self { end })
        }

        pub(in crate::pressure) fn end(&self) {
            // It fails only if it was done more often than can be counted.
            let _ = rustix::io::write(&self.end, &1_u64.to_ne_bytes());
        }

        pub(in crate::pressure) fn wait(&self, trigger: Option<&File>, at_most: Duration) -> Awaited {
            let end = PollFd::new(&self.end, PollFlags::IN);
            let mut files = [end.clone(), end];
            let n = match trigger {
                Some(trigger) => {
                    files[1] = PollFd::new(trigger, PollFlags::PRI);
                    2
                }
                None => 1,
            };
            let timeout = Timespec {
                tv_sec: at_most.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: at_most.subsec_nanos().into(),
            };
            // Interrupted is as good as the time being over.
            let came = poll(&mut files[..n], Some(&timeout)).unwrap_or(0);
            let [end, stalls] = [0, 1].map(|i| files[i].revents());
            match came {
                0 => Awaited::Time,
                _ if !end.is_empty() => Awaited::End,
                _ if stalls.contains(PollFlags::ERR) => Awaited::NoMoreStalls,
                _ => Awaited::Stalls,
            }
        }
    }
}

#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(any(miri, shuttle)))))]
mod timed {
    use std::fs::File;
    use std::time::Duration;

    use crate::error::Result;
    use crate::sync::{Condvar, Mutex, wait_for};

    use super::Awaited;

    /// Whether the end has come.
    pub(in crate::pressure) struct Waiting {
        is_over: Mutex<bool>,
        changed: Condvar,
    }

    impl Waiting {
        #[expect(clippy::unnecessary_wraps, reason = "elsewhere the system may refuse")]
        pub(in crate::pressure) fn new() -> Result<Self> {
            Ok(Self { is_over: Mutex::new(false), changed: Condvar::new() })
        }

        pub(in crate::pressure) fn end(&self) {
            *self.is_over.lock() = true;
            self.changed.notify_all();
        }

        pub(in crate::pressure) fn wait(&self, _trigger: Option<&File>, at_most: Duration) -> Awaited {
            let mut is_over = self.is_over.lock();
            if !*is_over {
                is_over = wait_for(&self.changed, is_over, at_most);
            }
            if *is_over { Awaited::End } else { Awaited::Time }
        }
    }
}
