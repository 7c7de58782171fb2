//! The suite that `object_store` has for every store, on a real folder. (`multipart` and `list_paginated` are
//! for traits that only stores in the cloud have.)

use object_store::integration;

use super::*;

#[tokio::test]
async fn should_put_get_delete_and_list() {
    integration::put_get_delete_list(&real().1).await;
}

#[tokio::test]
async fn should_refuse_attributes() {
    integration::put_get_attributes(&real().1).await;
}

#[tokio::test]
async fn should_get_on_condition() {
    integration::get_opts(&real().1).await;
}

#[tokio::test]
async fn should_put_on_condition_that_nothing_is_there() {
    integration::put_opts(&real().1, false).await;
}

#[tokio::test]
async fn should_use_directories_as_prefixes() {
    integration::list_uses_directories_correctly(&real().1).await;
}

#[tokio::test]
async fn should_list_one_level() {
    integration::list_with_delimiter(&real().1).await;
}

#[tokio::test]
async fn should_list_only_what_comes_after_an_offset() {
    integration::list_with_offset_exclusivity(&real().1).await;
}

#[tokio::test]
async fn should_rename_and_copy() {
    integration::rename_and_copy(&real().1).await;
}

#[tokio::test]
async fn should_copy_if_nothing_is_there() {
    integration::copy_if_not_exists(&real().1).await;
}

#[tokio::test]
async fn should_not_find_what_is_to_be_copied() {
    integration::copy_rename_nonexistent_object(&real().1).await;
}

#[tokio::test]
async fn should_not_find_what_is_not_there() {
    let missing = integration::get_nonexistent_object(&real().1, None).await;
    assert!(is_not_found(&missing), "{missing:?}");
}

#[tokio::test]
async fn should_write_in_parts() {
    integration::stream_get(&real().1).await;
}

#[tokio::test]
async fn should_let_the_last_of_two_uploads_win() {
    integration::multipart_race_condition(&real().1, true).await;
}

#[tokio::test]
async fn should_take_parts_in_any_order() {
    integration::multipart_out_of_order(&real().1).await;
}
