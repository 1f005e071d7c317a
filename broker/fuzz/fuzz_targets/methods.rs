//! The payload of a method frame.

#![no_main]

use leveret_protocol::frame::decode_frame;
use leveret_protocol::method::Method;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|payload: &[u8]| {
    let Ok(method) = Method::decode(payload) else {
        return;
    };
    let mut out = Vec::new();
    method.encode(1, &mut out);
    let (frame, used) = decode_frame(&out, u32::MAX).unwrap().unwrap();
    assert_eq!(used, out.len());
    assert_eq!(Method::decode(frame.payload).unwrap(), method);
});
