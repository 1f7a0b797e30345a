//! A bounded reader over bytes: nobody indexes.

use crate::Error;

/// Reads big-endian fields from a slice; running out is [`Error`] `malformed`, so use it on complete units only.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Over a complete unit.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    /// Bytes not yet read.
    pub const fn len(&self) -> usize {
        self.left.len()
    }

    /// Whether all was read.
    pub const fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// All that is left, without taking it.
    pub const fn peek(&self) -> &'a [u8] {
        self.left
    }

    /// Takes all that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.left)
    }

    /// Takes `n` bytes.
    ///
    /// # Errors
    /// `malformed` if fewer are left.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], Error> {
        match self.left.split_at_checked(n) {
            Some((head, tail)) => {
                self.left = tail;
                Ok(head)
            }
            None => Err(Error::malformed("truncated")),
        }
    }

    /// A reader over the next `n` bytes.
    ///
    /// # Errors
    /// `malformed` if fewer are left.
    pub fn sub(&mut self, n: usize) -> Result<Self, Error> {
        self.take(n).map(Self::new)
    }

    /// One byte.
    ///
    /// # Errors
    /// `malformed` if none is left.
    pub fn u8(&mut self) -> Result<u8, Error> {
        Ok(self.array::<1>()?[0])
    }

    /// Big-endian, 16 bits.
    ///
    /// # Errors
    /// `malformed` if fewer are left.
    pub fn u16(&mut self) -> Result<u16, Error> {
        self.array().map(u16::from_be_bytes)
    }

    /// Big-endian, 24 bits.
    ///
    /// # Errors
    /// `malformed` if fewer are left.
    pub fn u24(&mut self) -> Result<u32, Error> {
        let [a, b, c] = self.array()?;
        Ok(u32::from_be_bytes([0, a, b, c]))
    }

    /// Big-endian, 32 bits.
    ///
    /// # Errors
    /// `malformed` if fewer are left.
    pub fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_be_bytes)
    }

    /// Big-endian, 64 bits.
    ///
    /// # Errors
    /// `malformed` if fewer are left.
    pub fn u64(&mut self) -> Result<u64, Error> {
        self.array().map(u64::from_be_bytes)
    }

    /// `N` bytes as an array.
    ///
    /// # Errors
    /// `malformed` if fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        self.take(N)?.try_into().map_err(|_| Error::malformed("truncated"))
    }
}
