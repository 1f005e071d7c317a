//! What is encoded decodes to the same, and nothing that is decoded panics.

mod common;

use leveret_protocol::frame::decode_frame;
use leveret_protocol::method::Method;
use leveret_protocol::properties::PropertiesView;
use leveret_protocol::table::RawTable;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tables(table in common::table()) {
        let mut entries = Vec::new();
        table.encode_entries(&mut entries);
        let raw = RawTable::validate(&entries).unwrap();
        prop_assert_eq!(raw.to_table().unwrap(), table.clone());
        for (name, value) in table.iter() {
            let found = raw.get(name).unwrap();
            prop_assert_eq!(found.to_value().unwrap(), value.clone());
            prop_assert_eq!(found.type_name(), value.type_name());
            prop_assert_eq!(found.as_i64(), value.as_i64());
        }
        let json = serde_json::to_string(&table).unwrap();
        prop_assert_eq!(serde_json::from_str::<leveret_protocol::table::Table>(&json).unwrap(), table);
    }

    #[test]
    fn properties(properties in common::properties()) {
        let mut raw = Vec::new();
        properties.encode(&mut raw);
        let view = PropertiesView::validate(&raw).unwrap();
        prop_assert_eq!(view.expiration(), properties.expiration.as_deref());
        prop_assert_eq!(view.cluster_id(), properties.cluster_id.as_deref());
        prop_assert_eq!(view.priority(), properties.priority);
        prop_assert_eq!(view.to_properties().unwrap(), properties);
        for len in 0..raw.len() {
            prop_assert!(PropertiesView::validate(&raw[..len]).is_err(), "cut to {} bytes", len);
        }
    }

    #[test]
    fn methods(payload in common::any_method_payload(), channel: u16) {
        let method = Method::decode(&payload).unwrap();
        let mut out = Vec::new();
        method.encode(channel, &mut out);
        let (frame, used) = decode_frame(&out, u32::MAX).unwrap().unwrap();
        prop_assert_eq!((frame.channel, used), (channel, out.len()));
        prop_assert_eq!(frame.payload, &payload[..]);
        for len in 0..payload.len() {
            prop_assert!(Method::decode(&payload[..len]).is_err(), "cut to {} bytes", len);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, layout in 0..leveret_protocol::method::LAYOUTS.len()) {
        let _ = RawTable::validate(&bytes).map(|table| table.to_table().unwrap());
        let unchecked = RawTable::new_unchecked_valid(&bytes);
        let _ = (unchecked.iter().count(), unchecked.to_table(), format!("{unchecked:?}"));
        let _ = PropertiesView::validate(&bytes);
        let view = PropertiesView::new_unchecked_valid(&bytes);
        let _ = (view.headers(), view.timestamp(), view.cluster_id(), view.to_properties());
        let layout = leveret_protocol::method::LAYOUTS[layout];
        let ids = [layout.class_id.to_be_bytes(), layout.method_id.to_be_bytes()].concat();
        let _ = Method::decode(&bytes);
        let _ = Method::decode(&[ids, bytes].concat());
    }
}
