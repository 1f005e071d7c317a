//! A field table.

#![no_main]

use leveret_protocol::table::RawTable;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|entries: &[u8]| {
    // Damaged bytes behind a table that claims to be valid must not hurt either.
    let unchecked = RawTable::new_unchecked_valid(entries);
    let (count, owned) = (unchecked.iter().count(), unchecked.to_table());

    let Ok(raw) = RawTable::validate(entries) else {
        return;
    };
    let table = owned.expect("a valid table has an owned form");
    assert_eq!(table.len(), count);
    for ((name, value), (raw_name, raw_value)) in table.iter().zip(raw.iter()) {
        assert_eq!(
            (name, value.type_name(), value.as_i64()),
            (raw_name, raw_value.type_name(), raw_value.as_i64())
        );
    }
    let (mut first, mut second) = (Vec::new(), Vec::new());
    table.encode_entries(&mut first);
    RawTable::validate(&first).unwrap().to_table().unwrap().encode_entries(&mut second);
    assert_eq!(first, second);
});
