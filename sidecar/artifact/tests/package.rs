//! What a package promises: what was written, or a refusal.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // tests fail by panicking

use artifact::{
    Header, Identity, Mapped, OPTIONAL, PAGE_BYTES, Package, PackageBuilder, PackageError,
    SectionKind, Tensor,
};
use proptest::prelude::*;
use tenancy::Digest;

fn header() -> Header {
    Header {
        identity: Identity {
            tenant: Some("org_dl".into()),
            name: "air-time-dl".into(),
            version: "3".into(),
            trained_on: vec!["org_dl".into()],
        },
        inputs: vec![Tensor {
            name: "distance".into(),
            datatype: "FP32".into(),
            shape: vec![-1, 1],
            names: vec!["batch".into(), String::new()],
        }],
        outputs: vec![Tensor {
            name: "minutes".into(),
            datatype: "FP32".into(),
            shape: vec![-1, 1],
            names: vec![String::new(); 2],
        }],
        metadata: vec![("trained_on".into(), "org_dl".into())],
        producer: "a test".into(),
        source: *Digest::of(b"onnx").as_bytes(),
        base: None,
        sections: vec![],
    }
}

fn package() -> Vec<u8> {
    let mut builder = PackageBuilder::new(header());
    builder.section(SectionKind::Plan, "", b"plan".to_vec());
    builder.section(SectionKind::Panels, "f32x16", vec![7; 3 * PAGE_BYTES + 5]);
    builder.section(SectionKind::Panels, "f32x8", vec![9; 64]);
    builder.section(SectionKind::Source, "onnx", b"onnx".to_vec());
    builder.finish().unwrap()
}

fn open(bytes: &[u8]) -> Result<Package, PackageError> {
    Package::open(Mapped::copied(bytes).unwrap())
}

#[test]
fn a_package_says_and_holds_what_was_put_into_it() {
    let package = open(&package()).unwrap();
    package.verify().unwrap();
    let header = package.header();
    assert_eq!(header.identity.tenant.as_deref(), Some("org_dl"));
    assert_eq!(header.identity.name, "air-time-dl");
    assert_eq!(header.inputs[0].shape[0], -1);
    assert_eq!(package.section(SectionKind::Plan), Some(&b"plan"[..]));
    let panels: Vec<_> = package.sections(SectionKind::Panels).collect();
    assert_eq!(panels[0], ("f32x16", &vec![7; 3 * PAGE_BYTES + 5][..]));
    assert_eq!(panels[1], ("f32x8", &[9; 64][..]));
    assert_eq!(package.section(SectionKind::Delta), None);
}

#[test]
fn sections_start_on_pages() {
    let package = open(&package()).unwrap();
    for (_, bytes) in package.sections(SectionKind::Panels) {
        assert_eq!(bytes.as_ptr().addr() % PAGE_BYTES, 0);
    }
}

#[test]
fn equal_contents_are_equal_bytes_with_one_digest() {
    assert_eq!(package(), package());
    assert_eq!(open(&package()).unwrap().digest(), open(&package()).unwrap().digest());
}

#[test]
fn a_file_that_is_no_package_is_refused() {
    for bytes in [&b""[..], b"\x08\x07\x12", b"BHMODEL", b"BHMODEL2 and so on"] {
        assert!(matches!(open(bytes), Err(PackageError::NotPackage { .. })), "{bytes:?}");
    }
}

#[test]
fn a_package_that_was_cut_off_is_refused() {
    let whole = package();
    for length in (8..whole.len()).step_by(97).chain([whole.len() - 1]) {
        assert!(open(&whole[..length]).is_err(), "{length} of {} bytes were opened", whole.len());
    }
}

#[test]
fn what_follows_a_package_is_found() {
    let longer = [package(), vec![0; 3]].concat();
    assert!(matches!(open(&longer).unwrap().verify(), Err(PackageError::Stray { .. })));
}

/// Makes the digest of a header that was changed right again.
fn signed(mut bytes: Vec<u8>) -> Vec<u8> {
    let length = u32::from_le_bytes(bytes[8..12].try_into().unwrap()) as usize;
    let digest = *Digest::of(&bytes[64..64 + length]).as_bytes();
    bytes[16..48].copy_from_slice(&digest);
    bytes
}

/// A package whose section of notes has another kind.
fn with_kind(kind: u32) -> Vec<u8> {
    let mut builder = PackageBuilder::new(header());
    builder.section(SectionKind::Plan, "", b"plan".to_vec());
    builder.section(SectionKind::Notes, "", b"words".to_vec());
    let mut bytes = builder.finish().unwrap();
    let notes = SectionKind::Notes.code().to_le_bytes();
    let at = bytes.windows(4).position(|it| it == notes).unwrap();
    bytes[at..at + 4].copy_from_slice(&kind.to_le_bytes());
    signed(bytes)
}

#[test]
fn a_section_of_a_later_release_is_refused_unless_it_may_be_passed_over() {
    let refused = open(&with_kind(77)).unwrap_err();
    assert!(matches!(refused, PackageError::Newer { .. }), "{refused}");
    assert!(refused.to_string().contains("a section of kind 77"), "{refused}");
    let package = open(&with_kind(OPTIONAL | 77)).unwrap();
    package.verify().unwrap();
    assert_eq!(package.section(SectionKind::Plan), Some(&b"plan"[..]));
    assert_eq!(package.section(SectionKind::Notes), None);
}

#[test]
fn a_flag_of_a_later_release_is_refused() {
    let mut bytes = package();
    bytes[12] = 1;
    let refused = open(&bytes).unwrap_err();
    assert!(matches!(refused, PackageError::Newer { .. }), "{refused}");
}

#[test]
fn a_package_can_name_a_base_and_hold_changes_to_it() {
    let base = open(&package()).unwrap().digest();
    let mut builder = PackageBuilder::new(Header { base: Some(*base.as_bytes()), ..header() });
    builder.section(SectionKind::Delta, "panels lanes=16", vec![1; 100]);
    let changed = open(&builder.finish().unwrap()).unwrap();
    changed.verify().unwrap();
    assert_eq!(changed.header().base.as_ref(), Some(base.as_bytes()));
    let deltas: Vec<_> = changed.sections(SectionKind::Delta).collect();
    assert_eq!(deltas, [("panels lanes=16", &[1; 100][..])]);
}

#[test]
fn a_section_out_of_place_is_refused() {
    // A header of another making, with its digest right.
    let mut bytes = package();
    let length = u32::from_le_bytes(bytes[8..12].try_into().unwrap()) as usize;
    let needle = (PAGE_BYTES as u64).to_le_bytes();
    let at = bytes[64..64 + length].windows(8).position(|it| it == needle).unwrap() + 64;
    for offset in [0_u64, 64, 4097, 1 << 40, u64::MAX] {
        bytes[at..at + 8].copy_from_slice(&offset.to_le_bytes());
        let refused = open(&signed(bytes.clone())).unwrap_err();
        assert!(
            matches!(refused, PackageError::Malformed { .. } | PackageError::Short { .. }),
            "{refused}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_flipped_bit_is_found(at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let mut bytes = package();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(open(&bytes).and_then(|it| it.verify()).is_err(), "byte {at}");
    }

    /// A header with the right digest over hostile bytes: what the archive's own checks are for.
    #[test]
    fn a_hostile_header_is_refused_or_stays_inside_the_file(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = package();
        let length = u32::from_le_bytes(bytes[8..12].try_into().unwrap()) as usize;
        for (at, value) in changes {
            bytes[64 + at.index(length)] = value;
        }
        if let Ok(package) = open(&signed(bytes.clone())) {
            let _ = package.verify();
            let read: usize = package.header().sections.iter().map(|it| package.bytes(it).len()).sum();
            prop_assert!(read <= bytes.len());
        }
    }

    #[test]
    fn noise_is_refused(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(open(&[&b"BHMODEL1"[..], &noise].concat()).is_err());
    }
}
