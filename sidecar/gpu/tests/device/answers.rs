//! Single models, alone on a device.

use crate::{
    onnx::{self, Named},
    support::{assert_alike, device, packed},
};

#[test]
fn every_batch_from_1_to_64_is_answered_as_by_the_cpu() {
    let Some(device) = device() else { return };
    assert_alike(&device, &packed(&onnx::mlp(Named("N"))), 1..=64);
}
