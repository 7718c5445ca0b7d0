//! The tensors of an operation.

use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Backend, BackendTensor, Dispatch, DispatchAutodiffContext, DispatchTensor, DispatchTensorKind, ExtensionType,
};

/// Float tensors that an operation takes, in its order.
pub(crate) struct Operands<B: Backend>(Vec<FloatTensor<B>>);

impl<B: Backend, const N: usize> From<[FloatTensor<B>; N]> for Operands<B> {
    fn from(tensors: [FloatTensor<B>; N]) -> Self {
        Self(tensors.into())
    }
}

impl<B: Backend> Operands<B> {
    /// All of them.
    ///
    /// # Panics
    /// There are not `N`.
    pub fn all<const N: usize>(self) -> [FloatTensor<B>; N] {
        self.0.try_into().unwrap_or_else(|tensors: Vec<_>| panic!("{} operands, not {N}", tensors.len()))
    }

    /// The first `N`, which autodiff follows, and the last.
    ///
    /// # Panics
    /// There are not `N + 1`.
    pub fn and_mask<const N: usize>(mut self) -> ([FloatTensor<B>; N], FloatTensor<B>) {
        let mask = self.0.pop().expect("an operand");
        (self.all(), mask)
    }
}

/// Written by hand, as burn derives it for tensors that are fields by themselves.
impl<B: Backend> ExtensionType<B> for Operands<B> {
    type Target = Operands<Dispatch>;

    fn map_to_dispatch<F>(self, map_kind: F, autodiff: DispatchAutodiffContext) -> Operands<Dispatch>
    where
        F: Fn(BackendTensor<B>) -> DispatchTensorKind,
    {
        let map = |tensor| DispatchTensor { kind: map_kind(BackendTensor::Float(tensor)), autodiff };
        Operands(self.0.into_iter().map(map).collect())
    }

    fn map_from_dispatch<F>(operands: Operands<Dispatch>, unwrap_kind: F) -> Self
    where
        F: Fn(DispatchTensor) -> BackendTensor<B>,
    {
        Self(operands.0.into_iter().map(|tensor| unwrap_kind(tensor).float()).collect())
    }

    fn routing_tensor(operands: &Operands<Dispatch>) -> Option<&DispatchTensor> {
        operands.0.first()
    }

    fn routing_float_tensor(operands: &Operands<Dispatch>) -> Option<&DispatchTensor> {
        operands.0.first()
    }

    fn autodiff_context(operands: &Operands<Dispatch>) -> DispatchAutodiffContext {
        let contexts = operands.0.iter().map(|tensor| tensor.autodiff);
        contexts.fold(DispatchAutodiffContext::Disabled, DispatchAutodiffContext::merge)
    }
}
