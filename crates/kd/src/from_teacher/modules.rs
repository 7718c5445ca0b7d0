//! Weights of burn modules as matrices. burn keeps a linear map as `[inputs, outputs]` row by row, which is `[outputs, inputs]` column by
//! column.

use bert_core::Norm;
use burn::module::Param;
use burn::nn::{Embedding, Linear};
use burn::tensor::{Tensor, TensorData};
use linear_fit::{Affine, Matrix, Vector};

fn values<const D: usize>(tensor: Tensor<D>) -> impl Iterator<Item = f64> {
    tensor.try_into_vec_as::<f32>().expect("float tensors convert to f32").into_iter().map(f64::from)
}

fn set<const D: usize>(param: &mut Param<Tensor<D>>, values: impl Iterator<Item = f64>) {
    let shape = param.lazy_shape();
    let data = TensorData::new(values.map(|v| v as f32).collect::<Vec<_>>(), shape);
    let tensor = Tensor::from_data(data, &param.lazy_device());
    let id = param.id;
    *param = param.clone().transform_for_load(tensor, id);
}

/// The map of a layer.
pub(crate) fn read(layer: &Linear) -> Affine {
    let weight = layer.weight.val();
    let [inputs, outputs] = weight.dims();
    let bias = layer.bias.as_ref().map(|bias| Vector::from_iterator(outputs, values(bias.val())));
    Affine {
        weight: Matrix::from_iterator(outputs, inputs, values(weight)),
        bias: bias.unwrap_or_else(|| Vector::zeros(outputs)),
    }
}

/// Gives a layer the weights of a map of its sizes.
pub(super) fn write(layer: &mut Linear, map: &Affine) {
    set(&mut layer.weight, map.weight.iter().copied());
    if let Some(bias) = &mut layer.bias {
        set(bias, map.bias.iter().copied());
    }
}

/// The rows of a table as columns, `[width, rows]`.
pub(super) fn read_table(table: &Embedding) -> Matrix {
    let weight = table.weight.val();
    let [rows, width] = weight.dims();
    Matrix::from_iterator(width, rows, values(weight))
}

/// Gives a table the columns of `rows`.
pub(super) fn write_table(table: &mut Embedding, rows: &Matrix) {
    set(&mut table.weight, rows.iter().copied());
}

/// Scale and shift of a norm.
pub(super) fn read_norm(norm: &Norm) -> (Vector, Vector) {
    let read = |param: &Param<Tensor<1>>| Vector::from_vec(values(param.val()).collect());
    let scale = read(&norm.weight);
    let shift = norm.bias.as_ref().map_or_else(|| Vector::zeros(scale.len()), read);
    (scale, shift)
}

/// Gives a norm its scale and shift.
pub(super) fn write_norm(norm: &mut Norm, (scale, shift): (&Vector, &Vector)) {
    set(&mut norm.weight, scale.iter().copied());
    if let Some(bias) = &mut norm.bias {
        set(bias, shift.iter().copied());
    }
}
