//! What the distinct values of a block's columns tell of a filter: no row is left out that matches.

use std::cell::RefCell;

use proptest::prelude::*;
use proptest::sample::Index;
use siltstone_ask::{Filter, Rows};
use siltstone_format::block::error::ReadError;
use siltstone_format::block::identity::BlockIdentity;
use siltstone_format::block::origins::OriginsFile;
use siltstone_format::block::parts::Parts;
use siltstone_format::block::ranges::Fetched;
use siltstone_format::block::read::{GroupRows, SpansFile};
use siltstone_format::block::write::encode_block;
use siltstone_format::columns::SpanColumns;
use siltstone_format::tenant::Tenant;

use super::own_values::question;
use super::{columns, filter, run};

/// A block of one row group, as it lies in the store.
struct Block {
    file: SpansFile,
    bytes: Fetched,
    /// As they were read again, so that rows have the same numbers.
    columns: SpanColumns,
}

impl Block {
    fn of(columns: &SpanColumns) -> Result<Self, ReadError> {
        let block = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
        let identity = BlockIdentity { block, tenant: Tenant::single(), inputs: Vec::new() };
        let encoded = encode_block(columns, &identity).unwrap();
        let (origins, _) = OriginsFile::open_unverified("origins", &encoded.origins.into())?;
        let bytes = encoded.spans.into();
        let file = SpansFile::open_unverified("spans", &bytes)?;
        let bytes = Fetched::whole(bytes);
        let all = [GroupRows { group: 0, rows: 0..columns.len() }];
        let columns = file.read_parts(&all, &Parts::all(), &bytes, &origins)?;
        Ok(Self { file, bytes, columns })
    }

    /// Compares with the answer of every row. Whether rows were left out, and whether the rest are the answer.
    fn check(&self, filter: &Filter) -> Result<(bool, bool), TestCaseError> {
        let right = filter.rows(&self.columns).unwrap();
        let among = |runs: &[GroupRows]| filter.narrowing().rows(&self.file, 0, runs, &self.bytes).unwrap();
        let narrowed = among(&[GroupRows { group: 0, rows: 0..right.of() }]);
        prop_assert_eq!(&right.clone().and_not(&narrowed.rows), &Rows::none(right.of()), "{:?}", filter);
        prop_assert!(!narrowed.is_exact || narrowed.rows == right, "{:?}", filter);
        prop_assert!(among(&[]).rows.is_empty());
        // Among some rows it says the same of these.
        let third = |row| GroupRows { group: 0, rows: row..row + 1 };
        let thirds: Vec<_> = (0..right.of()).step_by(3).map(third).collect();
        let mut these = Rows::none(right.of());
        thirds.iter().for_each(|run| these.insert_all(run.rows.clone()));
        prop_assert_eq!(among(&thirds).rows, narrowed.rows.clone().and(&these), "{:?}", filter);
        Ok((narrowed.rows.count() < right.of(), narrowed.is_exact))
    }
}

#[test]
fn should_leave_out_no_row_that_matches() {
    let (left_out, exact) = (RefCell::new(0), RefCell::new(0));
    let own = prop::collection::vec((any::<Index>(), question()), 12);
    run(300, (columns(), prop::collection::vec(filter(), 6), own), |(columns, filters, own)| {
        if columns.is_empty() {
            return Ok(());
        }
        let block = Block::of(&columns).unwrap();
        let own = own
            .iter()
            .filter_map(|(row, question)| question.about(&columns.get(row.index(columns.len())).unwrap()));
        let own: Vec<Filter> = own.collect();
        let pairs = own.windows(2).map(|pair| Filter::and(pair.to_vec()).unwrap());
        for filter in filters.iter().cloned().chain(pairs).chain(own.clone()) {
            let (fewer, is_exact) = block.check(&filter)?;
            *left_out.borrow_mut() += u32::from(fewer);
            *exact.borrow_mut() += u32::from(is_exact && fewer);
        }
        Ok(())
    });
    let (left_out, exact) = (left_out.into_inner(), exact.into_inner());
    assert!(left_out > 500 && exact > 300, "{left_out} times rows were left out, {exact} times all others");
}
