//! Avro's binary form: numbers, lengths, blocks. What is written, and by which schema, is not known here.

/// Appends an Avro `int` or `long`: zigzag, then seven bits a byte, the lowest first.
#[inline]
pub(super) fn push_long(out: &mut Vec<u8>, value: i64) {
    let mut rest = zigzag(value);
    while rest > 0x7f {
        out.push(low_bits(rest) | 0x80);
        rest >>= 7;
    }
    out.push(low_bits(rest));
}

fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

fn low_bits(value: u64) -> u8 {
    value.to_le_bytes()[0] & 0x7f
}

/// Appends the length of what follows, in bytes or items.
#[inline]
pub(super) fn push_length(out: &mut Vec<u8>, length: usize) {
    push_long(out, i64::try_from(length).expect("a length fits"));
}

/// Appends an Avro `bytes` or `string`.
#[inline]
pub(super) fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    push_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// The length of something whose length is known at its end only. A length below 64 is a byte: room for that is
/// left, and what is longer is moved once.
pub(super) struct Length {
    place: usize,
}

impl Length {
    pub(super) fn begin(out: &mut Vec<u8>) -> Self {
        let place = out.len();
        out.push(0);
        Self { place }
    }

    /// Says how long it was, in bytes or items.
    pub(super) fn end(self, out: &mut Vec<u8>, length: usize) {
        if let Ok(short @ 0..64) = u8::try_from(length) {
            out[self.place] = short << 1;
        } else {
            let mut bytes = Vec::new();
            push_length(&mut bytes, length);
            out.splice(self.place..=self.place, bytes);
        }
    }

    /// How many bytes were appended since it began.
    pub(super) fn bytes(&self, out: &[u8]) -> usize {
        out.len() - self.place - 1
    }

    /// Ends an array or a map of so many items, which are one block, and then none.
    pub(super) fn end_blocks(self, out: &mut Vec<u8>, items: usize) {
        self.end(out, items);
        if items > 0 {
            out.push(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longs_are_those_of_the_avro_specification() {
        for (value, bytes) in [
            (0, &[0][..]),
            (-1, &[1]),
            (1, &[2]),
            (-2, &[3]),
            (-64, &[0x7f]),
            (64, &[0x80, 1]),
            (8192, &[0x80, 0x80, 1]),
            (
                i64::MAX,
                &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            ),
            (
                i64::MIN,
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            ),
        ] {
            let mut out = Vec::new();
            push_long(&mut out, value);
            assert_eq!(out, bytes, "{value}");
        }
    }

    #[test]
    fn a_length_stands_before_what_it_counts() {
        for (items, head) in [
            (0, &[0][..]),
            (1, &[2]),
            (63, &[126]),
            (64, &[0x80, 1]),
            (1000, &[0xd0, 0x0f]),
        ] {
            let mut out = vec![7];
            let block = Length::begin(&mut out);
            out.extend(std::iter::repeat_n(9, items));
            assert_eq!(block.bytes(&out), items);
            block.end_blocks(&mut out, items);
            let end: &[u8] = if items == 0 { &[] } else { &[0] };
            assert_eq!(out, [&[7], head, &vec![9; items], end].concat(), "{items}");
        }
    }
}
