//! How the bytes of files are reached, and what the operating system is told about them.

#![expect(unsafe_code, reason = "mapping a file takes a promise about it")]

/// How a dataset reaches the bytes of its files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Access {
    /// By position, into memory of ours.
    #[default]
    Read = 0,
    /// Mapped into memory: blocks that the file stores as they are presented are lent from there. Chosen with
    /// [`OpenOptions::access_map`](crate::OpenOptions::access_map), which says what it takes.
    Map = 1,
}

impl Access {
    /// The access with this number (the enum's discriminant, as in the C ABI).
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        [Self::Read, Self::Map].into_iter().find(|access| *access as i32 == number)
    }
}

/// What the operating system shall do with the bytes of a file that were read: it keeps them in a cache of its own,
/// beside the decoded blocks of the dataset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum OsCache {
    /// As it likes.
    #[default]
    Keep = 0,
    /// Let go of the bytes of every block that was read, with one call of `posix_fadvise` a block. The system drops units
    /// of its cache as a whole, on Linux up to 2 MiB, so the call tells of what lies before the block in such a unit too;
    /// what a unit has after the block goes with a later one. Linux, Android and FreeBSD; elsewhere, and where files are
    /// mapped, this is [`Keep`](Self::Keep).
    Drop = 1,
}

impl OsCache {
    /// The choice with this number (the enum's discriminant, as in the C ABI).
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        [Self::Keep, Self::Drop].into_iter().find(|choice| *choice as i32 == number)
    }
}

/// Whether the files beside a raster that say more of it are read: `.aux.xml` (GDAL's persistent metadata), `.ovr`
/// (overviews), `.msk` (a mask) at the end of its name, and a world file (`.tfw`, `.pgw`, `.jgw`, `.wld`) in the place of
/// its extension.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Sidecars {
    /// Yes. Each name that one may have is asked for once; the folder is not listed. One that is damaged is as if it were
    /// not there.
    #[default]
    Read = 0,
    /// No file but the raster is touched.
    Ignore = 1,
}

impl Sidecars {
    /// The choice with this number (the enum's discriminant, as in the C ABI).
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        [Self::Read, Self::Ignore].into_iter().find(|choice| *choice as i32 == number)
    }
}

/// Both choices for the files of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileUse {
    Read(OsCache),
    Map(MapPromise),
}

/// Somebody promised that mapping the files of a source is sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MapPromise(());

impl MapPromise {
    /// # Safety
    ///
    /// Nobody shortens or changes a file that is opened with this while bytes of it are mapped.
    pub(crate) const unsafe fn new() -> Self {
        Self(())
    }
}
