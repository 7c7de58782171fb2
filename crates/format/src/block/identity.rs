//! Who a file is: format version, tenant, block, and the blocks that it was made of.
//! Written as key-value metadata of every file, so that a catalog can be made from
//! the files alone.

use parquet::file::metadata::KeyValue;

use super::error::{ReadError, Wrong};
use crate::id::BlockId;
use crate::tenant::Tenant;
use crate::version::{FORMAT_VERSION, OLDEST_FORMAT_VERSION, is_known};

/// What a block says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockIdentity {
    pub block: BlockId,
    pub tenant: Tenant,
    /// The blocks that this one replaces; none for what an ingester wrote.
    pub inputs: Vec<BlockId>,
}

const VERSION: &str = "siltstone.version";
const FILE: &str = "siltstone.file";
const BLOCK: &str = "siltstone.block";
const TENANT: &str = "siltstone.tenant";
const INPUTS: &str = "siltstone.inputs";

impl BlockIdentity {
    pub(crate) fn key_values(&self, file: &str) -> Vec<KeyValue> {
        let inputs: Vec<String> = self.inputs.iter().map(BlockId::to_string).collect();
        [
            (VERSION, FORMAT_VERSION.to_string()),
            (FILE, file.to_owned()),
            (BLOCK, self.block.to_string()),
            (TENANT, self.tenant.to_string()),
            (INPUTS, inputs.join(",")),
        ]
        .map(|(key, value)| KeyValue::new(key.to_owned(), value))
        .to_vec()
    }

    /// Reads the identity and checks that the file is of a known version and kind.
    pub(crate) fn read(object: &str, file: &'static str, key_values: &[KeyValue]) -> Result<Self, ReadError> {
        let wrong = |wrong| ReadError::new(object, wrong);
        let text = |key: &'static str| {
            text_of(key_values, key).ok_or_else(|| wrong(Wrong::NotOurs { missing: key }))
        };
        let version: u32 = text(VERSION)?.parse().map_err(|_| wrong(Wrong::NotOurs { missing: VERSION }))?;
        if !is_known(version) {
            return Err(wrong(Wrong::Version {
                found: version,
                oldest: OLDEST_FORMAT_VERSION,
                newest: FORMAT_VERSION,
            }));
        }
        let found = text(FILE)?;
        if found != file {
            return Err(wrong(Wrong::OtherFile { found: found.to_owned(), expected: file }));
        }
        let inputs = text(INPUTS)?;
        let inputs = inputs.split(',').filter(|input| !input.is_empty()).map(str::parse);
        Ok(Self {
            block: text(BLOCK)?.parse().map_err(|_| wrong(Wrong::Damaged("its block id is none")))?,
            tenant: text(TENANT)?.parse().map_err(|_| wrong(Wrong::Damaged("its tenant is none")))?,
            inputs: inputs
                .collect::<Result<_, _>>()
                .map_err(|_| wrong(Wrong::Damaged("an input is no block id")))?,
        })
    }
}

pub(crate) fn text_of<'a>(key_values: &'a [KeyValue], key: &str) -> Option<&'a str> {
    key_values.iter().find(|entry| entry.key == key)?.value.as_deref()
}
