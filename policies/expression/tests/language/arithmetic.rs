//! Numbers and conversions between types.

use crate::support::{give, hold};

#[test]
fn integers_that_overflow_are_errors_and_doubles_are_infinite() {
    give(&[
        (
            "9223372036854775807 + 1",
            "error: expected a result of `+` that fits its type, found an overflow",
        ),
        (
            "-9223372036854775808 - 1",
            "error: expected a result of `-` that fits its type, found an overflow",
        ),
        (
            "9223372036854775807 * 2",
            "error: expected a result of `*` that fits its type, found an overflow",
        ),
        (
            "-9223372036854775808 / -1",
            "error: expected a result of `/` that fits its type, found an overflow",
        ),
        (
            "-9223372036854775808 % -1",
            "error: expected a result of `%` that fits its type, found an overflow",
        ),
        (
            "-(-9223372036854775807 - 1)",
            "error: expected a result of `-` that fits its type, found an overflow",
        ),
        ("0u - 1u", "error: expected a result of `-` that fits its type, found an overflow"),
        ("1 / 0", "error: expected a divisor other than 0 for `/`"),
        ("1u % 0u", "error: expected a divisor other than 0 for `%`"),
        ("1.0 / 0.0", "Double(inf)"),
        ("1e300 * 1e300", "Double(inf)"),
    ]);
}

#[test]
fn operators_bind_as_everywhere() {
    give(&[
        ("1 + 2 * 3 - 4 / 2", "Int(5)"),
        ("(1 + 2) * 3", "Int(9)"),
        ("-7 / 2", "Int(-3)"),
        ("-7 % 2", "Int(-1)"),
        ("7u / 2u", "Uint(3)"),
        ("1.5 + 2.0", "Double(3.5)"),
        ("-claims.score", "Double(-1.5)"),
        ("claims.iat + 1", "Int(1795249001)"),
        ("0x1F", "Int(31)"),
        ("tenant.rank + 1u", "Uint(8)"),
    ]);
}

#[test]
fn dynamic_operands_are_looked_at_when_evaluated() {
    give(&[
        ("claims.sub + claims.iat", "error: expected two strings for `+`, found an int"),
        ("claims.iat + claims.score", "error: expected two ints for `+`, found a double"),
        ("claims.verified + claims.verified", "error: expected numbers for `+`, found a bool"),
        ("-claims.sub", "error: expected an int or a double for `-`, found a string"),
        ("!claims.sub", "error: expected a bool for `!`, found a string"),
        ("claims.score % claims.score", "error: expected ints or uints for `%`, found a double"),
    ]);
}

#[test]
fn conversions_take_what_fits() {
    give(&[
        ("int(1.9)", "Int(1)"),
        ("int(-1.9)", "Int(-1)"),
        ("int(7u)", "Int(7)"),
        ("int('-12')", "Int(-12)"),
        ("int(timestamp('1970-01-01T00:01:00Z'))", "Int(60)"),
        ("uint(3)", "Uint(3)"),
        ("uint('3')", "Uint(3)"),
        ("double(3)", "Double(3.0)"),
        ("double('1e3')", "Double(1000.0)"),
        ("bool('true')", "Bool(true)"),
        ("bool('F')", "Bool(false)"),
        ("string(1)", "String(\"1\")"),
        ("string(1u)", "String(\"1\")"),
        ("string(1.0)", "String(\"1\")"),
        ("string(true)", "String(\"true\")"),
        ("string(b'abc')", "String(\"abc\")"),
        ("string(duration('90m'))", "String(\"5400s\")"),
        ("string(timestamp(0))", "String(\"1970-01-01T00:00:00Z\")"),
        ("bytes('ü')", "Bytes([195, 188])"),
        ("type(1u)", "Type(Uint)"),
    ]);
}

#[test]
fn conversions_refuse_what_does_not_fit() {
    give(&[
        ("int(1e19)", "error: expected a result of int() that fits its type, found an overflow"),
        (
            "int(0.0 / 0.0)",
            "error: expected a result of int() that fits its type, found an overflow",
        ),
        (
            "int(18446744073709551615u)",
            "error: expected a result of int() that fits its type, found an overflow",
        ),
        ("uint(-1)", "error: expected a result of uint() that fits its type, found an overflow"),
        ("int('x')", "error: expected a whole number, found `x`"),
        ("uint('+1')", "error: expected a whole number of 0 or more, found `+1`"),
        ("double('x')", "error: expected a number, found `x`"),
        ("bool('yes')", "error: expected `true` or `false`, found `yes`"),
        ("string(b'\\xff')", "error: expected bytes of UTF-8, found `bytes`"),
        (
            "int(claims.roles)",
            "error: expected a number, a string or a timestamp for int(), found a list",
        ),
        (
            "string(claims.org)",
            "error: expected a bool, number, string, bytes, timestamp or duration for string(), found a map",
        ),
    ]);
}

#[test]
fn what_is_written_of_a_number_is_read_again() {
    hold(&[
        "int(string(-9223372036854775808)) == -9223372036854775808",
        "uint(string(18446744073709551615u)) == 18446744073709551615u",
        "double(string(1.7976931348623157e308)) == 1.7976931348623157e308",
        "double(string(5e-324)) == 5e-324",
    ]);
}
