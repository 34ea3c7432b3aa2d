//! A driver that refuses memory in truth. That is llvmpipe's in a process of its own that may take no
//! more of its address space; the memory of a graphics card is not bounded so.

use std::{
    env, fs,
    process::{self, Command},
};

use gpu::DeviceError;
use inference::{Inputs, OnDevice, Outputs};

use crate::{
    llvmpipe::{device, open, settings},
    models::layers,
    support::{assert_near, inputs, load, packed, placed},
};

/// Says to the process of its own that it is the one.
const CLOSED: &str = "BULKHEAD_TEST_CLOSED";
/// What is left to take: less than either of what is refused, and enough for what is not.
const LEFT_BYTES: u64 = 32 << 20;
/// Rows of 64 MiB, which the CPU reads where they are and a device has to have its own copy of.
const MANY: u64 = 1024;
const WIDTH: i64 = 16_384;

#[test]
fn what_a_driver_refuses_is_an_error_of_one_request_and_the_next_is_answered() {
    if env::var_os(CLOSED).is_some() {
        return when_closed();
    }
    let Some(device) = device() else { return };
    if !device.adapter().is_cpu {
        eprintln!("SKIPPED: the memory of {} is its own", device.adapter());
        return;
    }
    let name =
        "refusals::what_a_driver_refuses_is_an_error_of_one_request_and_the_next_is_answered";
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", name, "--nocapture"]).env(CLOSED, "1");
    let output = child.output().unwrap();
    let said = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it).into_owned());
    assert!(output.status.success(), "{}\n{}", output.status, said.join("\n"));
    assert!(said[0].contains("1 passed"), "{}", said.join("\n"));
}

fn when_closed() {
    let device = open(settings()).unwrap();
    let model = load(&device, &packed(&layers(1, &[WIDTH, 8])));
    let large = load(&device, &packed(&layers(2, &[4096, 8192])));
    let [few, many] = [2, MANY].map(|rows| inputs(&*model, rows));
    let on_cpu = placed(&*model).on_cpu();
    let [few_expected, many_expected] = [&few, &many].map(|given| {
        let mut outputs = Outputs::default();
        on_cpu.infer_into(given, &mut outputs).unwrap();
        outputs
    });
    let answers = |given: &Inputs, expected: &Outputs, by_device: u64| {
        let (mut found, before) = (Outputs::default(), placed(&*model).answered_by_device());
        model.infer_into(given, &mut found).unwrap();
        assert_near(&found, expected, 1e-4, "closed");
        assert_eq!(placed(&*model).answered_by_device(), before + by_device);
    };
    answers(&few, &few_expected, 1);

    close(Some(LEFT_BYTES));
    answers(&many, &many_expected, 0);
    answers(&few, &few_expected, 1);
    let refused = placed(&*large).bring().unwrap_err();
    let DeviceError::OutOfMemory { bytes, detail } = refused else { panic!("{refused}") };
    assert!(bytes >= 4096 * 8192 * 4 && !detail.contains("budget"), "{bytes} {detail}");
    assert!(!placed(&*large).is_there());
    answers(&few, &few_expected, 1);
    assert!(device.is_open() && device.stats().losses == 0, "{device:?}");

    close(None);
    placed(&*large).bring().unwrap();
    answers(&many, &many_expected, 1);
}

/// Bounds the address space of this process to what it has and so many bytes, or not at all.
fn close(left: Option<u64>) {
    let limit = left.map(|left| {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kib * 1024 + left
    });
    let limit = limit.map_or("unlimited".to_owned(), |it| it.to_string());
    let mut prlimit = Command::new("prlimit");
    prlimit.args(["--pid", &process::id().to_string(), &format!("--as={limit}:")]);
    assert!(prlimit.status().unwrap().success(), "{prlimit:?}");
}
