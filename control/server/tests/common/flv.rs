//! FLV read and written in a few lines of its own, so that the server's code is not measured by itself.

use std::io::{self, Read, Write};

pub const AUDIO: u8 = 8;
pub const VIDEO: u8 = 9;
pub const SCRIPT: u8 = 18;

/// One tag.
#[derive(Clone, PartialEq, Eq)]
pub struct Tag {
    pub kind: u8,
    /// Milliseconds.
    pub ms: u32,
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let head = &self.body[..self.body.len().min(8)];
        write!(f, "{}@{} {} bytes {head:02x?}", self.kind, self.ms, self.body.len())
    }
}

impl Tag {
    fn is_enhanced_video(&self) -> bool {
        self.kind == VIDEO && self.body[0] & 0x80 != 0
    }

    /// A decoder configuration.
    pub fn is_config(&self) -> bool {
        match (self.kind, self.body.as_slice()) {
            (VIDEO, [first, ..]) if first & 0x80 != 0 => first & 15 == 0,
            (VIDEO, [first, second, ..]) => matches!(first & 15, 7 | 12) && *second == 0,
            (AUDIO, [first, ..]) if first >> 4 == 9 => first & 15 == 0,
            (AUDIO, [first, second, ..]) => first >> 4 == 10 && *second == 0,
            _ => false,
        }
    }

    /// Sound or picture, and neither a configuration nor one of the notes of Enhanced RTMP.
    pub fn is_frame(&self) -> bool {
        match (self.kind, self.body.as_slice()) {
            (AUDIO | VIDEO, []) | (SCRIPT, _) => false,
            (AUDIO, [first, ..]) if first >> 4 == 9 => first & 15 == 1,
            (VIDEO, [first, ..]) if first & 0x80 != 0 => matches!(first & 15, 1 | 3),
            (VIDEO, [first, 2, ..]) if matches!(first & 15, 7 | 12) => false,
            _ => !self.is_config(),
        }
    }

    /// A picture that a decoder can start at.
    pub fn is_keyframe(&self) -> bool {
        self.kind == VIDEO && self.is_frame() && self.body[0] >> 4 & 7 == 1
    }

    /// The coded bytes alone, without what the form of the tag puts before them, and the composition time.
    pub fn coded(&self) -> (&[u8], i32) {
        let composition =
            |at: usize| i32::from_be_bytes([self.body[at], self.body[at + 1], self.body[at + 2], 0]) >> 8;
        let body = self.body.as_slice();
        if self.is_enhanced_video() {
            let timed = body[0] & 15 == 1 && [b"avc1", b"hvc1", b"vvc1"].iter().any(|cc| &body[1..5] == *cc);
            return if timed { (&body[8..], composition(5)) } else { (&body[5..], 0) };
        }
        match (self.kind, body[0]) {
            (VIDEO, first) if matches!(first & 15, 7 | 12) => (&body[5..], composition(2)),
            (AUDIO, first) if first >> 4 == 9 => (&body[5..], 0),
            (AUDIO, first) if first >> 4 == 10 => (&body[2..], 0),
            _ => (&body[1..], 0),
        }
    }
}

/// Tags of a whole file; what is cut off at the end is left out.
pub fn parse(bytes: &[u8]) -> Vec<Tag> {
    let mut reader = Reader::new(bytes).unwrap();
    std::iter::from_fn(|| reader.next().ok()).collect()
}

/// Header and tags.
pub fn write(out: &mut impl Write, tags: &[Tag]) {
    out.write_all(&header(tags)).unwrap();
    for tag in tags {
        out.write_all(&tag_bytes(tag)).unwrap();
    }
}

/// The header with its PreviousTagSize.
pub fn header(tags: &[Tag]) -> Vec<u8> {
    let flag = |kind: u8, bit: u8| if tags.iter().any(|tag| tag.kind == kind) { bit } else { 0 };
    let flags = flag(AUDIO, 4) | flag(VIDEO, 1);
    vec![b'F', b'L', b'V', 1, flags, 0, 0, 0, 9, 0, 0, 0, 0]
}

/// A tag with its PreviousTagSize.
pub fn tag_bytes(tag: &Tag) -> Vec<u8> {
    let size = u32::try_from(tag.body.len()).unwrap();
    let ([_, s0, s1, s2], [t3, t0, t1, t2]) = (size.to_be_bytes(), tag.ms.to_be_bytes());
    let mut bytes = vec![tag.kind, s0, s1, s2, t0, t1, t2, t3, 0, 0, 0];
    bytes.extend_from_slice(&tag.body);
    bytes.extend_from_slice(&(size + 11).to_be_bytes());
    bytes
}

/// Reads tag after tag.
pub struct Reader<R> {
    from: R,
    /// The header's flags.
    pub flags: u8,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    pub fn new(mut from: R) -> io::Result<Self> {
        let mut header = [0; 13];
        from.read_exact(&mut header)?;
        assert_eq!(&header[..4], b"FLV\x01", "no FLV: {header:?}");
        assert_eq!(&header[5..], [0, 0, 0, 9, 0, 0, 0, 0], "{header:?}");
        Ok(Self { from, flags: header[4] })
    }

    /// The next tag; checks what stands around it.
    pub fn next(&mut self) -> io::Result<Tag> {
        let mut head = [0; 11];
        self.from.read_exact(&mut head)?;
        let [kind, s0, s1, s2, t0, t1, t2, t3, i0, i1, i2] = head;
        assert!(matches!(kind, AUDIO | VIDEO | SCRIPT), "tag of kind {kind}");
        assert_eq!((i0, i1, i2), (0, 0, 0), "stream id");
        let size = u32::from_be_bytes([0, s0, s1, s2]);
        let mut body = vec![0; size as usize];
        self.from.read_exact(&mut body)?;
        let mut previous = [0; 4];
        self.from.read_exact(&mut previous)?;
        assert_eq!(u32::from_be_bytes(previous), size + 11, "PreviousTagSize");
        Ok(Tag { kind, ms: u32::from_be_bytes([t3, t0, t1, t2]), body })
    }
}

/// That `seen` is `sent` from some point on to its end: the same coded bytes of each kind in the same order, the stamps
/// apart by one offset. `missing`: how many pictures may be missing at the start; sound from before the first picture
/// may be missing too. Answers with the offset.
#[track_caller]
pub fn assert_same_frames(sent: &[Tag], seen: &[Tag], missing: usize, who: &str) -> i64 {
    let mut offset = None;
    let first_picture = seen.iter().find(|tag| tag.kind == VIDEO && tag.is_frame());
    assert!(first_picture.is_none_or(Tag::is_keyframe), "{who}: starts in the middle of a GOP");
    for kind in [VIDEO, AUDIO] {
        let of = |tags: &[Tag]| -> Vec<Tag> {
            tags.iter().filter(|tag| tag.kind == kind && tag.is_frame()).cloned().collect()
        };
        let (sent, seen) = (of(sent), of(seen));
        let Some(skipped) = sent.len().checked_sub(seen.len()) else {
            panic!("{who}: {} frames of kind {kind} for {}", seen.len(), sent.len());
        };
        assert!(sent.is_empty() || !seen.is_empty(), "{who}: no frames of kind {kind}");
        assert!(kind == AUDIO || skipped <= missing, "{who}: {skipped} pictures are missing");
        for (at, (sent, seen)) in sent[skipped..].iter().zip(&seen).enumerate() {
            assert!(
                sent.coded() == seen.coded(),
                "{who}: frame {at} of kind {kind}: {sent:?} became {seen:?}"
            );
            let step = i64::from(seen.ms) - i64::from(sent.ms);
            let offset = *offset.get_or_insert(step);
            assert_eq!(
                step, offset,
                "{who}: stamp of frame {at} of kind {kind}: {} became {}",
                sent.ms, seen.ms
            );
        }
        let (Some(first), Some(last)) = (seen.first(), seen.last()) else { continue };
        assert!(first.ms <= last.ms);
    }
    offset.unwrap_or(0)
}

/// That no stamp of a kind goes back.
#[track_caller]
pub fn assert_never_back(tags: &[Tag], who: &str) {
    for kind in [VIDEO, AUDIO] {
        let frames: Vec<&Tag> = tags.iter().filter(|tag| tag.kind == kind && tag.is_frame()).collect();
        for pair in frames.windows(2) {
            assert!(pair[0].ms <= pair[1].ms, "{who}: {} after {}", pair[1].ms, pair[0].ms);
        }
    }
}

/// That the coded bytes of `seen` are those of `sent` from some picture on, whatever their stamps.
#[track_caller]
pub fn assert_same_coded(sent: &[Tag], seen: &[Tag], missing: usize, who: &str) {
    for kind in [VIDEO, AUDIO] {
        let of = |tags: &[Tag]| -> Vec<Vec<u8>> {
            tags.iter()
                .filter(|tag| tag.kind == kind && tag.is_frame())
                .map(|tag| tag.coded().0.to_vec())
                .collect()
        };
        let (sent, seen) = (of(sent), of(seen));
        let Some(skipped) = sent.len().checked_sub(seen.len()) else {
            panic!("{who}: {} frames of kind {kind} for {}", seen.len(), sent.len());
        };
        assert!(kind == AUDIO || skipped <= missing, "{who}: {skipped} pictures are missing");
        let differs = sent[skipped..].iter().zip(&seen).position(|(sent, seen)| sent != seen);
        assert_eq!(differs, None, "{who}: frames of kind {kind} differ");
    }
}
