//! A stream of frames.

#![no_main]

use leveret_protocol::frame::{ContentHeader, FrameKind, decode_frame, encode_frame};
use libfuzzer_sys::fuzz_target;

const FRAME_MAX: u32 = 4096;

fuzz_target!(|input: &[u8]| {
    let mut rest = input;
    while let Ok(Some((frame, used))) = decode_frame(rest, FRAME_MAX) {
        let mut out = Vec::new();
        encode_frame(frame.kind, frame.channel, &mut out, |writer| writer.bytes(frame.payload));
        assert_eq!(out, rest[..used]);
        if frame.kind == FrameKind::Header
            && let Ok(header) = ContentHeader::decode(frame.payload)
        {
            let mut out = Vec::new();
            header.encode(frame.channel, &mut out);
            let (again, _) = decode_frame(&out, u32::MAX).unwrap().unwrap();
            assert_eq!(ContentHeader::decode(again.payload).unwrap(), header);
        }
        rest = &rest[used..];
    }
});
