// Functions that devices compute too coarsely, or not at all outside of some range. Polynomials are
// those of the Cephes library's single precision, of which the errors are a few units in the last place.

fn f_exp(x: f32) -> f32 {
    if (is_nan(x)) {
        return x;
    }
    if (x > 88.72284) {
        return infinity();
    }
    if (x < -103.97208) {
        return 0.0;
    }
    if (x < -80.0) {
        return exp(x + 40.0) * 4.2483543e-18;
    }
    return exp(x);
}

// A number above 0 that is finite, as one from 0.707 to 1.414 and a power of 2.
fn parts(x: f32) -> vec2<f32> {
    var word = bitcast<u32>(x);
    var power = 0.0;
    if (word < 0x800000u) {
        // A subnormal number's bits are the number, in units of 2^-149.
        word = bitcast<u32>(f32(word));
        power = -149.0;
    }
    power += f32(word >> 23u) - 127.0;
    let near = bitcast<f32>((word & 0x7fffffu) | 0x3f800000u);
    if (near > 1.41421356) {
        return vec2<f32>(near * 0.5, power + 1.0);
    }
    return vec2<f32>(near, power);
}

// The rest of the natural logarithm of 1 + x, behind x itself.
fn near_ln(x: f32) -> f32 {
    let z = x * x;
    var p = ((7.0376836292e-2 * x - 1.1514610310e-1) * x + 1.1676998740e-1) * x - 1.2420140846e-1;
    p = ((p * x + 1.4249322787e-1) * x - 1.6668057665e-1) * x + 2.0000714765e-1;
    p = (p * x - 2.4999993993e-1) * x + 3.3333331174e-1;
    return p * x * z - 0.5 * z;
}

fn f_ln(x: f32) -> f32 {
    let word = bitcast<u32>(x);
    if ((word & 0x7fffffffu) == 0u) {
        return f_neg(infinity());
    }
    if (word > 0x7f800000u) {
        return not_a_number();
    }
    if (word == 0x7f800000u) {
        return x;
    }
    let it = parts(x);
    let rest = near_ln(it.x - 1.0) - 2.12194440e-4 * it.y;
    return (it.x - 1.0 + rest) + 0.693359375 * it.y;
}

fn f_ln_1p(x: f32) -> f32 {
    if (f_abs(x) < 0.4) {
        let s = x / (2.0 + x);
        let z = s * s;
        let p = 0.33333333 + z * (0.2 + z * (0.14285714 + z * (0.11111111 + z * 0.09090909)));
        return 2.0 * (s + s * z * p);
    }
    return f_ln(1.0 + x);
}

fn f_sigmoid(x: f32) -> f32 {
    return 1.0 / (1.0 + f_exp(f_neg(x)));
}

fn f_silu(x: f32) -> f32 {
    return x * f_sigmoid(x);
}

fn f_tanh(x: f32) -> f32 {
    let a = f_abs(x);
    if (a < 0.625) {
        let z = x * x;
        let p = ((-5.70498872745e-3 * z + 2.06390887954e-2) * z - 5.37397155531e-2) * z;
        return ((p + 1.33314422036e-1) * z - 3.33332819422e-1) * z * x + x;
    }
    if (is_nan(x)) {
        return x;
    }
    if (a > 10.0) {
        return signed(1.0, x);
    }
    return signed(1.0 - 2.0 / (exp(2.0 * a) + 1.0), x);
}

fn f_sinh(x: f32) -> f32 {
    let a = f_abs(x);
    if (a < 1.0) {
        let z = x * x;
        return x + x * z * (1.6666667e-1 + z * (8.333333e-3 + z * (1.984127e-4 + z * 2.7557319e-6)));
    }
    if (a < 80.0) {
        let e = exp(a);
        return signed(0.5 * (e - 1.0 / e), x);
    }
    let h = f_exp(0.5 * a);
    return signed((0.5 * h) * h, x);
}

fn f_cosh(x: f32) -> f32 {
    let a = f_abs(x);
    if (a < 80.0) {
        let e = exp(a);
        return 0.5 * (e + 1.0 / e);
    }
    let h = f_exp(0.5 * a);
    return (0.5 * h) * h;
}

fn f_asinh(x: f32) -> f32 {
    let a = f_abs(x);
    if (a > 1.0e9) {
        return signed(f_ln(a) + 0.69314718, x);
    }
    if (is_nan(x)) {
        return x;
    }
    return signed(f_ln_1p(a + a * a / (1.0 + sqrt(a * a + 1.0))), x);
}

fn f_acosh(x: f32) -> f32 {
    if (x < 1.0 || is_nan(x)) {
        return not_a_number();
    }
    if (x > 1.0e9) {
        return f_ln(x) + 0.69314718;
    }
    let t = x - 1.0;
    return f_ln_1p(t + sqrt(t * (t + 2.0)));
}

fn f_atanh(x: f32) -> f32 {
    if (f_abs(x) > 1.0 || is_nan(x)) {
        return not_a_number();
    }
    let a = f_abs(x);
    return signed(0.5 * f_ln_1p(2.0 * a / (1.0 - a)), x);
}

fn small_asin(x: f32) -> f32 {
    let z = x * x;
    let p = ((4.2163199048e-2 * z + 2.4181311049e-2) * z + 4.5470025998e-2) * z + 7.4953002686e-2;
    return (p * z + 1.6666752422e-1) * z * x + x;
}

fn f_asin(x: f32) -> f32 {
    let a = f_abs(x);
    if (a > 1.0 || is_nan(x)) {
        return not_a_number();
    }
    if (a > 0.5) {
        return signed(1.57079633 - 2.0 * small_asin(sqrt(0.5 * (1.0 - a))), x);
    }
    return small_asin(x);
}

fn f_acos(x: f32) -> f32 {
    if (f_abs(x) > 1.0 || is_nan(x)) {
        return not_a_number();
    }
    if (x > 0.5) {
        return 2.0 * small_asin(sqrt(0.5 * (1.0 - x)));
    }
    if (x < -0.5) {
        return 3.14159265 - 2.0 * small_asin(sqrt(0.5 * (1.0 + x)));
    }
    return 1.57079633 - small_asin(x);
}

fn f_atan(x: f32) -> f32 {
    if (is_nan(x)) {
        return x;
    }
    let a = f_abs(x);
    var base = 0.0;
    var t = a;
    if (a > 2.41421356) {
        base = 1.57079633;
        t = -1.0 / a;
    } else if (a > 0.414213562) {
        base = 0.785398163;
        t = (a - 1.0) / (a + 1.0);
    }
    let z = t * t;
    let p = ((8.05374449538e-2 * z - 1.38776856032e-1) * z + 1.99777106478e-1) * z;
    return signed(base + ((p - 3.33329491539e-1) * z * t + t), x);
}

// The rest of a finite x after as many quarter turns as there are, and how many those are, by four.
fn quarter(x: f32) -> vec2<f32> {
    if (f_abs(x) > 1.0e5) {
        return far_quarter(x);
    }
    let n = round(x * 0.636619772);
    let r = ((x - n * 1.5703125) - n * 4.837512969970703e-4) - n * 7.54978995489188e-8;
    return vec2<f32>(r, n - 4.0 * floor(n * 0.25));
}

// The same by Payne and Hanek's reduction: x times as many digits of 2 / pi as there have to be.
fn far_quarter(x: f32) -> vec2<f32> {
    var digits = array<u32, 7>(
        0x28be60dbu, 0x9391054au, 0x7f09d5f4u, 0x7d4d3770u, 0x36d8a566u, 0x4f10e410u, 0u);
    let word = bitcast<u32>(x);
    let mantissa = (word << 8u) | 0x80000000u;
    let exponent = ((word >> 23u) & 255u) - 126u;
    let i = min(exponent >> 5u, 4u);
    let shift = exponent & 31u;
    var high = select(0u, digits[max(i, 1u) - 1u], i > 0u);
    var middle = digits[i];
    var low = digits[i + 1u];
    if (shift > 0u) {
        high = (high << shift) | (middle >> (32u - shift));
        middle = (middle << shift) | (low >> (32u - shift));
        low = (low << shift) | (digits[i + 2u] >> (32u - shift));
    }
    let last = i64_mul(vec2<u32>(mantissa, 0u), vec2<u32>(low, 0u));
    var turns = i64_add(i64_mul(vec2<u32>(mantissa, 0u), vec2<u32>(middle, 0u)), vec2<u32>(last.y, 0u));
    turns.y += mantissa * high;
    var quarters = turns.y >> 30u;
    turns.y &= 0x3fffffffu;
    if ((turns.y & 0x20000000u) != 0u) {
        turns.y -= 0x40000000u;
        quarters += 1u;
    }
    let rest = i64_to_f(turns) * 3.4061215800e-19;
    if (x < 0.0) {
        return vec2<f32>(-rest, f32((4u - quarters) & 3u));
    }
    return vec2<f32>(rest, f32(quarters & 3u));
}

fn small_sin(x: f32) -> f32 {
    let z = x * x;
    return ((-1.9515295891e-4 * z + 8.3321608736e-3) * z - 1.6666654611e-1) * z * x + x;
}

fn small_cos(x: f32) -> f32 {
    let z = x * x;
    return ((2.443315711809948e-5 * z - 1.388731625493765e-3) * z + 4.166664568298827e-2) * z * z - 0.5 * z + 1.0;
}

fn turned(rest: f32, quarters: f32) -> f32 {
    if (quarters == 0.0) {
        return small_sin(rest);
    }
    if (quarters == 1.0) {
        return small_cos(rest);
    }
    if (quarters == 2.0) {
        return -small_sin(rest);
    }
    return -small_cos(rest);
}

fn f_sin(x: f32) -> f32 {
    if ((bitcast<u32>(x) & 0x7fffffffu) >= 0x7f800000u) {
        return not_a_number();
    }
    let q = quarter(x);
    return turned(q.x, q.y);
}

fn f_cos(x: f32) -> f32 {
    if ((bitcast<u32>(x) & 0x7fffffffu) >= 0x7f800000u) {
        return not_a_number();
    }
    let q = quarter(x);
    return turned(q.x, select(q.y + 1.0, 0.0, q.y == 3.0));
}

fn f_tan(x: f32) -> f32 {
    return f_sin(x) / f_cos(x);
}

// Abramowitz and Stegun's 7.1.26, as on the CPU.
fn f_erf(x: f32) -> f32 {
    let a = f_abs(x);
    let t = 1.0 / (1.0 + 0.3275911 * a);
    let p = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    let y = 1.0 - p * f_exp(f_neg(a * a));
    return select(signed(y, x), x, is_nan(x));
}

fn f_gelu(x: f32) -> f32 {
    return 0.5 * x * (1.0 + f_erf(x * 0.70710678));
}

fn f_gelu_tanh(x: f32) -> f32 {
    let inner = 0.7978846 * (x + 0.044715 * x * x * x);
    return 0.5 * x * (1.0 + f_tanh(inner));
}

fn f_pow(x: f32, y: f32) -> f32 {
    if (y == 0.0 || x == 1.0) {
        return 1.0;
    }
    if (is_nan(x) || is_nan(y)) {
        return not_a_number();
    }
    let a = f_abs(x);
    let is_large = f_abs(y) >= 16777216.0;
    let is_whole = is_large || trunc(y) == y;
    let is_odd = !is_large && is_whole && (i32(y) & 1) == 1;
    let is_negative = (bitcast<u32>(x) >> 31u) == 1u;
    var size = 1.0;
    if (a == 0.0 || bitcast<u32>(a) == 0x7f800000u) {
        size = select(infinity(), 0.0, (a == 0.0) == (y > 0.0));
    } else if (is_negative && !is_whole) {
        return not_a_number();
    } else if (bitcast<u32>(f_abs(y)) == 0x7f800000u) {
        size = select(select(0.0, infinity(), (a > 1.0) == (y > 0.0)), 1.0, a == 1.0);
    } else {
        size = power(a, y);
    }
    return select(size, f_neg(size), is_negative && is_odd);
}

// A number above 0 that is finite, to a finite power. The logarithm has no more digits than a number
// has, so that large results are right to 5 digits.
fn power(a: f32, y: f32) -> f32 {
    let it = parts(a);
    let near = it.x - 1.0;
    let fine = y * ((near + near_ln(near)) * 1.44269504);
    let whole = y * it.y;
    let all = whole + fine;
    if (all > 128.0) {
        return infinity();
    }
    if (all < -150.0) {
        return 0.0;
    }
    let n = round(all);
    let x = (whole - n) + fine;
    var p = (1.535336188319500e-4 * x + 1.339887440266574e-3) * x + 9.618437357674640e-3;
    p = ((p * x + 5.550332471162809e-2) * x + 2.402264791363012e-1) * x + 6.931472028550421e-1;
    let first = i32(n) / 2;
    let second = i32(n) - first;
    let scale = bitcast<f32>(u32(first + 127) << 23u);
    return (p * x + 1.0) * scale * bitcast<f32>(u32(second + 127) << 23u);
}
