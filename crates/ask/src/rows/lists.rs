//! Rows by the attributes of their spans' events and links.

use std::collections::BTreeSet;

use siltstone_format::columns::lists::ListTexts;
use siltstone_format::value::{Attribute, ValueError, attributes_from_text};

use super::Rows;
use super::verdicts::Verdicts;
use crate::filter::{Filter, Level, Target, Test};

/// Those of the rows with an entry that passes. `rows` says for each entry whose it is.
pub(super) fn any_entry(
    rows: &[u32],
    among: &Rows,
    mut test: impl FnMut(usize) -> Result<bool, ValueError>,
) -> Result<Rows, ValueError> {
    let mut found = Rows::none(among.of());
    for (index, row) in rows.iter().enumerate() {
        let row = *row as usize;
        if among.contains(row) && !found.contains(row) && test(index)? {
            found.insert(row);
        }
    }
    Ok(found)
}

/// Attributes of events and links. Each distinct text is parsed once for all predicates, and of its attributes
/// those are kept that a predicate asks for.
pub(super) struct ListAttributes<'a> {
    texts: &'a ListTexts,
    wanted: BTreeSet<&'a str>,
    parsed: Vec<Option<Vec<Attribute>>>,
}

impl<'a> ListAttributes<'a> {
    pub(super) fn new(filter: &'a Filter, texts: &'a ListTexts) -> Self {
        let wanted = filter.predicates().into_iter().filter_map(|predicate| match predicate.target() {
            Target::Attribute { level: Level::Event | Level::Link | Level::Any, key } => Some(key.as_str()),
            _ => None,
        });
        Self { texts, wanted: wanted.collect(), parsed: Vec::new() }
    }

    /// Those of the rows with an entry for whose attributes the test holds.
    pub(super) fn rows(
        &mut self,
        (rows, texts): (&[u32], &[u32]),
        key: &str,
        test: &Test,
        among: &Rows,
    ) -> Result<Rows, ValueError> {
        let mut verdicts = Verdicts::new(self.texts.texts.len());
        any_entry(rows, among, |index| {
            let text = texts[index];
            verdicts.try_get(text, || Ok(test.matches_holder(key, self.attributes(text)?)))
        })
    }

    fn attributes(&mut self, text: u32) -> Result<&[Attribute], ValueError> {
        let texts = &self.texts.texts;
        self.parsed.resize(texts.len(), None);
        let slot = &mut self.parsed[text as usize];
        if slot.is_none() {
            let mut attributes = attributes_from_text(texts.get(text))?;
            attributes.retain(|attribute| self.wanted.contains(attribute.key.as_str()));
            *slot = Some(attributes);
        }
        Ok(slot.as_deref().unwrap_or_default())
    }
}
