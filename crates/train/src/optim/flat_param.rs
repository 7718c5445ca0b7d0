//! Where the floats of a parameter's gradient and moments lie.

use burn::tensor::{Device, Tensor, TensorData};
use cpu_kernels::elementwise::optimizer::{axpy, sum_of_squares};
use rayon::prelude::*;

/// Elements that one thread works on at a time: large enough to pay for another thread.
pub(super) const CHUNK: usize = 1 << 14;

/// The floats of one parameter, flat, where its device computes with them: in host memory for the CPU, whose kernels update weights
/// and moments in one pass; elsewhere on the device, so that a step moves nothing between it and the host.
#[derive(Clone, Debug)]
pub(super) enum FlatParam {
    Host(Vec<f32>),
    Device(Box<Tensor<1>>),
}

impl FlatParam {
    /// The values of `tensor`, where it is.
    pub fn of<const D: usize>(tensor: Tensor<D>) -> Self {
        if tensor.device() == Device::flex() {
            return Self::Host(values(tensor));
        }
        let n = tensor.shape().num_elements();
        Self::Device(Box::new(tensor.reshape([n])))
    }

    /// As many zeros, at the same place.
    pub fn zeros(&self) -> Self {
        match self {
            Self::Host(x) => Self::Host(vec![0.0; x.len()]),
            Self::Device(x) => Self::Device(Box::new(x.zeros_like())),
        }
    }

    /// The values in host memory, moved there if necessary.
    pub fn into_host(self) -> Vec<f32> {
        match self {
            Self::Host(x) => x,
            Self::Device(x) => values(*x),
        }
    }

    /// The values on `device`, moved there if necessary.
    pub fn into_device(self, device: &Device) -> Tensor<1> {
        match self {
            Self::Host(x) => Tensor::from_floats(x.as_slice(), device),
            Self::Device(x) => x.to_device(device),
        }
    }

    /// As [`FlatParam::of`] would have it for a tensor on `device`.
    pub fn on(self, device: &Device) -> Self {
        match *device == Device::flex() {
            true => Self::Host(self.into_host()),
            false => Self::Device(Box::new(self.into_device(device))),
        }
    }

    /// A tensor of these values.
    ///
    /// # Panics
    /// Their number is not that of `shape`.
    pub fn into_tensor<const D: usize>(self, shape: [usize; D], device: &Device) -> Tensor<D> {
        match self {
            Self::Host(x) => Tensor::from_data(TensorData::new(x, shape), device),
            Self::Device(x) => x.to_device(device).reshape(shape),
        }
    }

    /// Adds `other`, where this is.
    pub fn add(&mut self, other: Self) {
        match self {
            Self::Host(y) => {
                let x = other.into_host();
                y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| axpy(1.0, x, y));
            }
            Self::Device(y) => {
                let x = other.into_device(&y.device());
                **y = (**y).clone() + x;
            }
        }
    }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.try_into_vec_as::<f32>().expect("float tensors convert to f32")
}

/// `sum x^2` by chunks of fixed size, which do not depend on the number of threads.
pub(super) fn squares(x: &[f32]) -> f64 {
    x.par_chunks(CHUNK).map(sum_of_squares).collect::<Vec<f64>>().into_iter().sum()
}

/// Euclidean norm of everything in `params`: in host memory a sum in `f64` in their order, on a device one in `f32` that is read
/// once.
pub(super) fn norm<'a>(params: impl IntoIterator<Item = &'a FlatParam>) -> f64 {
    let (mut sum, mut on_device) = (0.0, Vec::new());
    for param in params {
        match param {
            FlatParam::Host(x) => sum += squares(x),
            FlatParam::Device(x) => on_device.push(((**x).clone() * (**x).clone()).sum()),
        }
    }
    if !on_device.is_empty() {
        sum += f64::from(Tensor::cat(on_device, 0).sum().into_scalar::<f32>());
    }
    sum.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: [f32; 6] = [1.0, -2.0, 0.5, 3.0, -0.25, 4.0];

    /// The same values in host memory, and as on a device of its own.
    fn both() -> [FlatParam; 2] {
        let tensor = Tensor::<1>::from_floats(VALUES, &Device::flex());
        [FlatParam::of(tensor.clone().reshape([2, 3])), FlatParam::Device(Box::new(tensor))]
    }

    #[test]
    fn values_are_the_same_wherever_they_lie() {
        let [host, device] = both();
        assert!(matches!(host, FlatParam::Host(_)), "the processor's tensors are in host memory");
        for param in [host, device] {
            assert_eq!(param.zeros().into_host(), [0.0; 6]);
            assert!((norm([&param]) - 30.3125_f64.sqrt()).abs() < 1e-6);
            assert_eq!(param.clone().on(&Device::flex()).into_host(), VALUES);
            assert_eq!(param.clone().into_device(&Device::flex()).try_into_vec_as::<f32>().unwrap(), VALUES);
            let tensor = param.into_tensor([3, 2], &Device::flex());
            assert_eq!((tensor.dims(), tensor.try_into_vec_as::<f32>().unwrap()), ([3, 2], VALUES.to_vec()));
        }
    }

    #[test]
    fn sums_and_norms_take_values_from_both_places() {
        for mut sum in both() {
            for more in both() {
                sum.add(more);
            }
            assert_eq!(sum.into_host(), VALUES.map(|x| 3.0 * x));
        }
        let [host, device] = both();
        assert!((norm([&host, &device, &device]) - (3.0 * 30.3125_f64).sqrt()).abs() < 1e-6);
        assert_eq!(norm([]), 0.0);
    }
}
