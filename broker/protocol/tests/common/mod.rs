//! Generators of valid wire data, from the method layouts and the owned types.

use leveret_protocol::codec::Writer;
use leveret_protocol::method::Layout;
use leveret_protocol::properties::Properties;
use leveret_protocol::table::{Table, Value};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

/// Text that fits a short string.
pub fn short_text() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-z.#*/ é]{0,12}", 1 => "[a-z]{255}"]
}

/// Values of every type, nested a few levels; NaN is left out because it does not equal itself.
pub fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i8>().prop_map(Value::I8),
        any::<u8>().prop_map(Value::U8),
        any::<i16>().prop_map(Value::I16),
        any::<u16>().prop_map(Value::U16),
        any::<i32>().prop_map(Value::I32),
        any::<u32>().prop_map(Value::U32),
        any::<i64>().prop_map(Value::I64),
        proptest::num::f32::NORMAL.prop_map(Value::F32),
        proptest::num::f64::NORMAL.prop_map(Value::F64),
        (any::<u8>(), any::<u32>()).prop_map(|(scale, value)| Value::Decimal { scale, value }),
        vec(any::<u8>(), 0..20).prop_map(Value::LongString),
        any::<u64>().prop_map(Value::Timestamp),
        Just(Value::Void),
        vec(any::<u8>(), 0..20).prop_map(Value::Bytes),
    ];
    scalar.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            btree_map("[a-z]{1,6}", inner, 0..4)
                .prop_map(|entries| Value::Table(entries.into_iter().collect())),
        ]
    })
}

/// Tables whose names are sorted and unique: the other implementation keeps them in a tree.
pub fn table() -> impl Strategy<Value = Table> {
    btree_map("[a-zA-Z-]{0,10}", value(), 0..5).prop_map(|entries| entries.into_iter().collect())
}

pub fn properties() -> impl Strategy<Value = Properties> {
    let texts = || (option::of(short_text()), option::of(short_text()), option::of(short_text()));
    let numbers = (option::of(any::<u8>()), option::of(any::<u8>()), option::of(any::<u64>()));
    (texts(), texts(), texts(), option::of(short_text()), numbers, option::of(table())).prop_map(
        |(first, second, third, cluster_id, (delivery_mode, priority, timestamp), headers)| Properties {
            content_type: first.0,
            content_encoding: first.1,
            headers,
            delivery_mode,
            priority,
            correlation_id: first.2,
            reply_to: second.0,
            expiration: second.1,
            message_id: second.2,
            timestamp,
            kind: third.0,
            user_id: third.1,
            app_id: third.2,
            cluster_id,
        },
    )
}

/// A method frame's payload: ids, then a random value for every field, zeros for reserved ones.
pub fn method_payload(layout: &'static Layout) -> impl Strategy<Value = Vec<u8>> {
    let field = (any::<u64>(), short_text(), vec(any::<u8>(), 0..40), table());
    vec(field, layout.fields.len()).prop_map(move |values| {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.short(layout.class_id);
        writer.short(layout.method_id);
        for ((name, kind), (mut number, mut text, mut bytes, mut table)) in layout.fields.iter().zip(values) {
            if name.is_empty() {
                (number, text, bytes, table) = Default::default();
            }
            match *kind {
                "octet" => writer.octet(number as u8),
                "short" => writer.short(number as u16),
                "long" => writer.long(number as u32),
                "longlong" => writer.longlong(number),
                "bit" => writer.bit(number & 1 == 1),
                "shortstr" => writer.shortstr(&text),
                "longstr" => writer.longstr(&bytes),
                "table" => writer.length_prefixed(|out| table.encode_entries(out)),
                other => panic!("a kind of field without a generator: {other}"),
            }
        }
        out
    })
}

/// Any method with any fields.
pub fn any_method_payload() -> impl Strategy<Value = Vec<u8>> {
    let layouts: Vec<&'static Layout> = leveret_protocol::method::LAYOUTS.iter().collect();
    proptest::sample::select(layouts).prop_flat_map(method_payload)
}
