//! What a package says of itself.

use rkyv::{Archive, Serialize};

/// What a package says of itself.
#[derive(Debug, Clone, Default, PartialEq, Archive, Serialize)]
pub struct Header {
    /// Whose model it is. What whoever packed it claims, for the registry to agree with.
    pub identity: Identity,
    /// What it takes, in the model's order.
    pub inputs: Vec<Tensor>,
    /// What it gives, in the model's order.
    pub outputs: Vec<Tensor>,
    /// What the file that it was made of says of itself: keys and values.
    pub metadata: Vec<(String, String)>,
    /// What packed it, with its version.
    pub producer: String,
    /// SHA-256 of the file that it was made of.
    pub source: [u8; 32],
    /// SHA-256 of the file of the package that this one's [`SectionKind::Delta`] sections change. A
    /// package with a base runs over it, and not by itself.
    pub base: Option<[u8; 32]>,
    /// Its sections, in the order in which they lie in the file.
    pub sections: Vec<Section>,
}

/// Whose model a package holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize)]
pub struct Identity {
    /// The tenant that it was made for; none where it is for several.
    pub tenant: Option<String>,
    /// The model's name.
    pub name: String,
    /// The model's version.
    pub version: String,
    /// The tenants whose data it was trained on, sorted; none where nobody said.
    pub trained_on: Vec<String>,
}

/// An input or an output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Its datatype, by its name in the Open Inference Protocol v2.
    pub datatype: String,
    /// Its dimensions, outermost first, with -1 where one is open.
    pub shape: Vec<i64>,
    /// The names of open dimensions, or as many empty ones: equal names want equal values.
    pub names: Vec<String>,
}

/// Some bytes of a package, at a multiple of [`crate::PAGE_BYTES`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize)]
pub struct Section {
    /// What they are, as [`SectionKind::code`].
    pub kind: u32,
    /// Which of several sections of its kind it is: for panels, their layout.
    pub key: String,
    /// Where they start.
    pub offset: u64,
    /// How many there are.
    pub length: u64,
    /// Their SHA-256.
    pub digest: [u8; 32],
}

/// What the bytes of a section are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SectionKind {
    /// How the model is computed: an rkyv archive, of which this crate does not know the type.
    Plan,
    /// Constants that are no packed matrices.
    Constants,
    /// Matrices, packed for kernels of one layout, which the key names.
    Panels,
    /// The file that the package was made of.
    Source,
    /// What the package changes of its base: what, and the numbers, by their keys.
    Delta,
    /// Words for people, which nothing depends on.
    Notes,
}

/// The bit of a section's kind that says that a reader may do without it. A release refuses a
/// package with a section that it does not know, unless this bit is set: what it cannot read might
/// change what the rest means.
pub const OPTIONAL: u32 = 1 << 31;

impl SectionKind {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Plan, Self::Constants, Self::Panels, Self::Source, Self::Delta, Self::Notes];

    /// The number that stands for it in a header.
    pub const fn code(self) -> u32 {
        match self {
            Self::Plan => 1,
            Self::Constants => 2,
            Self::Panels => 3,
            Self::Source => 4,
            Self::Delta => 5,
            Self::Notes => OPTIONAL | 6,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Constants => "constants",
            Self::Panels => "panels",
            Self::Source => "source",
            Self::Delta => "delta",
            Self::Notes => "notes",
        }
    }
}

impl ArchivedSection {
    /// What its bytes are, where this release knows.
    pub fn kind(&self) -> Option<SectionKind> {
        SectionKind::ALL.into_iter().find(|kind| kind.code() == self.kind.to_native())
    }

    /// Its kind and key, for people.
    pub fn label(&self) -> String {
        let kind = self.kind().map_or("unknown", SectionKind::name);
        if self.key.is_empty() { kind.to_owned() } else { format!("{kind} {}", self.key) }
    }
}
