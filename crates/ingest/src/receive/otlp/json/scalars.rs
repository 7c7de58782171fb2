//! Single values, in every form that proto3 JSON allows, and ids as OTLP writes them.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::export::SpanFault;

use super::lexer::Lexer;
use super::{Problem, Step, Transcoder};

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const USUAL: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const FOR_URLS: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

const SPAN_KINDS: [&str; 6] = [
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
];
const STATUS_CODES: [&str; 3] = ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];

impl Transcoder<'_> {
    pub(super) fn text(&mut self, field: u32) -> Step {
        let text = self.json.text("a text")?;
        self.out.bytes(field, text.as_bytes());
        Ok(())
    }

    pub(super) fn uint32(&mut self, field: u32) -> Step {
        let count: u32 = self.integer("a number of 32 bits, not negative")?;
        self.out.varint(field, u64::from(count));
        Ok(())
    }

    pub(super) fn fixed32(&mut self, field: u32) -> Step {
        let bits: u32 = self.integer("a number of 32 bits, not negative")?;
        self.out.fixed32(field, bits);
        Ok(())
    }

    pub(super) fn fixed64(&mut self, field: u32) -> Step {
        let time: u64 = self.integer("a number of 64 bits, not negative")?;
        self.out.fixed64(field, time);
        Ok(())
    }

    pub(super) fn int64(&mut self, field: u32) -> Step {
        let int: i64 = self.integer("an integer of 64 bits")?;
        self.out.varint(field, int.cast_unsigned());
        Ok(())
    }

    pub(super) fn bool(&mut self, field: u32) -> Step {
        let flag = self.json.bool()?;
        self.out.varint(field, u64::from(flag));
        Ok(())
    }

    pub(super) fn double(&mut self, field: u32) -> Step {
        const EXPECTED: &str = "a number, \"NaN\", \"Infinity\" or \"-Infinity\"";
        let at = self.json.position();
        let finite = |digits: &str| digits.parse().ok().filter(|double: &f64| double.is_finite());
        let double = if self.json.peek() == b'"' {
            match &*self.json.text(EXPECTED)? {
                "NaN" => Some(f64::NAN),
                "Infinity" => Some(f64::INFINITY),
                "-Infinity" => Some(f64::NEG_INFINITY),
                quoted => whole_number(quoted).and_then(finite),
            }
        } else {
            finite(self.json.number(EXPECTED)?)
        };
        let double = double.ok_or_else(|| Problem::malformed(at, EXPECTED))?;
        self.out.fixed64(field, double.to_bits());
        Ok(())
    }

    /// Bytes as base64, in either alphabet, with or without padding.
    pub(super) fn base64(&mut self, field: u32) -> Step {
        let at = self.json.position();
        let text = self.json.text("bytes as base64")?;
        let engine = if text.contains(['-', '_']) { &FOR_URLS } else { &USUAL };
        let open = self.out.begin(field);
        let decoded = engine.decode_vec(text.as_bytes(), self.out.content());
        decoded.map_err(|_| Problem::malformed(at, "bytes as base64"))?;
        self.out.end(open);
        Ok(())
    }

    /// An id as hexadecimal digits. How long it must be is for the decoder to say.
    pub(super) fn id(&mut self, field: u32, fault: SpanFault) -> Step {
        const EXPECTED: &str = "an id as hexadecimal digits";
        let at = self.json.position();
        let text = self.json.text(EXPECTED).map_err(|_| Problem::new(at, EXPECTED, fault))?;
        let (pairs, odd) = text.as_bytes().as_chunks::<2>();
        let open = self.out.begin(field);
        for [high, low] in pairs {
            let byte = hex_digit(*high).zip(hex_digit(*low)).map(|(high, low)| high << 4 | low);
            self.out.content().push(byte.ok_or_else(|| Problem::new(at, EXPECTED, fault))?);
        }
        if !odd.is_empty() {
            return Err(Problem::new(at, EXPECTED, fault));
        }
        self.out.end(open);
        Ok(())
    }

    pub(super) fn span_kind(&mut self, field: u32) -> Step {
        self.enumeration(field, &SPAN_KINDS, "a span kind")
    }

    pub(super) fn status_code(&mut self, field: u32) -> Step {
        self.enumeration(field, &STATUS_CODES, "a status code")
    }

    /// A number that we do not know is kept, as everywhere in protobuf; a name has no number then.
    fn enumeration(&mut self, field: u32, names: &[&str], expected: &'static str) -> Step {
        let at = self.json.position();
        let number = if self.json.peek() == b'"' {
            let name = self.json.text(expected)?;
            names.iter().position(|known| *known == name).and_then(|number| i32::try_from(number).ok())
        } else {
            integer(self.json.number(expected)?)
        };
        let number: i32 = number.ok_or_else(|| Problem::malformed(at, expected))?;
        self.out.varint(field, i64::from(number).cast_unsigned());
        Ok(())
    }

    /// An integer as a number or as a text.
    fn integer<T>(&mut self, expected: &'static str) -> Result<T, Problem>
    where
        T: std::str::FromStr + TryFrom<i128>,
    {
        let at = self.json.position();
        let found = if self.json.peek() == b'"' {
            whole_number(&self.json.text(expected)?).and_then(integer)
        } else {
            integer(self.json.number(expected)?)
        };
        found.ok_or_else(|| Problem::malformed(at, expected))
    }
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// The text, if it is a JSON number and nothing else.
fn whole_number(text: &str) -> Option<&str> {
    let mut lexer = Lexer::new(text.as_bytes());
    let number = lexer.number("").ok()?;
    (number.len() == text.len()).then_some(number)
}

/// A JSON number as an integer. `1.0` and `12e3` are integers too, and are not rounded on the way.
fn integer<T>(digits: &str) -> Option<T>
where
    T: std::str::FromStr + TryFrom<i128>,
{
    digits.parse().ok().or_else(|| exact_integer(digits)?.try_into().ok())
}

fn exact_integer(digits: &str) -> Option<i128> {
    let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let all = format!("{whole}{fraction}");
    let significant = all.trim_end_matches('0');
    // All zeros: `0`, `-0`, `0.000`, whatever the exponent.
    if significant.is_empty() || significant == "-" {
        return Some(0);
    }
    let zeros = i64::try_from(all.len() - significant.len()).ok()?;
    let shift = exponent.parse::<i64>().ok()?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    let shift = u32::try_from(shift.checked_add(zeros)?).ok()?;
    significant.parse::<i128>().ok()?.checked_mul(10_i128.checked_pow(shift)?)
}
