//! Best low-rank factors (Eckart and Young 1936), of a matrix or by what it does to data.

use nalgebra::SymmetricEigen;

use crate::products::{self, moments};
use crate::{Matrix, Vector};

/// Eigenvalues below this part of the largest count as 0.
const NEGLIGIBLE: f64 = 1e-12;

/// Eigenvalues and eigenvectors (columns) of a symmetric matrix, the largest first. The sign of each vector is such that its entry of
/// largest magnitude is positive.
pub fn principal(symmetric: &Matrix) -> (Vector, Matrix) {
    let eigen = SymmetricEigen::new(symmetric.clone());
    let mut order: Vec<usize> = (0..eigen.eigenvalues.len()).collect();
    order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]).then(a.cmp(&b)));
    let values = eigen.eigenvalues.select_rows(&order);
    let mut vectors = eigen.eigenvectors.select_columns(&order);
    for mut column in vectors.column_iter_mut() {
        if column[column.icamax()] < 0.0 {
            column.neg_mut();
        }
    }
    (values, vectors)
}

/// A square root `L` of a positive semidefinite matrix, `L L^T = m`, and its pseudoinverse.
pub fn root(moment: &Matrix) -> (Matrix, Matrix) {
    let (values, vectors) = principal(moment);
    let least = values.iter().copied().fold(0.0, f64::max) * NEGLIGIBLE;
    let (mut root, mut inverse) = (vectors.clone(), vectors);
    for (i, &value) in values.iter().enumerate() {
        let (to, back) = if value > least { (value.sqrt(), value.sqrt().recip()) } else { (0.0, 0.0) };
        root.column_mut(i).scale_mut(to);
        inverse.column_mut(i).scale_mut(back);
    }
    (root, inverse.transpose())
}

/// Singular values of `m`, the largest first, and its right and left singular vectors as columns; vectors of values that count as 0 are 0.
fn singular(m: &Matrix) -> (Vector, Matrix, Matrix) {
    let (squares, right) = principal(&(m.transpose() * m));
    let values = squares.map(|square| square.max(0.0).sqrt());
    let least = values.iter().copied().fold(0.0, f64::max) * NEGLIGIBLE.sqrt();
    let mut left = m * &right;
    for (i, &value) in values.iter().enumerate() {
        left.column_mut(i).scale_mut(if value > least { value.recip() } else { 0.0 });
    }
    (values, right, left)
}

/// Singular values of `m`, the largest first: the square roots of the eigenvalues of the smaller of `m m^T` and `m^T m`.
pub fn singular_values(m: &Matrix) -> Vector {
    smaller_gram_eigenvalues(m).map(|square| square.max(0.0).sqrt())
}

/// The number of principal components of samples that explain more than `share` of their variance: the least `k` such that the `k` largest
/// eigenvalues of the covariance sum to more than `share` of all; all components that there are where none do, and 0 without any variance.
///
/// # Shapes
/// - `x`: `[features, samples]`
pub fn principal_components(x: &Matrix, share: f64) -> usize {
    if x.is_empty() {
        return 0;
    }
    let mean = x.column_mean();
    let mut centered = x.clone();
    centered.column_iter_mut().for_each(|mut column| column -= &mean);
    let variances = smaller_gram_eigenvalues(&centered).map(|value| value.max(0.0));
    let least = variances.iter().copied().fold(0.0, f64::max) * NEGLIGIBLE;
    let variances: Vec<f64> = variances.iter().copied().filter(|&value| value > least).collect();
    let wanted = variances.iter().sum::<f64>() * share;
    let mut sum = 0.0;
    let enough = variances.iter().position(|value| {
        sum += value;
        sum > wanted
    });
    enough.map_or(variances.len(), |last| last + 1)
}

/// Eigenvalues of the smaller of `m m^T` and `m^T m`, the largest first; the larger has the same, and zeros.
fn smaller_gram_eigenvalues(m: &Matrix) -> Vector {
    if m.is_empty() {
        return Vector::zeros(0);
    }
    let gram = if m.nrows() <= m.ncols() { moments(m, None) } else { moments(&m.transpose(), None) };
    let mut values: Vec<f64> = gram.symmetric_eigenvalues().iter().copied().collect();
    values.sort_by(|a, b| b.total_cmp(a));
    Vector::from_vec(values)
}

/// The best factors `T P` of a table by truncated SVD, row `r` of which counts `weights[r]` times.
///
/// `P^T` are the principal directions of the weighted rows and `T = table P^T`. Without weights the squared error is the sum of the
/// squares of the table's other singular values.
///
/// # Shapes
/// - `table`: `[rows, columns]`
/// - outputs: `T` `[rows, rank]`, `P` `[rank, columns]`; with a rank above the columns the rest of both is 0
pub fn table(table: &Matrix, weights: Option<&[f64]>, rank: usize) -> (Matrix, Matrix) {
    let (_, vectors) = principal(&moments(&table.transpose(), weights));
    let kept = rank.min(table.ncols());
    let directions = vectors.columns(0, kept).into_owned();
    let left = products::product(table, &directions).resize_horizontally(rank, 0.0);
    (left, directions.transpose().resize_vertically(rank, 0.0))
}

/// Maps `A` and `B` to `rank` values each, such that `(A q)^T (B k)` is the best approximation of `q^T k` of that rank, for independent
/// `q` and `k` with these second moments.
///
/// With `L_q L_q^T` and `L_k L_k^T` the moments and `U S V^T` the SVD of `L_q^T L_k`: `A = S^1/2 U^T L_q^-1`,
/// `B = S^1/2 V^T L_k^-1`, the largest singular values first. At full rank the product is `q^T k` itself, on everything that the
/// moments contain.
///
/// # Shapes
/// - moments: `[d, d]`
/// - outputs: `[rank, d]`; rows beyond `d` are 0
pub fn bilinear(queries: &Matrix, keys: &Matrix, rank: usize) -> (Matrix, Matrix) {
    let ((left, left_inverse), (right, right_inverse)) = (root(queries), root(keys));
    let (values, v, u) = singular(&(left.transpose() * right));
    let kept = rank.min(values.len());
    let side = |vectors: &Matrix, inverse: &Matrix| {
        let mut rows = vectors.columns(0, kept).transpose();
        for (i, mut row) in rows.row_iter_mut().enumerate() {
            row *= values[i].sqrt();
        }
        (rows * inverse).resize_vertically(rank, 0.0)
    };
    (side(&u, &left_inverse), side(&v, &right_inverse))
}

/// Maps `A` (to `rank` values) and `B` (back), such that `B A c` is the best approximation of `output c` of that rank, for `c` with this second
/// moment.
///
/// With `L L^T` the moment and `U S V^T` the SVD of `output L`, `B A = output L V V^T L^-1`, the largest singular values first. The rows of
/// `A` are made orthonormal, so that its values are of the size of `c`'s and a step of a training does the same to both maps as to the
/// larger ones; the first `k` of them still give the best approximation of rank `k`.
///
/// # Shapes
/// - `moment`: `[d, d]`
/// - `output`: `[outputs, d]`
/// - outputs: `A` `[rank, d]`, `B` `[outputs, rank]`; rows and columns beyond `d` are 0
pub fn product(moment: &Matrix, output: &Matrix, rank: usize) -> (Matrix, Matrix) {
    let (root, inverse) = root(moment);
    let through = output * root;
    let (_, right, _) = singular(&through);
    let kept = rank.min(right.ncols());
    let right = right.columns(0, kept).into_owned();
    // A^T = Q R, so B A = (B R^T) Q^T.
    let (q, r) = (right.transpose() * inverse).transpose().qr().unpack();
    let up = through * right * r.transpose();
    (q.transpose().resize_vertically(rank, 0.0), up.resize_horizontally(rank, 0.0))
}

/// The rows of `m` turned to their principal directions, of which the first `rows` are kept: sums of squares of columns lose no more than the
/// directions left out.
pub fn compressed(m: &Matrix, rows: usize) -> Matrix {
    if m.nrows() <= rows {
        return m.clone();
    }
    let (_, vectors) = principal(&moments(m, None));
    vectors.columns(0, rows).transpose() * m
}
