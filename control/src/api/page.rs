//! Lists in pieces.

use super::problem::Failure;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Most entries of one piece.
pub const MAX_LIMIT: usize = 1_000;
const DEFAULT_LIMIT: usize = 100;

/// Which piece of a list.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// Most entries: 1 to 1000, 100 if not given.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
    /// Entries to leave out at the beginning.
    #[param(minimum = 0)]
    pub offset: Option<usize>,
}

/// Where a piece is in its list.
#[derive(Clone, Copy, Debug, Serialize, ToSchema, PartialEq, Eq)]
pub struct Page {
    /// Entries of the whole list.
    pub total: usize,
    /// Entries left out at the beginning.
    pub offset: usize,
    /// Most entries of this piece.
    pub limit: usize,
}

impl Paging {
    /// Takes a piece of a list.
    pub fn of<T>(self, all: Vec<T>) -> Result<(Vec<T>, Page), Failure> {
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Failure::BadRequest(format!("limit must be 1 to {MAX_LIMIT}")));
        }
        let page = Page { total: all.len(), offset: self.offset.unwrap_or(0), limit };
        Ok((all.into_iter().skip(page.offset).take(limit).collect(), page))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_the_list() {
        let piece = |limit, offset| Paging { limit, offset }.of((0..250).collect::<Vec<_>>());
        let (first, page) = piece(None, None).unwrap();
        assert_eq!((first.len(), page), (100, Page { total: 250, offset: 0, limit: 100 }));
        assert_eq!(piece(Some(100), Some(200)).unwrap().0, (200..250).collect::<Vec<_>>());
        assert!(piece(Some(1), Some(usize::MAX)).unwrap().0.is_empty());
        for wrong in [0, MAX_LIMIT + 1] {
            assert!(piece(Some(wrong), None).is_err());
        }
    }
}
