//! Writes the inputs that the corpora began with: `cargo run --example seeds --no-default-features`.

use std::path::Path;

use siltstone_fuzz::samples::{block, group, sample_block, sample_group};

fn main() -> std::io::Result<()> {
    let write = |target: &str, name: &str, bytes: &[u8]| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(name), bytes)
    };
    let (small, usual) = (block(1), sample_block());
    for (name, bytes) in [
        ("spans_of_one", &small.spans),
        ("origins_of_one", &small.origins),
        ("spans", &usual.spans),
        ("origins", &usual.origins),
    ] {
        write("block_open", name, bytes)?;
    }
    write("block_open", "spans_cut_off", &usual.spans[..usual.spans.len() / 2])?;
    write("block_open", "empty", &[])?;

    let metadata = usual.summary.spans.metadata_offset as u16;
    for (name, choice, place) in [
        ("first_byte", 0, 4),
        ("in_a_page", 4, 700),
        ("in_the_metadata", 8, metadata + 9),
        ("in_the_origins", 1, usual.summary.origins.origins_offset as u16 + 40),
        ("nowhere", 12, u16::MAX),
    ] {
        let [low, high] = place.to_le_bytes();
        write("block_trace", name, &[choice, low, high, 1, 0, 0, 0x80])?;
    }
    write("block_trace", "cut_off", &[2, 0, 4])?;
    write("block_trace", "unharmed", &[])?;

    write("filter", "group", &sample_group().bytes)?;
    write("filter", "group_of_one", &group(1).bytes)?;
    write("filter", "filter", &[&[0][..], &[0x5a; 128]].concat())?;
    write("filter", "damage", &[0, 90, 0, 0xff, 0, 0, 0])?;

    for (name, text) in [
        ("map", r#"{"a":[1,-2.5e300,true,null,"ä\u0000"],"b":{"$$":{"$bytes":"AAE="}},"b":[]}"#),
        ("double", r#"[{"$double":"7ff8000000000001"},-0.0,1e23,0.1]"#),
        ("large", "[9223372036854775807,-9223372036854775808,18446744073709551616]"),
        ("nan", "NaN(0xfff8000000000000)"),
        ("int", "-72"),
        ("base64", "AAEC/w=="),
        ("unknown_key", r#"{"$odd":1}"#),
        ("deep", &format!("{}{}", "[".repeat(60), "]".repeat(60))),
    ] {
        write("attribute_json", name, text.as_bytes())?;
    }
    Ok(())
}
