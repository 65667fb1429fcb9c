//! What comes in and goes out through pointers, checked.

use std::ffi::{CStr, c_char, c_void};

use crate::error::{Error, Result};

/// A struct that may grow: plain data that starts with its own size as a `u32`.
///
/// # Safety
///
/// The type is `repr(C)`, every pattern of bytes is a value of it, and its first field is the `u32` size. Its first
/// `OLDEST` bytes were all of it when it was introduced.
pub(super) unsafe trait Growing: Copy {
    const NAME: &'static str;
    const OLDEST: usize;
    /// The values of fields that an older caller does not know.
    fn defaults() -> Self;
}

/// Where a field of a struct ends: the size that the struct had when it was the last one.
macro_rules! end_of {
    ($name:ty, $field:ident) => {{
        const fn size<T, F>(_: fn(&T) -> &F) -> usize {
            size_of::<F>()
        }
        std::mem::offset_of!($name, $field) + size(|value: &$name| &value.$field)
    }};
}
pub(super) use end_of;

/// What `pointer` points to, which the caller promises is a live value of ours.
pub(super) unsafe fn borrow<'a, T>(pointer: *const T, name: &str) -> Result<&'a T> {
    // SAFETY: the caller gives NULL or a pointer that this library made and that was not released yet.
    unsafe { pointer.as_ref() }.ok_or_else(|| null(name))
}

/// As [`borrow`], to be changed.
pub(super) unsafe fn borrow_mut<'a, T>(pointer: *mut T, name: &str) -> Result<&'a mut T> {
    // SAFETY: the caller gives NULL or a pointer that this library made, and uses it in one thread only.
    unsafe { pointer.as_mut() }.ok_or_else(|| null(name))
}

/// The struct at `pointer`; what an older caller's lacks is filled in. NULL gives the defaults.
pub(super) unsafe fn read_options<T: Growing>(pointer: *const T) -> Result<T> {
    if pointer.is_null() {
        return Ok(T::defaults());
    }
    // SAFETY: not NULL, and the caller promises a struct of the size that it states.
    unsafe { read_struct(pointer) }
}

/// As [`read_options`], where NULL is an error.
pub(super) unsafe fn read_struct<T: Growing>(pointer: *const T) -> Result<T> {
    // SAFETY: forwarded.
    let size = unsafe { struct_size(pointer) }?;
    let mut value = T::defaults();
    // SAFETY: the caller's struct has `size` bytes, which is no more than ours has; any bytes are a value of `T`.
    unsafe { std::ptr::copy_nonoverlapping(pointer.cast::<u8>(), (&raw mut value).cast::<u8>(), size) };
    Ok(value)
}

/// A struct of the caller's to be filled in, whose size was found to be right.
pub(super) struct Out<T: Growing> {
    pointer: *mut T,
    size: usize,
}

impl<T: Growing> Out<T> {
    pub(super) unsafe fn new(pointer: *mut T) -> Result<Self> {
        // SAFETY: forwarded.
        let size = unsafe { struct_size(pointer.cast_const()) }?;
        Ok(Self { pointer, size })
    }

    /// What the caller says that its struct takes.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Writes as much of `value` as the caller's struct holds; its own size stays as it is.
    pub(super) fn write(self, value: &T) {
        let skip = size_of::<u32>();
        // SAFETY: `value` is at least as large as `size`, which is more than the first field.
        let from = unsafe { std::ptr::from_ref(value).cast::<u8>().add(skip) };
        // SAFETY: the caller's struct has `size` bytes and lives during the call.
        let to = unsafe { self.pointer.cast::<u8>().add(skip) };
        // SAFETY: both are valid for `size - skip` bytes, and `value` is ours, so they do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(from, to, self.size - skip) };
    }
}

unsafe fn struct_size<T: Growing>(pointer: *const T) -> Result<usize> {
    if pointer.is_null() {
        return Err(null(T::NAME));
    }
    // SAFETY: not NULL, and the caller promises that the struct starts with its size.
    let size = unsafe { pointer.cast::<u32>().read_unaligned() } as usize;
    if (T::OLDEST..=size_of::<T>()).contains(&size) {
        return Ok(size);
    }
    Err(Error::invalid(format!(
        "struct_size of {} is {size}; this library takes {} to {}",
        T::NAME,
        T::OLDEST,
        size_of::<T>()
    )))
}

/// Where one value goes; NULL is an error.
pub(super) unsafe fn out<'a, T>(pointer: *mut T, name: &str) -> Result<&'a mut T> {
    // SAFETY: the caller gives NULL or a pointer to a value of its own that nobody else uses during the call.
    unsafe { pointer.as_mut() }.ok_or_else(|| null(name))
}

/// The UTF-8 text at `pointer`.
pub(super) unsafe fn text<'a>(pointer: *const c_char, name: &str) -> Result<&'a str> {
    if pointer.is_null() {
        return Err(null(name));
    }
    // SAFETY: not NULL, and the caller promises a text that ends in 0.
    let bytes = unsafe { CStr::from_ptr(pointer) };
    bytes.to_str().map_err(|_| Error::invalid(format!("{name} is not UTF-8")))
}

/// The caller's buffer of `size` bytes.
pub(super) unsafe fn buffer<'a>(pointer: *mut c_void, size: usize, name: &str) -> Result<&'a mut [u8]> {
    if pointer.is_null() {
        return Err(null(name));
    }
    if size > isize::MAX as usize {
        return Err(Error::invalid(format!("{name} of {size} bytes")));
    }
    // SAFETY: not NULL, and the caller promises `size` bytes of its own that nobody else uses during the call.
    Ok(unsafe { std::slice::from_raw_parts_mut(pointer.cast::<u8>(), size) })
}

/// The caller's `size` bytes, to be read; they may be NULL when `size` is 0.
pub(super) unsafe fn bytes<'a>(pointer: *const c_void, size: usize, name: &str) -> Result<&'a [u8]> {
    // SAFETY: forwarded.
    unsafe { array(pointer.cast::<u8>(), size, name) }
}

/// The caller's array of `n` values; it may be NULL when `n` is 0.
pub(super) unsafe fn array<'a, T>(pointer: *const T, n: usize, name: &str) -> Result<&'a [T]> {
    if n == 0 {
        return Ok(&[]);
    }
    if pointer.is_null() {
        return Err(null(name));
    }
    if !pointer.is_aligned() || n.checked_mul(size_of::<T>()).is_none_or(|bytes| bytes > isize::MAX as usize) {
        return Err(Error::invalid(format!("{name}: {n} values at {pointer:p}")));
    }
    // SAFETY: not NULL, aligned, and the caller promises `n` values that nobody changes during the call.
    Ok(unsafe { std::slice::from_raw_parts(pointer, n) })
}

pub(super) fn null(name: &str) -> Error {
    Error::invalid(format!("{name} is NULL"))
}
