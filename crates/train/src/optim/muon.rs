//! The direction of Muon: the momentum of a matrix with all of its singular values near 1.

use burn::tensor::Tensor;
use cpu_kernels::matmul::{Epilogue, MatMut, MatRef, Precision, matmul};

/// Coefficients of the iteration, by the method's author; they make singular values near 1 fast, between 0.7 and 1.2, not exactly 1.
const COEFFICIENTS: [f32; 3] = [3.4445, -4.7750, 2.0315];
/// Iterations.
const ROUNDS: usize = 5;
/// Added to the norm.
const EPS: f32 = 1e-7;
/// Root mean square of an AdamW update, which the direction is scaled to, so that both have one learning rate (Liu et al. 2025).
const RMS: f64 = 0.2;

/// `0.2 sqrt(max(rows, columns))`, the factor of the direction.
pub(super) fn scale([rows, columns]: [usize; 2]) -> f64 {
    RMS * (rows.max(columns) as f64).sqrt()
}

/// Whether the parameter at `path`, of two axes, is updated by Muon: the matrices of layers; tables and heads are not, as its author says.
pub(super) fn takes(path: &str) -> bool {
    path.split('.').any(|part| part == "layers")
}

/// The matrix whose singular vectors are those of `g` and whose singular values are near 1: Newton-Schulz, `X ← a X + (b A + c A²) X` with
/// `A = X Xᵀ`, from `X = G / |G|`, as Keller Jordan's code.
///
/// # Shapes
/// - `g`, output: `[rows, columns]`, row-major
pub(super) fn orthogonal(g: &[f32], [rows, columns]: [usize; 2]) -> Vec<f32> {
    let norm = super::flat_param::squares(g).sqrt() as f32 + EPS;
    // The square side is the shorter one.
    let is_tall = rows > columns;
    let (short, long) = if is_tall { (columns, rows) } else { (rows, columns) };
    let mut x: Vec<f32> = match is_tall {
        true => (0..short * long).map(|i| g[i % long * columns + i / long] / norm).collect(),
        false => g.iter().map(|v| v / norm).collect(),
    };
    let [a, b, c] = COEFFICIENTS;
    let (mut square, mut next) = (vec![0.0; short * short], vec![0.0; short * long]);
    let mut polynomial = vec![0.0; short * short];
    let product = |l: MatRef<'_>, r: MatRef<'_>, out: MatMut<'_>| {
        matmul(l, r, out, Precision::F32, &Epilogue::default());
    };
    for _ in 0..ROUNDS {
        let view = MatRef::row_major(&x, short, long);
        product(view, view.t(), MatMut::row_major(&mut square, short, short));
        let of = MatRef::row_major(&square, short, short);
        product(of, of, MatMut::row_major(&mut polynomial, short, short));
        polynomial.iter_mut().zip(&square).for_each(|(p, s)| *p = b * s + c * *p);
        let of = MatRef::row_major(&polynomial, short, short);
        product(of, MatRef::row_major(&x, short, long), MatMut::row_major(&mut next, short, long));
        x.iter_mut().zip(&next).for_each(|(x, next)| *x = a * *x + next);
    }
    match is_tall {
        true => (0..rows * columns).map(|i| x[i % columns * long + i / columns]).collect(),
        false => x,
    }
}

/// [`orthogonal`] on a device.
pub(super) fn orthogonal_on_device(g: Tensor<2>) -> Tensor<2> {
    let [rows, columns] = g.dims();
    let norm = (g.clone() * g.clone()).sum().sqrt() + EPS;
    let is_tall = rows > columns;
    let x = g / norm.unsqueeze::<2>();
    let mut x = if is_tall { x.transpose() } else { x };
    let [a, b, c] = COEFFICIENTS;
    for _ in 0..ROUNDS {
        let square = x.clone().matmul(x.clone().transpose());
        let polynomial = square.clone() * b + square.clone().matmul(square) * c;
        x = x.clone() * a + polynomial.matmul(x);
    }
    if is_tall { x.transpose() } else { x }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    fn matrix([rows, columns]: [usize; 2]) -> Vec<f32> {
        (0..rows * columns).map(|i| ((i * 37 + i * i % 13) % 29) as f32 / 29.0 - 0.45).collect()
    }

    #[test]
    fn singular_values_come_near_one_and_vectors_stay() {
        for shape in [[6, 6], [4, 9], [9, 4], [1, 7], [30, 12]] {
            let g = matrix(shape);
            let x = orthogonal(&g, shape);
            let [rows, columns] = shape;
            // The singular values of both sides of a product with the transpose: trace and Frobenius norm say that all are near 1.
            let energy: f32 = x.iter().map(|v| v * v).sum();
            let rank = rows.min(columns) as f32;
            assert!((0.3 * rank..1.5 * rank).contains(&energy), "{shape:?}: {energy} of {rank}");
            // The polynomial is one of singular values alone: the direction has a positive product with the matrix.
            let along: f32 = g.iter().zip(&x).map(|(g, x)| g * x).sum();
            assert!(along > 0.0);
            let device = Tensor::<2>::from_data(TensorData::new(g, shape), &Device::flex());
            let there: Vec<f32> = orthogonal_on_device(device).try_into_vec_as().unwrap();
            assert!(x.iter().zip(&there).all(|(a, b)| (a - b).abs() < 1e-3), "{shape:?}");
        }
    }

    #[test]
    fn a_diagonal_matrix_has_the_polynomial_of_each_value() {
        let g = [3.0, 0.0, 0.0, 4.0];
        let expected = [3.0f64 / 5.0, 4.0 / 5.0]
            .map(|start| (0..ROUNDS).fold(start, |x, _| 3.4445 * x - 4.775 * x.powi(3) + 2.0315 * x.powi(5)));
        let x = orthogonal(&g, [2, 2]);
        assert!((f64::from(x[0]) - expected[0]).abs() < 1e-4 && (f64::from(x[3]) - expected[1]).abs() < 1e-4, "{x:?}");
        assert!(x[1].abs() < 1e-5 && x[2].abs() < 1e-5);
        assert_eq!(orthogonal(&[0.0; 6], [2, 3]), [0.0; 6], "no gradient, no step");
    }

    #[test]
    fn matrices_of_layers_are_taken() {
        assert!(takes("encoder.layers.3.attention.query.weight") && takes("layers.0.dense1.weight"));
        assert!(!takes("encoder.embeddings.word_embeddings.weight") && !takes("mlm.dense.weight"));
    }
}
