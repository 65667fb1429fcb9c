//! What was asked for and what became of it.

/// What was asked of a [`Requests`](super::Requests) since it was made, and what became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestStats {
    /// Jobs that wait for a thread.
    pub queued: u64,
    /// Jobs that run, or whose answers are being given.
    pub running: u64,
    /// Requests answered with what they asked for, or with why it could not be had.
    pub answered: u64,
    /// Of these, those that were answered with a failure.
    pub failed: u64,
    /// Requests that were taken back before they were answered.
    pub cancelled: u64,
    /// Requests that joined a job which somebody else had asked for.
    pub joined: u64,
    /// Jobs that were dropped before they began, because nobody wanted them any more.
    pub dropped: u64,
    /// Jobs that were told to stop while they ran, for the same reason.
    pub stopped: u64,
    /// Tiles that were loaded before anybody asked for them.
    pub prefetched: u64,
    /// Of these, tiles that were then asked for.
    pub prefetch_used: u64,
    /// Of these, tiles that were given up without having been asked for.
    pub prefetch_wasted: u64,
}
