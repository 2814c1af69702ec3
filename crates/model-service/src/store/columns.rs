//! The columns of a row, whichever backend has found it.

/// The columns of a row, read from left to right.
pub(super) trait Columns {
    type Error;

    fn text(&mut self) -> Result<String, Self::Error>;

    /// `None` for NULL.
    fn optional_text(&mut self) -> Result<Option<String>, Self::Error>;

    fn integer(&mut self) -> Result<i64, Self::Error>;

    fn flag(&mut self) -> Result<bool, Self::Error>;

    /// An integer that is never negative.
    fn count(&mut self) -> Result<u64, Self::Error> {
        self.integer().map(i64::unsigned_abs)
    }
}

/// A value that a row holds.
pub(super) trait FromColumns: Sized {
    fn read<C: Columns>(columns: &mut C) -> Result<Self, C::Error>;
}
