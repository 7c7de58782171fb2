//! Rows by the attributes of their spans' events and links.

use std::collections::BTreeSet;

use siltstone_format::columns::lists::ListTexts;
use siltstone_format::value::{Attribute, ValueError, attributes_from_text};

use super::Rows;
use crate::filter::{Filter, Level, Target};

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

/// Attributes of events and links. Each distinct text is parsed once for all predicates, if it may hold a key that
/// one asks for, and those of its attributes are kept that one asks for.
pub(super) struct ListAttributes<'a> {
    texts: &'a ListTexts,
    wanted: WantedKeys<'a>,
    parsed: Vec<Option<Vec<Attribute>>>,
}

impl<'a> ListAttributes<'a> {
    pub(super) fn new(filter: &'a Filter, texts: &'a ListTexts) -> Self {
        Self { texts, wanted: WantedKeys::of(filter), parsed: Vec::new() }
    }

    /// Those of the attributes with this text that one asks for.
    pub(super) fn attributes(&mut self, number: u32) -> Result<&[Attribute], ValueError> {
        let texts = &self.texts.texts;
        self.parsed.resize(texts.len(), None);
        let slot = &mut self.parsed[number as usize];
        if slot.is_none() {
            let text = texts.get(number);
            let may_hold = self.wanted.may_stand_in(text);
            let mut attributes = if may_hold { attributes_from_text(text)? } else { Vec::new() };
            attributes.retain(|attribute| self.wanted.keys.contains(attribute.key.as_str()));
            *slot = Some(attributes);
        }
        Ok(slot.as_deref().unwrap_or_default())
    }
}

/// Keys that are searched for in a text before it is parsed.
const MOST_SEARCHES: usize = 8;

/// The keys of events and links that a filter asks for.
struct WantedKeys<'a> {
    keys: BTreeSet<&'a str>,
    /// The keys as they end in a text; none if one of them may be written in several ways, or if they are so many
    /// that the parser is as quick.
    endings: Option<Vec<String>>,
}

impl<'a> WantedKeys<'a> {
    fn of(filter: &'a Filter) -> Self {
        let keys = filter.predicates().into_iter().filter_map(|predicate| match predicate.target() {
            Target::Attribute { level: Level::Event | Level::Link | Level::Any, key } => Some(key.as_str()),
            _ => None,
        });
        let keys: BTreeSet<&str> = keys.collect();
        let is_plain = |key: &&str| !key.contains(|char: char| char.is_control() || "\"\\/".contains(char));
        let search = keys.len() <= MOST_SEARCHES && keys.iter().all(is_plain);
        let endings = search.then(|| keys.iter().map(|key| format!("{key}\"")).collect());
        Self { keys, endings }
    }

    /// Whether attributes with this text may have one of the keys. A search is quicker than the parser, and most
    /// texts have none.
    fn may_stand_in(&self, text: &str) -> bool {
        let Some(endings) = &self.endings else { return true };
        // JSON may write any character by its number.
        endings.iter().any(|ending| text.contains(ending.as_str())) || text.contains("\\u")
    }
}
