//! Learned growth: LiGO, the linear growth operator of Wang et al. (ICLR 2023).

mod config;
mod linear;
mod maps;

use std::borrow::Cow;
use std::collections::BTreeMap;

use encoder_spec::{HostTensor, Stored};
use model_dir::Tensors;

pub use config::{LayerWidths, LigoConfig};

use crate::{Error, Plan, Quantity, Result};
use linear::{Matrix, Side, Step, dot, mixed};
use maps::{Along, Map, Maps, Width};

/// A growth whose matrices are learned. It begins as the growth of a [`Plan`].
///
/// Weight `t` of layer `i` of the large model is
///
/// ```text
/// W'_i = B_out (sum_j w_t[i, j] W_j) diag(1 / n_in) B_in^T        B = [I; C]
/// ```
///
/// with the weights `W_j` of the small model's layers. A weight outside the layers has no sum. `w_t` and `C` are the parameters; `n`
/// is the number of copies that the plan makes of each channel, and is constant.
///
/// | parameter | shape | makes |
/// |---|---|---|
/// | `depth.T` | large layers, small layers | the weights `T` of all layers, such as `depth.attention.query.weight` |
/// | `width.hidden` | new channels, old channels | what stands between layers, in all weights that write or read it |
/// | `width.embedding` | the same | a word table that a projection follows |
/// | `width.bottleneck` | the same | the inside of a bottleneck |
/// | `width.layers.I.attention.P` | the same | queries, keys or values of layer `I`; the map after attention reads values |
/// | `width.layers.I.feed_forward.blocks.J` | the same | the inside of a feed-forward |
/// | `width.attention.P`, `width.feed_forward.blocks.J` | the same | as these two, where layers share them ([`LayerWidths::Shared`]) |
///
/// A width that stays as it is has no matrix. Where the number of layers stays, nothing is mixed.
///
/// Source: Wang et al., Learning to Grow Pretrained Models for Efficient Transformer Training, ICLR 2023, and its released code
/// (`github.com/VITA-Group/LiGO`, `ligo.py`). `docs/design/growth.md` says what differs.
#[derive(Clone, Debug)]
pub struct Ligo {
    plan: Plan,
    maps: BTreeMap<String, Map>,
    widths: BTreeMap<String, Width>,
    parameters: Tensors,
}

impl Ligo {
    /// The growth of `plan`, to be learned. [`Ligo::expand`] gives what [`Plan::apply`] gives. The exception is `noise` in a plan: it is
    /// added to the matrices, so that new channels differ from what they are copies of by about that share.
    ///
    /// # Errors
    /// [`Error::Unlearnable`]: a searched encoder; new layers that pass their input on; layers that share a matrix and have drawn
    /// different copies; nothing grows.
    pub fn new(plan: &Plan, widths: LayerWidths) -> Result<Self> {
        let Maps { maps, widths, parameters } = Maps::of(plan, widths)?;
        Ok(Self { plan: plan.clone(), maps, widths, parameters })
    }

    /// The matrices by name.
    pub fn parameters(&self) -> &Tensors {
        &self.parameters
    }

    /// The matrices by name, in the order of [`Ligo::parameters`], to be changed by an optimizer.
    pub fn parameters_mut(&mut self) -> impl Iterator<Item = (&str, &mut [f32])> {
        self.parameters.0.iter_mut().map(|(name, tensor)| (name.as_str(), tensor.data.as_mut_slice()))
    }

    /// Sets the matrices, as a checkpoint has them.
    ///
    /// # Errors
    /// [`Error::Learned`]: one is missing, left over, of another shape or not finite. The matrices from before then stay.
    pub fn set_parameters(&mut self, parameters: Tensors) -> Result<()> {
        check("parameter", &parameters, |name| self.parameters.0.get(name).map(|own| &own.shape[..]))?;
        if let Some(name) = self.parameters.0.keys().find(|name| !parameters.0.contains_key(*name)) {
            return Err(Error::Learned { what: "parameter", name: name.clone(), message: "is missing".into() });
        }
        self.parameters = parameters;
        Ok(())
    }

    /// The weights of the large model, of those of the small one, both by path
    /// ([`Encoder::weights`](encoder_spec::Encoder::weights)). They are linear in the weights of the small model.
    ///
    /// # Errors
    /// As [`Plan::apply`].
    pub fn expand<T: Stored>(&self, small: &Tensors<T>) -> Result<Tensors> {
        self.plan.check_given(small, Quantity::Weights)?;
        let expanded = |(path, map): (&String, &Map)| {
            let shape = self.plan.large[path].clone();
            let mut value = self.mixed(map, small);
            for step in self.steps(map) {
                value = step.expand(&value);
            }
            (path.clone(), HostTensor { shape, data: value.values.into_owned() })
        };
        Ok(Tensors(self.maps.iter().map(expanded).collect()))
    }

    /// Gradients of a loss by the matrices, of its gradients by the weights of the large model, at the weights [`Ligo::expand`]`(small)`.
    ///
    /// With `G = dL/dW'` and `X` for what a matrix is multiplied with, `dL/dC` is the sum of `G_new X^T` over all weights that `C` makes, where `G_new` are
    /// the rows (columns) of the new channels. `dL/dw_t[i, j]` is the scalar product of `dL/d(sum_j w_t[i, j] W_j)` and `W_j`. Products are computed in
    /// `f32`, scalar products in `f64`. A weight without a gradient is taken as one that the loss does not depend on.
    ///
    /// # Errors
    /// As [`Plan::apply`] for `small`; [`Error::Learned`] for a gradient that is of no weight, of another shape or not finite.
    pub fn pullback<T: Stored, G: Stored>(&self, small: &Tensors<T>, gradients: &Tensors<G>) -> Result<Tensors> {
        self.plan.check_given(small, Quantity::Weights)?;
        check("gradient", gradients, |path| self.plan.large.get(path).map(Vec::as_slice))?;
        let zeros =
            |tensor: &HostTensor| HostTensor { shape: tensor.shape.clone(), data: vec![0.0; tensor.data.len()] };
        let mut pulled: BTreeMap<String, HostTensor> =
            self.parameters.0.iter().map(|(name, tensor)| (name.clone(), zeros(tensor))).collect();
        for (path, gradient) in &gradients.0 {
            self.pull(&self.maps[path], small, gradient.values(), &mut pulled);
        }
        Ok(Tensors(pulled))
    }

    /// Adds what the gradient of one weight says to the gradients of the matrices.
    fn pull<T: Stored>(
        &self,
        map: &Map,
        small: &Tensors<T>,
        gradient: &[f32],
        pulled: &mut BTreeMap<String, HostTensor>,
    ) {
        if map.mix.is_none() && map.rows.is_none() && map.columns.is_none() {
            return;
        }
        let steps = self.steps(map);
        // What each step begins with; what the last one gives is not needed.
        let mut inputs = Vec::new();
        for i in 0..steps.len() {
            let input = if i == 0 { self.mixed(map, small) } else { steps[i - 1].expand(&inputs[i - 1]) };
            inputs.push(input);
        }
        let mut gradient = Cow::Borrowed(gradient);
        for (i, (step, input)) in steps.iter().zip(&inputs).enumerate().rev() {
            let wants_input = i > 0 || map.mix.is_some();
            let Some(own) = pulled.get_mut(step.name) else { continue };
            match step.pull(input, &gradient, &mut own.data, wants_input) {
                Some(of_input) => gradient = of_input.into(),
                None => return,
            }
        }
        let Some((name, row)) = &map.mix else { return };
        let Some(own) = pulled.get_mut(name) else { return };
        let row = &mut own.data[row * map.sources.len()..][..map.sources.len()];
        for (value, source) in row.iter_mut().zip(&map.sources) {
            *value = dot(&gradient, small.0[source].values()) as f32;
        }
    }

    /// What a weight is before its widths grow.
    fn mixed<'a, T: Stored>(&self, map: &Map, small: &'a Tensors<T>) -> Matrix<'a> {
        let sources: Vec<&[f32]> = map.sources.iter().map(|source| small.0[source].values()).collect();
        let values = match &map.mix {
            Some((name, row)) => mixed(&self.parameters.0[name].data[row * sources.len()..][..sources.len()], &sources),
            None => sources[0].into(),
        };
        let (rows, columns) = self.size(map);
        Matrix { values, rows, columns }
    }

    /// Rows and columns of a weight before its widths grow.
    fn size(&self, map: &Map) -> (usize, usize) {
        match self.plan.small[&map.sources[0]][..] {
            [rows, columns] => (rows, columns),
            ref shape => (1, shape.iter().product()),
        }
    }

    /// The widths of a weight that grow, in the order that takes fewer operations.
    fn steps<'a>(&'a self, map: &'a Map) -> Vec<Step<'a>> {
        let step = |side, along: &'a Along| Step {
            side,
            name: &along.width,
            learned: &self.parameters.0[&along.width].data,
            width: &self.widths[&along.width],
            divided: along.divided,
        };
        let (rows, columns) = (map.rows.as_ref(), map.columns.as_ref());
        let mut steps: Vec<Step<'a>> =
            rows.map(|a| step(Side::Rows, a)).into_iter().chain(columns.map(|a| step(Side::Columns, a))).collect();
        if let [first, second] = &steps[..] {
            let (rows, columns) = self.size(map);
            // Multiply-adds; the second step has a matrix that has grown.
            let cost = |first: &Step<'_>, second: &Step<'_>| {
                let more = |step: &Step<'_>| step.width.new - step.width.old;
                rows * columns * more(first) + rows * columns / first.width.old * first.width.new * more(second)
            };
            if cost(second, first) < cost(first, second) {
                steps.reverse();
            }
        }
        steps
    }
}

/// Checks tensors whose `shape` is known by name.
fn check<'s, T: Stored>(
    what: &'static str,
    tensors: &Tensors<T>,
    shape: impl Fn(&str) -> Option<&'s [usize]>,
) -> Result<()> {
    for (name, tensor) in &tensors.0 {
        let fault = |message: String| Err(Error::Learned { what, name: name.clone(), message });
        let Some(expected) = shape(name) else { return fault("belongs to nothing that is learned here".into()) };
        if tensor.shape() != expected || tensor.values().len() != expected.iter().product::<usize>() {
            return fault(format!("has the shape {:?}, and {expected:?} is needed", tensor.shape()));
        }
        if !tensor.are_finite() {
            return fault("holds a value that is infinite or NaN".into());
        }
    }
    Ok(())
}
