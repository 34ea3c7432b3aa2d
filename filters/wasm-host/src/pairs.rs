//! How header maps cross the boundary: a count, the lengths of every name and value, then the
//! names and values themselves, each followed by a zero byte. All numbers are u32, little-endian.

use crate::Headers;

/// The C++ host reads no more than this many bytes of pairs.
pub(crate) const MAX_BYTES: usize = 1024 * 1024;
/// The C++ host reads no more than this many pairs.
pub(crate) const MAX_PAIRS: usize = 1024;

pub(crate) fn encode(headers: &Headers) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 + headers.byte_size() + headers.len() * 10);
    push_length(&mut bytes, headers.len());
    for (name, value) in headers.iter() {
        push_length(&mut bytes, name.len());
        push_length(&mut bytes, value.len());
    }
    for (name, value) in headers.iter() {
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(value);
        bytes.push(0);
    }
    bytes
}

/// Lengths fit: a map holds at most what one guest memory of 4 GiB gave it.
fn push_length(bytes: &mut Vec<u8>, length: usize) {
    bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}

/// Reads what a guest wrote; `None` where it is not exactly one well-formed list of pairs.
pub(crate) fn decode(bytes: &[u8]) -> Option<Headers> {
    if bytes.len() > MAX_BYTES {
        return None;
    }
    let (count, rest) = length(bytes)?;
    if count > MAX_PAIRS {
        return None;
    }
    let (mut lengths, mut text) = rest.split_at_checked(count.checked_mul(8)?)?;
    let mut headers = Headers::new();
    for _ in 0..count {
        let (name_length, after_name) = length(lengths)?;
        let (value_length, after_value) = length(after_name)?;
        lengths = after_value;
        let (name, after_name) = terminated(text, name_length)?;
        let (value, after_value) = terminated(after_name, value_length)?;
        text = after_value;
        headers.append(std::str::from_utf8(name).ok()?, value);
    }
    text.is_empty().then_some(headers)
}

fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    Some((usize::try_from(u32::from_le_bytes(*head)).ok()?, rest))
}

fn terminated(bytes: &[u8], length: usize) -> Option<(&[u8], &[u8])> {
    let (text, rest) = bytes.split_at_checked(length)?;
    let rest = rest.strip_prefix(&[0])?;
    Some((text, rest))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use proptest::prelude::*;

    use super::{decode, encode};
    use crate::Headers;

    #[test]
    fn one_pair_has_the_layout_of_the_abi() {
        let bytes = encode(&Headers::from([("a", "bc")]));
        assert_eq!(bytes, b"\x01\0\0\0\x01\0\0\0\x02\0\0\0a\0bc\0");
    }

    #[test]
    fn a_count_that_the_bytes_do_not_hold_is_refused() {
        assert_eq!(decode(&[255, 255, 255, 255]), None);
        assert_eq!(decode(b"\x02\0\0\0\x01\0\0\0\x02\0\0\0a\0bc\0"), None);
    }

    #[test]
    fn bytes_after_the_last_pair_are_refused() {
        assert_eq!(decode(b"\0\0\0\0x"), None);
        assert_eq!(decode(b"\0\0\0\0"), Some(Headers::new()));
    }

    proptest! {
        #[test]
        fn maps_survive_the_crossing(
            pairs in prop::collection::vec(
                ("[a-z:-]{0,12}", prop::collection::vec(any::<u8>(), 0..40)),
                0..20,
            )
        ) {
            let headers: Headers = pairs.into_iter().collect();
            prop_assert_eq!(decode(&encode(&headers)).unwrap(), headers);
        }

        #[test]
        fn hostile_bytes_are_refused_or_read_never_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200)
        ) {
            if let Some(headers) = decode(&bytes) {
                prop_assert_eq!(encode(&headers).len(), bytes.len());
            }
        }

        #[test]
        fn a_damaged_map_is_refused_or_read_never_a_panic(
            at in 0_usize..60,
            byte in any::<u8>(),
            cut in 0_usize..60,
        ) {
            let headers = Headers::from([("alpha", "1"), ("beta", "two"), ("gamma", "")]);
            let mut bytes = encode(&headers);
            if let Some(target) = bytes.get_mut(at) {
                *target = byte;
            }
            bytes.truncate(cut);
            let _ = decode(&bytes);
        }
    }
}
