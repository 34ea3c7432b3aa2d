//! Ids for requests: UUIDv7 (RFC 9562, section 5.7).

use uuid::{Builder, Uuid};

const NANOS_PER_MILLISECOND: u64 = 1_000_000;

/// Makes the ids of one VM. Each VM seeds its own generator from the operating system, and each id
/// carries 74 of its bits, so two VMs make the same id as good as never.
///
/// The generator is xoshiro256++ (Blackman and Vigna, "Scrambled linear pseudorandom number
/// generators", 2021). The ids must be unique and are no secret.
#[derive(Debug)]
pub(crate) struct RequestIds {
    state: [u64; 4],
}

impl RequestIds {
    pub(crate) fn seeded(seed: [u8; 32]) -> Self {
        let mut state = [0; 4];
        for (word, bytes) in state.iter_mut().zip(seed.chunks_exact(8)) {
            *word = bytes.iter().fold(0, |word, byte| (word << 8) | u64::from(*byte));
        }
        // The one state that the generator cannot leave.
        if state == [0; 4] {
            state = [1; 4];
        }
        Self { state }
    }

    /// The id of a request that arrived at `now` (Unix nanoseconds), in its text form.
    pub(crate) fn next(&mut self, now: u64) -> String {
        let mut random = [0; 10];
        let [a, b] = [self.random(), self.random()];
        for (to, from) in random.iter_mut().zip(a.to_le_bytes().into_iter().chain(b.to_le_bytes()))
        {
            *to = from;
        }
        let millis = now / NANOS_PER_MILLISECOND;
        let id = Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
        id.hyphenated().encode_lower(&mut Uuid::encode_buffer()).to_owned()
    }

    fn random(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::collections::HashSet;

    use uuid::Variant;

    use super::*;

    const NOW: u64 = 1_780_000_000_123_456_789;

    #[test]
    fn an_id_is_a_uuid_of_version_7_that_says_when() {
        let id: Uuid = RequestIds::seeded([7; 32]).next(NOW).parse().unwrap();
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(id.get_variant(), Variant::RFC4122);
        assert_eq!(id.as_u128() >> 80, 1_780_000_000_123);
    }

    #[test]
    fn ids_of_several_vms_in_one_instant_are_unique() {
        let mut seen = HashSet::new();
        for vm in 0..4 {
            let mut ids = RequestIds::seeded([vm; 32]);
            for _ in 0..25_000 {
                assert!(seen.insert(ids.next(NOW)));
            }
        }
    }

    #[test]
    fn a_seed_of_zeros_still_gives_ids() {
        let mut ids = RequestIds::seeded([0; 32]);
        assert_ne!(ids.next(NOW), ids.next(NOW));
    }

    #[test]
    fn the_generator_is_the_published_one() {
        // The first outputs for the state 1, 2, 3, 4.
        let mut ids = RequestIds { state: [1, 2, 3, 4] };
        let first = [41_943_041, 58_720_359, 3_588_806_011_781_223];
        assert_eq!(first.map(|_| ids.random()), first);
    }
}
