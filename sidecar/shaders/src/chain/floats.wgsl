// Numbers as the CPU has them. WGSL leaves open what becomes of NaN and of infinities, and a device may
// take it that there are none: what depends on them is told by bits. Devices may take subnormal numbers
// for 0, and some do. A blank line ends a function.

fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

// Not a constant to the compiler, which refuses those that are no finite numbers.
fn bits(word: u32) -> f32 {
    var it = word;
    return bitcast<f32>(it);
}

fn infinity() -> f32 {
    return bits(0x7f800000u);
}

fn not_a_number() -> f32 {
    return bits(0x7fc00000u);
}

fn signed(x: f32, sign: f32) -> f32 {
    return bitcast<f32>((bitcast<u32>(x) & 0x7fffffffu) | (bitcast<u32>(sign) & 0x80000000u));
}

fn f_abs(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) & 0x7fffffffu);
}

fn f_neg(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) ^ 0x80000000u);
}

fn f_relu(x: f32) -> f32 {
    return select(x, 0.0, x < 0.0 || is_nan(x));
}

fn f_max(a: f32, b: f32) -> f32 {
    if (is_nan(a)) {
        return b;
    }
    return select(a, b, b > a);
}

fn f_min(a: f32, b: f32) -> f32 {
    if (is_nan(a)) {
        return b;
    }
    return select(a, b, b < a);
}

fn f_square(x: f32) -> f32 {
    return x * x;
}

fn f_cube(x: f32) -> f32 {
    return x * x * x;
}

fn f_recip(x: f32) -> f32 {
    return 1.0 / x;
}

fn f_sqrt(x: f32) -> f32 {
    if (x < 0.0) {
        return not_a_number();
    }
    return sqrt(x);
}

fn f_rsqrt(x: f32) -> f32 {
    return 1.0 / f_sqrt(x);
}

fn f_floor(x: f32) -> f32 {
    return signed(floor(x), x);
}

fn f_ceil(x: f32) -> f32 {
    return signed(ceil(x), x);
}

fn f_round(x: f32) -> f32 {
    let whole = trunc(x);
    let more = select(0.0, 1.0, f_abs(x - whole) >= 0.5);
    return signed(f_abs(whole) + more, x);
}

fn f_round_ties_even(x: f32) -> f32 {
    return signed(round(x), x);
}

fn f_sign(x: f32) -> f32 {
    if (x > 0.0) {
        return 1.0;
    }
    if (x < 0.0) {
        return -1.0;
    }
    return x;
}

fn f_hard_swish(x: f32) -> f32 {
    return x * clamp(x / 6.0 + 0.5, 0.0, 1.0);
}

fn f_leaky_relu(x: f32, slope: f32) -> f32 {
    return select(x, x * slope, x < 0.0);
}

fn f_is_equal(a: f32, b: f32) -> bool {
    return a == b && !is_nan(a) && !is_nan(b);
}

fn f_is_less(a: f32, b: f32) -> bool {
    return a < b && !is_nan(a) && !is_nan(b);
}

fn f_is_less_equal(a: f32, b: f32) -> bool {
    return a <= b && !is_nan(a) && !is_nan(b);
}

fn f_to_bool(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) != 0u;
}

fn f_to_i32(x: f32) -> i32 {
    if (is_nan(x)) {
        return 0;
    }
    if (x >= 2147483648.0) {
        return 2147483647;
    }
    if (x <= -2147483648.0) {
        return i32(-2147483647) - 1;
    }
    return i32(x);
}
