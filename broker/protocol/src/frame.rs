//! Frames: the unit that everything on a connection travels in, and the two that carry content.

use crate::codec::{Reader, Writer};
use crate::error::DecodeError;

/// One frame, borrowed from the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    pub kind: FrameKind,
    pub channel: u16,
    pub payload: &'a [u8],
}

/// What a frame's payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    Method = 1,
    Header = 2,
    Body = 3,
    Heartbeat = 8,
}

impl FrameKind {
    #[inline]
    fn from_octet(octet: u8) -> Option<FrameKind> {
        Some(match octet {
            1 => FrameKind::Method,
            2 => FrameKind::Header,
            3 => FrameKind::Body,
            8 => FrameKind::Heartbeat,
            _ => return None,
        })
    }
}

/// Takes one frame off the front of `input`, with the number of bytes it occupies; `None` when more are needed.
///
/// A payload may exceed `frame_max - 8` by up to 8 bytes, as RabbitMQ tolerates: some clients forget to count the
/// frame's own overhead. Kind and size are checked before the rest arrives.
#[inline]
pub fn decode_frame(input: &[u8], frame_max: u32) -> Result<Option<(Frame<'_>, usize)>, DecodeError> {
    let Some(&[kind, c0, c1, s0, s1, s2, s3]) = input.first_chunk::<7>() else {
        return match input.first() {
            Some(&kind) if FrameKind::from_octet(kind).is_none() => Err(UNKNOWN_KIND),
            _ => Ok(None),
        };
    };
    let Some(kind) = FrameKind::from_octet(kind) else {
        return Err(UNKNOWN_KIND);
    };
    let payload_len = u32::from_be_bytes([s0, s1, s2, s3]);
    if payload_len > frame_max {
        return Err(DecodeError::frame("frame is larger than the negotiated frame_max", 3));
    }
    let end = 7 + payload_len as usize;
    match input.get(end) {
        None => Ok(None),
        Some(&FRAME_END) => {
            let frame = Frame { kind, channel: u16::from_be_bytes([c0, c1]), payload: &input[7..end] };
            Ok(Some((frame, end + 1)))
        }
        Some(_) => Err(DecodeError::frame("frame does not end with 0xCE", end)),
    }
}

const UNKNOWN_KIND: DecodeError =
    DecodeError { code: crate::reply_code::ReplyCode::FrameError, what: "unknown frame type", offset: 0 };

/// Appends a frame whose payload `fill` appends.
#[inline]
pub fn encode_frame(kind: FrameKind, channel: u16, out: &mut Vec<u8>, fill: impl FnOnce(&mut Writer<'_>)) {
    let start = out.len();
    let [c0, c1] = channel.to_be_bytes();
    out.extend_from_slice(&[kind as u8, c0, c1, 0, 0, 0, 0]);
    fill(&mut Writer::new(out));
    let payload_len = (out.len() - start - 7) as u32;
    out[start + 3..start + 7].copy_from_slice(&payload_len.to_be_bytes());
    out.push(FRAME_END);
}

/// Appends a heartbeat.
pub fn encode_heartbeat(out: &mut Vec<u8>) {
    out.extend_from_slice(&[FrameKind::Heartbeat as u8, 0, 0, 0, 0, 0, 0, FRAME_END]);
}

/// The payload of a header frame: announces a body and carries the properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentHeader<'a> {
    pub class_id: u16,
    pub body_size: u64,
    /// Flag words and fields, not looked into.
    pub properties: &'a [u8],
}

impl<'a> ContentHeader<'a> {
    /// Reads the fixed part; the properties are whatever follows it.
    #[inline]
    pub fn decode(payload: &'a [u8]) -> Result<ContentHeader<'a>, DecodeError> {
        let mut reader = Reader::new(payload);
        let class_id = reader.short()?;
        // RabbitMQ ignores the weight, which the specification wants to be zero.
        let _weight = reader.short()?;
        let body_size = reader.longlong()?;
        Ok(ContentHeader { class_id, body_size, properties: reader.rest() })
    }

    /// Appends the whole frame.
    #[inline]
    pub fn encode(&self, channel: u16, out: &mut Vec<u8>) {
        let [c0, c1] = channel.to_be_bytes();
        let [l0, l1, l2, l3] = (12 + self.properties.len() as u32).to_be_bytes();
        let [k0, k1] = self.class_id.to_be_bytes();
        let [b0, b1, b2, b3, b4, b5, b6, b7] = self.body_size.to_be_bytes();
        out.extend_from_slice(&[
            FrameKind::Header as u8,
            c0,
            c1,
            l0,
            l1,
            l2,
            l3, //
            k0,
            k1,
            0,
            0,
            b0,
            b1,
            b2,
            b3,
            b4,
            b5,
            b6,
            b7,
        ]);
        out.extend_from_slice(self.properties);
        out.push(FRAME_END);
    }
}

/// Appends `body` as body frames of at most `frame_max - 8` bytes of payload each; nothing for an empty body.
///
/// A `frame_max` of 0 means no limit.
#[inline]
pub fn encode_body(channel: u16, body: &[u8], frame_max: u32, out: &mut Vec<u8>) {
    let payload_max = match frame_max {
        0 => u32::MAX as usize,
        limit => (limit as usize).saturating_sub(FRAME_OVERHEAD).max(1),
    };
    let [c0, c1] = channel.to_be_bytes();
    for part in body.chunks(payload_max) {
        let [l0, l1, l2, l3] = (part.len() as u32).to_be_bytes();
        out.extend_from_slice(&[FrameKind::Body as u8, c0, c1, l0, l1, l2, l3]);
        out.extend_from_slice(part);
        out.push(FRAME_END);
    }
}

/// The octet that ends every frame.
pub const FRAME_END: u8 = 0xCE;

/// Bytes of a frame that are not payload.
pub const FRAME_OVERHEAD: usize = 8;

/// What a client sends first.
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\x00\x00\x09\x01";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FRAME_MAX: u32 = 4096;

    #[test]
    fn a_frame_is_taken_off_the_front() {
        let input = b"\x01\x00\x02\x00\x00\x00\x03abc\xCErest";
        let (frame, used) = decode_frame(input, FRAME_MAX).unwrap().unwrap();
        assert_eq!(frame, Frame { kind: FrameKind::Method, channel: 2, payload: b"abc" });
        assert_eq!(used, 11);
    }

    #[test]
    fn incomplete_frames_ask_for_more() {
        let whole = b"\x03\xFF\xFF\x00\x00\x00\x02hi\xCE";
        for len in 0..whole.len() {
            assert_eq!(decode_frame(&whole[..len], FRAME_MAX), Ok(None), "{len} bytes");
        }
        assert!(decode_frame(whole, FRAME_MAX).unwrap().is_some());
    }

    #[test]
    fn broken_frames_are_frame_errors() {
        fn check(input: &[u8], what: &str) {
            let error = decode_frame(input, FRAME_MAX).unwrap_err();
            assert_eq!((error.code.code(), error.what), (501, what));
        }
        check(b"\x00", "unknown frame type");
        check(b"\x04\x00\x00\x00\x00\x00\x00\xCE", "unknown frame type");
        check(b"GET / HTTP/1.1", "unknown frame type");
        check(b"\x01\x00\x00\x00\x00\x00\x00\xCD", "frame does not end with 0xCE");
        check(b"\x01\x00\x00\x00\x00\x10\x01", "frame is larger than the negotiated frame_max");
        check(b"\x01\x00\x00\xFF\xFF\xFF\xFF", "frame is larger than the negotiated frame_max");
    }

    #[test]
    fn a_payload_may_exceed_its_limit_by_the_frame_overhead() {
        let mut input = b"\x03\x00\x01\x00\x00\x10\x00".to_vec();
        input.resize(7 + 4096, 0);
        input.push(FRAME_END);
        assert_eq!(decode_frame(&input, FRAME_MAX).unwrap().unwrap().1, 4096 + 8);
    }

    #[test]
    fn bodies_are_split_at_the_limit() {
        fn check(body_len: usize, expected: &[usize]) {
            let mut out = Vec::new();
            encode_body(1, &vec![7; body_len], FRAME_MAX, &mut out);
            let mut lens = Vec::new();
            let mut rest = &out[..];
            while let Some((frame, used)) = decode_frame(rest, FRAME_MAX).unwrap() {
                assert_eq!((frame.kind, frame.channel), (FrameKind::Body, 1));
                lens.push(frame.payload.len());
                rest = &rest[used..];
            }
            assert_eq!(lens, expected);
        }
        check(0, &[]);
        check(1, &[1]);
        check(4088, &[4088]);
        check(4089, &[4088, 1]);
        check(8177, &[4088, 4088, 1]);
    }

    #[test]
    fn header_frame_bytes() {
        let mut out = Vec::new();
        ContentHeader { class_id: 60, body_size: 5, properties: &[0x10, 0, 2] }.encode(3, &mut out);
        assert_eq!(
            out,
            b"\x02\x00\x03\x00\x00\x00\x0F\x00\x3C\x00\x00\x00\x00\x00\x00\x00\x00\x00\x05\x10\x00\x02\xCE"
        );
    }

    #[test]
    fn heartbeat_bytes() {
        let mut out = Vec::new();
        encode_heartbeat(&mut out);
        let (frame, used) = decode_frame(&out, FRAME_MAX).unwrap().unwrap();
        assert_eq!((frame.kind, frame.channel, frame.payload, used), (FrameKind::Heartbeat, 0, &[][..], 8));
    }

    proptest! {
        #[test]
        fn headers_come_back(body_size: u64, properties: Vec<u8>, channel: u16) {
            let header = ContentHeader { class_id: 60, body_size, properties: &properties };
            let mut out = Vec::new();
            header.encode(channel, &mut out);
            let (frame, used) = decode_frame(&out, u32::MAX).unwrap().unwrap();
            prop_assert_eq!((frame.kind, frame.channel, used), (FrameKind::Header, channel, out.len()));
            prop_assert_eq!(ContentHeader::decode(frame.payload).unwrap(), header);
        }

        #[test]
        fn bodies_come_back(body: Vec<u8>, channel: u16, frame_max in 9u32..64) {
            let mut out = Vec::new();
            encode_body(channel, &body, frame_max, &mut out);
            let mut rest = &out[..];
            let mut joined = Vec::new();
            while let Some((frame, used)) = decode_frame(rest, frame_max).unwrap() {
                prop_assert!(used <= frame_max as usize);
                joined.extend_from_slice(frame.payload);
                rest = &rest[used..];
            }
            prop_assert_eq!(joined, body);
        }

        #[test]
        fn arbitrary_bytes_never_panic(input: Vec<u8>, frame_max: u32) {
            if let Ok(Some((frame, used))) = decode_frame(&input, frame_max) {
                prop_assert!(used <= input.len());
                let _ = ContentHeader::decode(frame.payload);
            }
            let _ = ContentHeader::decode(&input);
        }
    }
}
