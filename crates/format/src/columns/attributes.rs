//! Attribute values of spans: one sparse column for each key and type.

use super::Rejected;
use super::dictionary::Dictionary;
use super::memory::of_vec;
use crate::value::ValueType;

/// Columns that there are at most, and keys that have one. What comes later goes into the overflow: whatever
/// keys are sent, they cost their bytes and little more.
pub const MAX_COLUMNS: usize = 4_096;

/// The types whose values may have a column, by their slot, see [`Scalar::slot`].
pub(crate) const COLUMN_TYPES: [ValueType; 4] =
    [ValueType::Str, ValueType::Int, ValueType::Double, ValueType::Bool];

/// Values of one key and one type, with the rows that have one.
#[derive(Clone, Debug)]
pub struct AttributeColumn {
    /// Number of the key in [`super::SpanColumns::keys`].
    pub key: u32,
    /// Ascending; a row has at most one value here.
    pub rows: Vec<u32>,
    pub values: ColumnValues,
}

/// The values of an [`AttributeColumn`], as long as its rows.
#[derive(Clone, Debug)]
pub enum ColumnValues {
    Str { texts: Dictionary, numbers: Vec<u32> },
    Int(Vec<i64>),
    Double(Vec<f64>),
    Bool(Vec<bool>),
}

/// A value on its way into the columns.
#[derive(Clone, Copy, Debug)]
pub enum Scalar<'a> {
    Str(&'a [u8]),
    Int(i64),
    Double(f64),
    Bool(bool),
}

impl Scalar<'_> {
    pub(crate) fn slot(&self) -> usize {
        match self {
            Self::Str(_) => 0,
            Self::Int(_) => 1,
            Self::Double(_) => 2,
            Self::Bool(_) => 3,
        }
    }
}

impl ColumnValues {
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::Str { .. } => ValueType::Str,
            Self::Int(_) => ValueType::Int,
            Self::Double(_) => ValueType::Double,
            Self::Bool(_) => ValueType::Bool,
        }
    }

    /// The slot of values of a type, if it may have a column, see [`Scalar::slot`].
    pub(crate) fn slot_of(kind: ValueType) -> Option<usize> {
        COLUMN_TYPES.iter().position(|known| *known == kind)
    }

    pub(crate) fn get(&self, index: usize) -> Scalar<'_> {
        match self {
            Self::Str { texts, numbers } => Scalar::Str(texts.bytes_of(numbers[index])),
            Self::Int(values) => Scalar::Int(values[index]),
            Self::Double(values) => Scalar::Double(values[index]),
            Self::Bool(values) => Scalar::Bool(values[index]),
        }
    }

    pub(crate) fn of_slot(slot: usize) -> Self {
        match slot {
            0 => Self::Str { texts: Dictionary::default(), numbers: Vec::new() },
            1 => Self::Int(Vec::new()),
            2 => Self::Double(Vec::new()),
            _ => Self::Bool(Vec::new()),
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, value: Scalar<'_>) -> Result<(), Rejected> {
        match (self, value) {
            (Self::Str { texts, numbers }, Scalar::Str(text)) => numbers.push(texts.intern(text)?),
            (Self::Int(values), Scalar::Int(value)) => values.push(value),
            (Self::Double(values), Scalar::Double(value)) => values.push(value),
            (Self::Bool(values), Scalar::Bool(value)) => values.push(value),
            // Callers pick the column by the value's slot.
            _ => debug_assert!(false, "a value in a column of another type"),
        }
        Ok(())
    }

    fn truncate(&mut self, keep: usize) {
        match self {
            Self::Str { numbers, .. } => numbers.truncate(keep),
            Self::Int(values) => values.truncate(keep),
            Self::Double(values) => values.truncate(keep),
            Self::Bool(values) => values.truncate(keep),
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        match self {
            Self::Str { texts, numbers } => texts.memory_bytes() + of_vec(numbers),
            Self::Int(values) => of_vec(values),
            Self::Double(values) => of_vec(values),
            Self::Bool(values) => of_vec(values),
        }
    }

    fn pop(&mut self) {
        match self {
            Self::Str { numbers, .. } => drop(numbers.pop()),
            Self::Int(values) => drop(values.pop()),
            Self::Double(values) => drop(values.pop()),
            Self::Bool(values) => drop(values.pop()),
        }
    }
}

impl AttributeColumn {
    /// Forgets the value of a row, if the row is the last one with a value.
    pub(crate) fn take_back(&mut self, row: u32) {
        if self.rows.last() == Some(&row) {
            self.rows.pop();
            self.values.pop();
        }
    }

    /// Forgets the values of a row and of all behind.
    pub(crate) fn truncate(&mut self, row: u32) {
        if self.rows.last().is_some_and(|last| *last >= row) {
            let keep = self.rows.partition_point(|at| *at < row);
            self.rows.truncate(keep);
            self.values.truncate(keep);
        }
    }
}

const NO_COLUMN: u32 = u32::MAX;

/// Keys of span attributes, and where the values of each lie.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    names: Dictionary,
    /// Column of each key for each slot of [`Scalar::slot`].
    columns: Vec<[u32; COLUMN_TYPES.len()]>,
    /// Which key followed each key the last time: senders repeat themselves, so one
    /// comparison usually replaces the search.
    followers: Vec<u32>,
    /// Which key came first the last time.
    first: u32,
}

impl Keys {
    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub fn name(&self, key: u32) -> &str {
        self.names.get(key)
    }

    /// The number of a key that is there.
    pub fn find(&self, name: &str) -> Option<u32> {
        self.names.find(name.as_bytes())
    }

    /// The number of a key that comes after another. None: it is new, and there are too many.
    #[inline]
    pub(crate) fn intern_after(
        &mut self,
        previous: Option<u32>,
        name: &[u8],
    ) -> Result<Option<u32>, Rejected> {
        let guess = match previous {
            Some(previous) => self.followers[previous as usize],
            None => self.first,
        };
        if (guess as usize) < self.names.len() && self.names.bytes_of(guess) == name {
            return Ok(Some(guess));
        }
        self.search(previous, name)
    }

    #[inline(never)]
    fn search(&mut self, previous: Option<u32>, name: &[u8]) -> Result<Option<u32>, Rejected> {
        let key = if self.names.len() < MAX_COLUMNS {
            self.names.intern(name)?
        } else {
            match self.names.find(name) {
                Some(key) => key,
                None => return Ok(None),
            }
        };
        if key as usize == self.columns.len() {
            self.columns.push([NO_COLUMN; COLUMN_TYPES.len()]);
            self.followers.push(key);
        }
        match previous {
            Some(previous) => self.followers[previous as usize] = key,
            None => self.first = key,
        }
        Ok(Some(key))
    }

    /// The column of a key's values of one type; made if there is none. None: there are too many.
    #[inline]
    pub(crate) fn column(
        &mut self,
        key: u32,
        slot: usize,
        columns: &mut Vec<AttributeColumn>,
    ) -> Option<usize> {
        let entry = &mut self.columns[key as usize][slot];
        if *entry == NO_COLUMN {
            if columns.len() >= MAX_COLUMNS {
                return None;
            }
            *entry = columns.len() as u32;
            columns.push(AttributeColumn { key, rows: Vec::new(), values: ColumnValues::of_slot(slot) });
        }
        Some(*entry as usize)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.names.memory_bytes() + of_vec(&self.columns) + of_vec(&self.followers)
    }
}
