//! Many distinct models out of one package.

use anyhow::{Context, Result};
use artifact::{
    ArchivedTensor, Header, Identity, Mapped, Package, PackageBuilder, SectionKind, Tensor,
};
use inference::changes;

/// A package from which others are made that differ in their names and weights.
pub(crate) struct Template {
    package: Package,
}

impl Template {
    pub(crate) fn new(bytes: &[u8]) -> Result<Self> {
        Ok(Self { package: Package::open(Mapped::copied(bytes)?)? })
    }

    /// The package number `number`. Its weights, or what it changes of its base, are the template's, each times a number between 1
    /// and 2 that only this package has.
    pub(crate) fn variant(&self, number: usize) -> Result<Vec<u8>> {
        let mut builder = PackageBuilder::new(self.header(number));
        for (kind, key, bytes) in SectionKind::ALL
            .into_iter()
            .flat_map(|kind| self.package.sections(kind).map(move |(key, it)| (kind, key, it)))
        {
            let is_weights = kind == SectionKind::Panels
                || (kind == SectionKind::Delta && key == changes::NUMBERS);
            let bytes = if is_weights { scaled(bytes, number) } else { bytes.to_vec() };
            builder.section(kind, key, bytes);
        }
        builder.finish().context("a package of another size than its template's")
    }

    fn header(&self, number: usize) -> Header {
        let header = self.package.header();
        let tensor = |it: &ArchivedTensor| Tensor {
            name: it.name.as_str().to_owned(),
            datatype: it.datatype.as_str().to_owned(),
            shape: it.shape.iter().map(|dim| dim.to_native()).collect(),
            names: it.names.iter().map(|name| name.as_str().to_owned()).collect(),
        };
        Header {
            identity: Identity {
                tenant: Some(format!("org_{number}")),
                name: format!("model-{number}"),
                version: "1".to_owned(),
                trained_on: vec![format!("org_{number}")],
            },
            inputs: header.inputs.iter().map(tensor).collect(),
            outputs: header.outputs.iter().map(tensor).collect(),
            producer: header.producer.as_str().to_owned(),
            source: header.source,
            base: header.base.as_ref().copied(),
            ..Header::default()
        }
    }
}

fn scaled(panels: &[u8], number: usize) -> Vec<u8> {
    let scale = 1.0 + number as f32 / (1 << 20) as f32;
    let (numbers, _) = panels.as_chunks::<4>();
    numbers.iter().flat_map(|it| (f32::from_le_bytes(*it) * scale).to_le_bytes()).collect()
}
