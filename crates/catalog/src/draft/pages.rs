//! Pages as they stand in the store.

use std::sync::Arc;

use bytes::Bytes;
use siltstone_format::id::ObjectId;
use siltstone_format::path::ObjectKey;
use siltstone_format::tenant::Tenant;

use super::DraftError;
use crate::block_page::{BlockPage, Section};
use crate::bucket::Bucket;
use crate::deleted::TracePage;
use crate::mark::{self, Mark};
use crate::message::Damage;
use crate::tenant_page::TenantPage;

pub(crate) async fn read_tenant_page(
    bucket: &Bucket,
    id: ObjectId,
    tenant: &Tenant,
) -> Result<TenantPage, DraftError> {
    read(bucket, id, |object| TenantPage::decode(object, tenant)).await
}

pub(crate) async fn read_block_page(
    bucket: &Bucket,
    id: ObjectId,
    tenant: &Tenant,
    section: Section,
) -> Result<BlockPage, DraftError> {
    read(bucket, id, |object| BlockPage::decode(object, tenant, section)).await
}

/// Marks of a page of older ones.
pub(crate) async fn read_mark_page(bucket: &Bucket, id: ObjectId) -> Result<Arc<Vec<Mark>>, DraftError> {
    read(bucket, id, |object| mark::decode_page(object).map(Arc::new)).await
}

/// Traces that were deleted together.
pub(crate) async fn read_trace_page(bucket: &Bucket, id: ObjectId) -> Result<Arc<TracePage>, DraftError> {
    read(bucket, id, |object| TracePage::decode(object).map(Arc::new)).await
}

async fn read<T>(
    bucket: &Bucket,
    id: ObjectId,
    decode: impl FnOnce(&Bytes) -> Result<T, Damage>,
) -> Result<T, DraftError> {
    let key = ObjectKey::Page(id);
    let object = bucket.get(&key).await?.ok_or_else(|| DraftError::Gone { key: key.clone() })?;
    decode(&object).map_err(|damage| DraftError::Damaged { key, damage })
}
