//! What is a URL, what is not, and what is said of that.

use super::*;

fn parse(text: &str) -> Result<StoreUrl, UrlError> {
    text.parse()
}

fn error(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

fn at(bucket: &str, prefix: &str) -> Place {
    Place { bucket: bucket.to_owned(), prefix: Key::parse(prefix).unwrap() }
}

#[test]
fn should_read_folders() {
    for (text, path) in [
        ("file:data", "data"),
        ("file:./data", "./data"),
        ("file:../data", "../data"),
        ("file:/srv/data", "/srv/data"),
        ("file:///srv/data", "/srv/data"),
        ("file://localhost/srv/data", "/srv/data"),
        ("file:a%20b c:d?e", "a%20b c:d?e"),
        ("./data", "./data"),
        ("../data", "../data"),
        ("/srv/data", "/srv/data"),
        (".", "."),
    ] {
        assert_eq!(parse(text), Ok(StoreUrl::Folder(PathBuf::from(path))), "{text}");
    }
}

#[test]
fn should_read_buckets_with_and_without_a_prefix() {
    assert_eq!(parse("s3://bucket"), Ok(StoreUrl::S3(at("bucket", ""))));
    assert_eq!(parse("s3://bucket/"), Ok(StoreUrl::S3(at("bucket", ""))));
    assert_eq!(parse("s3://my.bucket-1/one"), Ok(StoreUrl::S3(at("my.bucket-1", "one"))));
    assert_eq!(parse("gs://my_bucket/one/two/"), Ok(StoreUrl::Gcs(at("my_bucket", "one/two"))));
    assert_eq!(parse("az://container/env=prod"), Ok(StoreUrl::Azure(at("container", "env=prod"))));
    assert_eq!(parse("memory:"), Ok(StoreUrl::Memory));
}

#[test]
fn should_print_what_it_reads() {
    for (text, printed) in [
        ("./data", "file:./data"),
        ("/srv/data", "file:///srv/data"),
        ("file:/srv/data", "file:///srv/data"),
        ("file:////srv", "file:////srv"),
        ("file:data", "file:data"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/a/b/", "s3://bucket/a/b"),
        ("gs://bucket", "gs://bucket"),
        ("az://container/a", "az://container/a"),
        ("memory:", "memory:"),
    ] {
        let url = parse(text).unwrap();
        assert_eq!(url.to_string(), printed);
        assert_eq!(parse(printed), Ok(url), "{printed}");
    }
}

#[test]
fn should_say_how_to_name_a_store() {
    assert!(error("").contains("write file:./folder"));
    assert!(error("data").contains("write file:./folder"));
    assert!(error("data/a:b").contains("write file:./folder"));
    assert!(error("s3a://bucket").contains("write s3://bucket/prefix"));
    assert!(error("S3://bucket").contains("write s3://bucket/prefix"));
    assert!(error("abfss://container").contains("write az://container/prefix"));
    assert!(error("https://s3.amazonaws.com/bucket").contains("put the endpoint into the settings"));
    assert!(error("ftp://bucket").contains("there are file:, s3:"));
    assert!(error("s3:bucket/prefix").contains("s3://bucket/prefix"));
    assert!(error("s3:///prefix").contains("s3://bucket/prefix"));
    assert!(error("memory://bucket").contains("takes no path"));
}

#[test]
fn should_refuse_folders_that_are_not_here() {
    assert_eq!(parse("file:"), Err(UrlError::NoFolder("file:".to_owned())));
    assert!(matches!(parse("file:a\0b"), Err(UrlError::NoFolder(_))));
    for home in ["~", "~/data", "file:~", "file:~/data", "file:~somebody/data", "~/a:b"] {
        assert_eq!(parse(home), Err(UrlError::Home), "{home}");
    }
    assert!(parse("file:./~/data").is_ok() && parse("file:data/~").is_ok());
    assert!(error("file://server/share").contains("another machine"));
    assert!(error("file://./data").contains("one slash or three"));
    assert!(error("file://localhostage/data").contains("another machine"));
}

#[test]
fn should_refuse_what_cannot_be_a_bucket() {
    for bucket in ["ab", "-bucket", "bucket-", "bu ket", "bückets", "arn:aws:s3", &"b".repeat(223)] {
        let refused = parse(&format!("s3://{bucket}/prefix"));
        assert_eq!(refused, Err(UrlError::Bucket { bucket: bucket.to_owned() }));
    }
}

#[test]
fn should_refuse_secrets_without_repeating_them() {
    for text in [
        "s3://AKIAEXAMPLE:geheim@bucket/prefix",
        "AKIAEXAMPLE:geheim@bucket",
        "AKIA_EXAMPLE:geheim@bucket",
        "file://AKIAEXAMPLE:geheim@server/share",
        "https://AKIAEXAMPLE:geheim@minio:9000",
        "account.blob.core.windows.net/container?sv=1&sig=geheim",
        "https://account.blob.core.windows.net/container?sig=geheim",
        "az://container?sig=geheim",
    ] {
        let said = error(text);
        assert!(said.contains("settings") && !said.contains("geheim") && !said.contains("AKIA"), "{said}");
    }
}

#[test]
fn should_refuse_options() {
    assert_eq!(parse("s3://bucket/prefix?region=eu-west-1"), Err(UrlError::Options('?')));
    assert_eq!(parse("s3://bucket?region=eu-west-1"), Err(UrlError::Options('?')));
    assert_eq!(parse("s3://bucket/prefix#part"), Err(UrlError::Options('#')));
}

#[test]
fn should_refuse_prefixes_that_mean_another_place() {
    for prefix in ["/", "/a", "a//b", "a//"] {
        assert_eq!(
            parse(&format!("s3://bucket/{prefix}")),
            Err(UrlError::EmptySegment { prefix: prefix.to_owned() })
        );
    }
    for prefix in ["..", "../a", "a/..", "a/../b", "./a", "a/."] {
        assert!(matches!(parse(&format!("gs://bucket/{prefix}")), Err(UrlError::Dots { .. })), "{prefix}");
    }
    for prefix in ["a b", "a%2Fb", "a\\b", "a*", "ä", "a\nb", "a\0"] {
        assert!(
            matches!(parse(&format!("az://bucket/{prefix}")), Err(UrlError::Character { .. })),
            "{prefix}"
        );
    }
    assert!(error("az://bucket/a\nb").contains("contains `\\n`"));
    assert_eq!(parse(&format!("s3://bucket/{}", "a".repeat(513))), Err(UrlError::PrefixTooLong(513)));
    assert!(parse(&format!("s3://bucket/{}", "a".repeat(512))).is_ok());
    assert!(parse("s3://bucket/...").is_ok(), "three dots are a name");
}

#[test]
fn should_never_panic_and_print_what_it_accepts() {
    let pieces =
        ["s3", "file", "gs", ":", "/", "//", "bucket", ".", "..", "@", "?", "%", "\0", "ä", "memory", "az"];
    let mut state = 7_u64;
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..6 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push_str(pieces[(state >> 33) as usize % pieces.len()]);
        }
        if let Ok(url) = parse(&text) {
            assert_eq!(parse(&url.to_string()), Ok(url), "{text:?}");
        }
    }
}
