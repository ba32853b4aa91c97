//! One pass over a reading of a path: whether it is refused, and which steps would change it.

use super::case::{PathCase, split_folded};
use super::step::{Step, is_latin_1_space};
use super::{Ambiguity, Kind, Segment, kind_of};
use crate::http::percent::{is_unreserved, split_encoded};

/// The steps that change a reading.
#[derive(Clone, Copy, Debug, Default)]
pub struct Steps(u16);

impl Steps {
    pub fn contains(self, step: Step) -> bool {
        self.0 & 1 << step as u16 != 0
    }

    fn add(&mut self, step: Step) {
        self.0 |= 1 << step as u16;
    }

    pub fn remove(&mut self, step: Step) {
        self.0 &= !(1 << step as u16);
    }
}

/// What is known of a reading so far.
struct Survey {
    is_sent: bool,
    case: PathCase,
    steps: Steps,
    /// Whether there are encoded bytes other than unreserved characters.
    encodes_others: bool,
    /// Whether a byte outside ASCII has been seen.
    has_high_bytes: bool,
}

/// Surveys a reading. Encoded bytes are judged in the reading that decodes them.
///
/// `is_sent`: the reading is the path as the client sent it. Then each `%` needs two digits. Later readings may have a
/// bare `%`: `/100%25` is well-formed, and decodes to a path that ends with one.
///
/// # Errors
///
/// If the reading is refused.
pub fn survey(path: &[u8], is_sent: bool, case: PathCase) -> Result<Steps, Ambiguity> {
    let [b'/', segments @ ..] = path else { return Err(Ambiguity::NotAbsolute) };
    if segments.starts_with(b"/") {
        return Err(Ambiguity::LeadingSlashes);
    }
    let mut survey = Survey { is_sent, case, steps: Steps::default(), encodes_others: false, has_high_bytes: false };
    let mut segment = Segment::Empty;
    let mut rest = segments;
    while let Some((byte, after)) = rest.split_first() {
        segment = match (kind_of(*byte), segment) {
            (Kind::Slash, Segment::Dot | Segment::Dots) => return Err(Ambiguity::DotSegment),
            (Kind::Slash, segment) => {
                survey.slash(segment);
                Segment::Empty
            }
            (Kind::Dot, Segment::Empty) => Segment::Dot,
            (Kind::Dot, Segment::Dot) => Segment::Dots,
            (Kind::Plain | Kind::Dot, _) => Segment::Named,
            (Kind::Other, _) => {
                survey.other(rest)?;
                Segment::Named
            }
        };
        rest = after;
    }
    if matches!(segment, Segment::Dot | Segment::Dots) {
        return Err(Ambiguity::DotSegment);
    }
    Ok(survey.finish(path))
}

impl Survey {
    fn slash(&mut self, segment: Segment) {
        if matches!(segment, Segment::Empty) {
            self.steps.add(Step::MergeSlashes);
        }
        // Without a segment after the parameters, a cut at `;` is the same as dropping them.
        if self.steps.contains(Step::DropParameters) {
            self.steps.add(Step::CutParameters);
        }
    }

    /// A byte at the start of `rest` that is not plain.
    fn other(&mut self, rest: &[u8]) -> Result<(), Ambiguity> {
        match rest {
            [b'%', after @ ..] => return self.percent(rest, after),
            [b'\\', ..] => self.steps.add(Step::TurnBackslashes),
            [b';', ..] => self.steps.add(Step::DropParameters),
            [b'?', ..] => self.steps.add(Step::CutQuery),
            [b'#', ..] => self.steps.add(Step::CutFragment),
            [0x80..=0xff, ..] => return self.high(rest),
            [byte, ..] if byte.is_ascii_control() => return Err(Ambiguity::ControlCharacter),
            _ => {}
        }
        Ok(())
    }

    fn percent(&mut self, rest: &[u8], after: &[u8]) -> Result<(), Ambiguity> {
        match split_encoded(rest) {
            Some((byte, _)) => {
                self.steps.add(Step::Decode);
                if is_unreserved(byte) {
                    self.steps.add(Step::DecodeUnreserved);
                } else {
                    self.encodes_others = true;
                }
                Ok(())
            }
            None if self.is_sent || is_utf_16(after) => Err(Ambiguity::MalformedPercent),
            None => Ok(()),
        }
    }

    /// A byte outside ASCII.
    ///
    /// A decoder that accepts an overlong sequence often ignores whether valid continuation bytes follow, so they are
    /// not looked at. The last two patterns start sequences of five and six bytes, which older decoders accept.
    fn high(&mut self, rest: &[u8]) -> Result<(), Ambiguity> {
        if matches!(
            rest,
            [0xc0 | 0xc1, ..] | [0xe0, ..=0x9f, ..] | [0xf0, ..=0x8f, ..] | [0xf8, ..=0x87, ..] | [0xfc, ..=0x83, ..]
        ) {
            return Err(Ambiguity::OverlongUtf8);
        }
        self.has_high_bytes = true;
        if self.case == PathCase::Ignore && split_folded(rest).is_some() {
            self.steps.add(Step::FoldCase);
        }
        Ok(())
    }

    fn finish(mut self, path: &[u8]) -> Steps {
        if !self.encodes_others {
            // It would be the same as decoding all.
            self.steps.remove(Step::DecodeUnreserved);
        }
        if self.has_high_bytes && std::str::from_utf8(path).is_err() {
            self.steps.add(Step::DropInvalidUtf8);
        }
        // Only the path as sent is part of a request line.
        if self.is_sent && path.last().is_some_and(|byte| is_latin_1_space(*byte)) {
            self.steps.add(Step::TrimLatin1Spaces);
        }
        self.steps
    }
}

/// Whether `uXXXX` follows a percent sign. IIS and Jetty decode `%u002e`, which RFC 3986 does not have.
fn is_utf_16(after: &[u8]) -> bool {
    let [b'u' | b'U', a, b, c, d, ..] = after else { return false };
    [a, b, c, d].into_iter().all(u8::is_ascii_hexdigit)
}
