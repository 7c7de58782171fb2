//! The kinds of request that an object store gets: the vocabulary of the counting and the faulty store.

use std::fmt;

use object_store::GetOptions;

/// One kind of request, as an object store would bill it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// A GET of a whole object.
    Get,
    /// A GET of one range of an object.
    GetRange,
    Head,
    Put,
    MultipartStart,
    MultipartPart,
    MultipartComplete,
    MultipartAbort,
    /// One page of a listing for the counting store, one listing for the faulty store.
    List,
    Delete,
    Copy,
}

impl Operation {
    pub const ALL: [Operation; 11] = [
        Operation::Get,
        Operation::GetRange,
        Operation::Head,
        Operation::Put,
        Operation::MultipartStart,
        Operation::MultipartPart,
        Operation::MultipartComplete,
        Operation::MultipartAbort,
        Operation::List,
        Operation::Delete,
        Operation::Copy,
    ];

    /// GET, ranged GET and HEAD go through one method of the store and differ in their options.
    pub(crate) fn of_get(options: &GetOptions) -> Operation {
        if options.head {
            Operation::Head
        } else if options.range.is_some() {
            Operation::GetRange
        } else {
            Operation::Get
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Operation::Get => "get",
            Operation::GetRange => "get range",
            Operation::Head => "head",
            Operation::Put => "put",
            Operation::MultipartStart => "multipart start",
            Operation::MultipartPart => "multipart part",
            Operation::MultipartComplete => "multipart complete",
            Operation::MultipartAbort => "multipart abort",
            Operation::List => "list",
            Operation::Delete => "delete",
            Operation::Copy => "copy",
        })
    }
}
