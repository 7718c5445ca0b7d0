//! Products on every instruction set against sums in `f64`.

use cpu_kernels::Isa;
use cpu_kernels::matmul::{
    Epilogue, Input, MatMut, MatRef, Precision, Tall, Weights, matmul, matmul_serial, multiply, transposed_product,
};

/// Values in -1..1 without a pattern.
fn values(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..n)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// Which way an operand lies in memory.
#[derive(Clone, Copy, Debug)]
enum Order {
    Rows,
    Columns,
    /// Neither rows nor columns are consecutive.
    Spread,
}

const ORDERS: [Order; 3] = [Order::Rows, Order::Columns, Order::Spread];

fn view(data: &[f32], rows: usize, cols: usize, order: Order) -> MatRef<'_> {
    match order {
        Order::Rows => MatRef::row_major(data, rows, cols),
        Order::Columns => MatRef::new(data, rows, cols, 1, rows),
        Order::Spread => MatRef::new(data, rows, cols, 2 * cols, 2),
    }
}

fn at(m: &MatRef<'_>, i: usize, j: usize) -> f64 {
    f64::from(m.data()[i * m.row_stride() + j * m.col_stride()])
}

/// The product and, for the error, the sums of absolute products.
fn reference(a: &MatRef<'_>, b: &MatRef<'_>) -> Vec<(f64, f64)> {
    let mut out = Vec::new();
    for i in 0..a.rows() {
        for j in 0..b.cols() {
            let terms = (0..a.cols()).map(|p| at(a, i, p) * at(b, p, j));
            out.push(terms.fold((0.0, 0.0), |(s, m), t| (s + t, m + t.abs())));
        }
    }
    out
}

const SIZES: [(usize, usize, usize); 19] = [
    (1, 1, 1),
    (1, 45, 33),
    (2, 31, 16),
    (16, 32, 17),
    (17, 64, 45),
    (31, 1, 32),
    (33, 135, 47),
    (128, 45, 128),
    (100, 128, 45),
    (64, 180, 270),
    (45, 270, 135),
    (5, 541, 3),
    (129, 540, 257),
    (0, 5, 5),
    (5, 5, 0),
    (40, 2500, 40),
    (64, 45, 64),
    (1, 540, 1),
    (3, 1081, 35),
];

/// Error of one element relative to the sum of absolute products.
fn tolerance(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 6e-7,
        Precision::Bf16 => 6e-3,
        Precision::Int8 => 2e-2,
    }
}

#[test]
fn products_agree_with_sums_in_f64_on_every_instruction_set() {
    let mut bytes = None;
    let references = strided_references();
    for isa in Isa::ALL.into_iter().filter(|isa| *isa <= Isa::best()) {
        Isa::limit(isa);
        for precision in [Precision::F32, Precision::Bf16] {
            strided(isa, precision, &references);
            packed(isa, precision);
        }
        // Sums of bytes are exact, and what follows them is the same arithmetic everywhere.
        let found = packed(isa, Precision::Int8);
        let expected = bytes.get_or_insert_with(|| found.clone());
        for ((size, found), expected) in SIZES.iter().zip(&found).zip(expected) {
            assert!(found == expected, "{isa}: products of bytes of {size:?} are not those of the portable code");
        }
        an_empty_sum_is_the_bias(isa);
        threads_do_not_change_bits(isa);
        what_memory_held_before_does_not_matter(isa);
    }
    Isa::limit(Isa::best());
}

/// Terms of a product above which it takes part in [`strided`] in fewer orders.
const LARGE: usize = 1 << 20;

/// Both ways that the operands of a case lie in memory; of large ones each way once.
fn orders(case: usize) -> impl Iterator<Item = (Order, Order)> {
    let (m, k, n) = SIZES[case];
    let all = (0..ORDERS.len()).flat_map(|left| (0..ORDERS.len()).map(move |right| (left, right)));
    let some = all.filter(move |(left, right)| m * k * n <= LARGE || (left + case) % ORDERS.len() == *right);
    some.map(|(left, right)| (ORDERS[left], ORDERS[right]))
}

/// Operands of a case of [`strided`].
fn operands(case: usize) -> (Vec<f32>, Vec<f32>) {
    let (m, k, n) = SIZES[case];
    (values(2 * m * k, case as u64 + 1), values(2 * k * n, case as u64 + 100))
}

/// [`reference`] for each case of [`strided`], and in it for each of its [`orders`].
fn strided_references() -> Vec<Vec<Vec<(f64, f64)>>> {
    let case = |(case, &(m, k, n)): (usize, &(usize, usize, usize))| {
        let (a, b) = operands(case);
        orders(case).map(|(left, right)| reference(&view(&a, m, k, left), &view(&b, k, n, right))).collect()
    };
    SIZES.iter().enumerate().map(case).collect()
}

fn strided(isa: Isa, precision: Precision, references: &[Vec<Vec<(f64, f64)>>]) {
    for (case, &(m, k, n)) in SIZES.iter().enumerate() {
        let (a, b) = operands(case);
        let bias = values(n, 7);
        for ((left, right), expected) in orders(case).zip(&references[case]) {
            let (va, vb) = (view(&a, m, k, left), view(&b, k, n, right));
            // Rows further apart than they are long: what lies between must not change.
            let stride = n + 3;
            let mut out = vec![9.0; m * stride + 8];
            let epilogue = Epilogue { bias: Some(&bias), ..Epilogue::default() };
            matmul(va, vb, MatMut::new(&mut out, m, n, stride), precision, &epilogue);
            for i in 0..m {
                for j in 0..n {
                    let (sum, size) = expected[i * n + j];
                    let (found, wanted) = (f64::from(out[i * stride + j]), sum + f64::from(bias[j]));
                    let error = (found - wanted).abs();
                    assert!(
                        error <= tolerance(precision) * (size + 1.0),
                        "{isa} {precision:?} {m}x{k}x{n} {left:?} {right:?} [{i}, {j}]: {found} for {wanted}"
                    );
                }
                assert!(out[i * stride + n..(i + 1) * stride].iter().all(|x| *x == 9.0), "{isa}: wrote between rows");
            }
            assert!(out[m * stride..].iter().all(|x| *x == 9.0), "{isa}: wrote behind the end");
            // Adding a second time doubles the product, not the bias.
            let mut twice = vec![0.0; m * n];
            for _ in 0..2 {
                let epilogue = Epilogue { accumulate: true, scale: Some(0.5), ..Epilogue::default() };
                matmul_serial(va, vb, MatMut::row_major(&mut twice, m, n), precision, &epilogue);
            }
            for (found, (sum, size)) in twice.iter().zip(expected) {
                assert!((f64::from(*found) - sum).abs() <= tolerance(precision) * (size + 1.0), "{isa}: accumulate");
            }
        }
    }
}

/// Checks the products of all sizes, and returns them as bits.
fn packed(isa: Isa, precision: Precision) -> Vec<Vec<u32>> {
    let mut input = Input::default();
    let mut products = Vec::new();
    for (case, &(m, k, n)) in SIZES.iter().enumerate() {
        let (a, b) = (values(m * k, case as u64 + 1), values(k * n, case as u64 + 100));
        let (va, vb) = (MatRef::row_major(&a, m, k), MatRef::new(&b, k, n, 1, k));
        let expected = reference(&va, &vb);
        let weights = Weights::pack(vb, precision);
        assert_eq!((weights.inputs(), weights.outputs(), weights.precision()), (k, n, precision));
        input.reserve(m, k, precision);
        let mut out = vec![f32::NAN; m * n];
        // SAFETY: all rows are packed, `out` holds the product.
        unsafe {
            input.pack(0..m, a.as_ptr(), k);
            multiply(&input, &weights, 0..m, 0..n, out.as_mut_ptr(), n, &Epilogue::default());
        }
        for (index, (found, (sum, size))) in out.iter().zip(&expected).enumerate() {
            let limit = if precision == Precision::Int8 {
                // Half a step of either operand on every term.
                (1.0 / 255.0 + 0.5 / 127.0) * k as f64 * 0.25 + 0.02
            } else {
                tolerance(precision) * (size + 1.0)
            };
            let error = (f64::from(*found) - sum).abs();
            assert!(error <= limit, "{isa} {precision:?} {m}x{k}x{n} at {index}: {found} for {sum}");
        }
        products.push(out.into_iter().map(f32::to_bits).collect());
    }
    products
}

fn an_empty_sum_is_the_bias(isa: Isa) {
    let bias = [1.0, 2.0, -3.0];
    for precision in [Precision::F32, Precision::Bf16] {
        let mut out = vec![f32::NAN; 6];
        let epilogue = Epilogue { bias: Some(&bias), ..Epilogue::default() };
        let (a, b) = (MatRef::row_major(&[], 2, 0), MatRef::row_major(&[], 0, 3));
        matmul(a, b, MatMut::row_major(&mut out, 2, 3), precision, &epilogue);
        assert_eq!(out, [1.0, 2.0, -3.0, 1.0, 2.0, -3.0], "{isa}");
    }
}

fn threads_do_not_change_bits(isa: Isa) {
    let (m, k, n) = (300, 700, 290);
    let (a, b) = (values(m * k, 3), values(k * n, 4));
    let product = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut out = vec![0.0; m * n];
        pool.install(|| {
            let out = MatMut::row_major(&mut out, m, n);
            matmul(MatRef::row_major(&a, m, k), MatRef::row_major(&b, k, n), out, Precision::F32, &Epilogue::default());
        });
        out
    };
    assert_eq!(product(1), product(3), "{isa}");
}

/// Tall operands begin in memory that nobody has cleared. Parts whose rows are no whole steps leave gaps between them.
fn what_memory_held_before_does_not_matter(isa: Isa) {
    let (rows, part) = (45, 9);
    for (m, n) in [(7, 5), (40, 33)] {
        for precision in [Precision::F32, Precision::Bf16] {
            let (x, y) = (values(rows * m, 1), values(rows * n, 2));
            let packed = |mut tall: Tall, x: &[f32], width: usize| {
                for (place, rows) in tall.parts().into_iter().zip(x.chunks(part * width)) {
                    place.pack(MatRef::row_major(rows, rows.len() / width, width));
                }
                tall
            };
            let product = || {
                let left = packed(Tall::left(rows, m, part, precision), &x, m);
                let right = packed(Tall::right(rows, n, part, precision), &y, n);
                let mut out = vec![0.0; m * n];
                transposed_product(&left, &right, MatMut::row_major(&mut out, m, n));
                out
            };
            let first = product();
            // The allocator gives back what was freed last: memory full of NaN.
            for kib in 1..64 {
                drop(std::hint::black_box(vec![u32::MAX; kib * 256]));
                drop(std::hint::black_box(vec![[u8::MAX; 64]; kib * 16]));
            }
            assert_eq!(product(), first, "{isa} {m} x {n} {precision:?}");
        }
    }
}
