//! The property section of a content header.

#![no_main]

use leveret_protocol::properties::PropertiesView;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|raw: &[u8]| {
    let unchecked = PropertiesView::new_unchecked_valid(raw);
    let _ = (unchecked.headers(), unchecked.timestamp(), unchecked.cluster_id(), unchecked.to_properties());

    let Ok(view) = PropertiesView::validate(raw) else {
        return;
    };
    // Strings that are not text are carried along but have no owned form.
    let Ok(properties) = view.to_properties() else {
        return;
    };
    let (mut first, mut second) = (Vec::new(), Vec::new());
    properties.encode(&mut first);
    PropertiesView::validate(&first).unwrap().to_properties().unwrap().encode(&mut second);
    assert_eq!(first, second);
});
