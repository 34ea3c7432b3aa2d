// 64-bit integers as two words, the low one first.

fn i64_is_negative(x: vec2<u32>) -> bool {
    return (x.y >> 31u) == 1u;
}

fn i64_add(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = a.x + b.x;
    return vec2<u32>(low, a.y + b.y + select(0u, 1u, low < a.x));
}

fn i64_neg(x: vec2<u32>) -> vec2<u32> {
    return i64_add(vec2<u32>(~x.x, ~x.y), vec2<u32>(1u, 0u));
}

fn i64_abs(x: vec2<u32>) -> vec2<u32> {
    if (i64_is_negative(x)) {
        return i64_neg(x);
    }
    return x;
}

fn i64_sub(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return vec2<u32>(a.x - b.x, a.y - b.y - select(0u, 1u, a.x < b.x));
}

fn i64_mul(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let a0 = a.x & 0xffffu;
    let a1 = a.x >> 16u;
    let b0 = b.x & 0xffffu;
    let b1 = b.x >> 16u;
    let middle = a1 * b0 + ((a0 * b0) >> 16u);
    let more = a0 * b1 + (middle & 0xffffu);
    let high = a1 * b1 + (middle >> 16u) + (more >> 16u);
    return vec2<u32>(a.x * b.x, high + a.x * b.y + a.y * b.x);
}

fn i64_is_equal(a: vec2<u32>, b: vec2<u32>) -> bool {
    return a.x == b.x && a.y == b.y;
}

fn i64_is_less(a: vec2<u32>, b: vec2<u32>) -> bool {
    if (a.y == b.y) {
        return a.x < b.x;
    }
    return bitcast<i32>(a.y) < bitcast<i32>(b.y);
}

fn i64_min(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    if (i64_is_less(b, a)) {
        return b;
    }
    return a;
}

fn i64_max(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    if (i64_is_less(a, b)) {
        return b;
    }
    return a;
}

fn i32_to_i64(x: i32) -> vec2<u32> {
    return vec2<u32>(bitcast<u32>(x), select(0u, 0xffffffffu, x < 0));
}

fn f_to_i64(x: f32) -> vec2<u32> {
    let word = bitcast<u32>(x);
    let is_negative = (word >> 31u) == 1u;
    let exponent = i32((word >> 23u) & 255u) - 127;
    if (is_nan(x) || exponent < 0) {
        return vec2<u32>(0u, 0u);
    }
    if (exponent >= 63) {
        return select(vec2<u32>(0xffffffffu, 0x7fffffffu), vec2<u32>(0u, 0x80000000u), is_negative);
    }
    let mantissa = (word & 0x7fffffu) | 0x800000u;
    var size = vec2<u32>(0u, 0u);
    if (exponent <= 23) {
        size.x = mantissa >> u32(23 - exponent);
    } else {
        let shift = u32(exponent - 23);
        if (shift < 32u) {
            size.x = mantissa << shift;
            size.y = (mantissa >> 1u) >> (31u - shift);
        } else {
            size.y = mantissa << (shift - 32u);
        }
    }
    if (is_negative) {
        return i64_neg(size);
    }
    return size;
}

fn i64_to_f(x: vec2<u32>) -> f32 {
    let size = i64_abs(x);
    if (size.x == 0u && size.y == 0u) {
        return 0.0;
    }
    var high = size.y;
    var low = size.x;
    var exponent = 63u;
    if (high == 0u) {
        high = low;
        low = 0u;
        exponent = 31u;
    }
    let shift = countLeadingZeros(high);
    exponent = exponent - shift;
    if (shift > 0u) {
        high = (high << shift) | ((low >> 1u) >> (31u - shift));
        low = low << shift;
    }
    // Rounded to nearest, ties to even, from 64 bits to 24.
    var mantissa = high >> 8u;
    let rest = high & 255u;
    if (rest > 128u || (rest == 128u && (low != 0u || (mantissa & 1u) == 1u))) {
        mantissa = mantissa + 1u;
    }
    // A mantissa that became 2^24 carries into the exponent.
    let number = ((exponent + 126u) << 23u) + mantissa;
    return bitcast<f32>(number | (x.y & 0x80000000u));
}

// The better of two numbers by their bits, each with its place; of equal ones the first. What is no
// number is never better, and a place of all bits is that of none.
fn larger(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let x = bitcast<f32>(a.x);
    let y = bitcast<f32>(b.x);
    if (b.y == 0xffffffffu || is_nan(y)) {
        return a;
    }
    let is_better = a.y == 0xffffffffu || y > x || (y == x && b.y < a.y);
    return select(a, b, is_better);
}

fn smaller(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let x = bitcast<f32>(a.x);
    let y = bitcast<f32>(b.x);
    if (b.y == 0xffffffffu || is_nan(y)) {
        return a;
    }
    let is_better = a.y == 0xffffffffu || y < x || (y == x && b.y < a.y);
    return select(a, b, is_better);
}
