//! Weights and ranges as 8-bit integers.

/// Largest magnitude of a weight. -128 isn't used, so that the scale serves both signs.
const LARGEST: f32 = 127.0;

/// A matrix `[inputs, outputs]` with a scale for each output: `w = scale * q`, `q` from -127 to 127.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Columns {
    pub shape: [usize; 2],
    pub values: Vec<i8>,
    pub scales: Vec<f32>,
}

impl Columns {
    /// Rounds `weights`, `[inputs, outputs]`, to the nearest.
    pub fn new(weights: &[f32], [inputs, outputs]: [usize; 2]) -> Self {
        let largest = |o: usize| (0..inputs).fold(0f32, |most, i| most.max(weights[i * outputs + o].abs()));
        let scales: Vec<f32> = (0..outputs).map(|o| scale(largest(o))).collect();
        let values = weights.iter().enumerate().map(|(at, w)| rounded(w / scales[at % outputs])).collect();
        Self { shape: [inputs, outputs], values, scales }
    }
}

/// A table with a scale for each row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rows {
    pub values: Vec<i8>,
    pub scales: Vec<f32>,
}

impl Rows {
    /// Rounds `table`, rows of `width` values, to the nearest.
    pub fn new(table: &[f32], width: usize) -> Self {
        let largest = |row: &[f32]| row.iter().fold(0f32, |most, v| most.max(v.abs()));
        let scales: Vec<f32> = table.chunks(width).map(|row| scale(largest(row))).collect();
        let values = table.chunks(width).zip(&scales).flat_map(|(row, &s)| row.iter().map(move |v| rounded(v / s)));
        Self { values: values.collect(), scales }
    }
}

/// The scale at which a value of this magnitude is the largest integer; 1 where all are 0.
fn scale(largest: f32) -> f32 {
    if largest > 0.0 { largest / LARGEST } else { 1.0 }
}

fn rounded(value: f32) -> i8 {
    value.round_ties_even().clamp(-LARGEST, LARGEST) as i8
}

/// Scale and zero point by which values from `least` to `greatest` become bytes: `x = scale * (q - zero)`. 0 is always among them, and
/// exact.
pub(crate) fn scale_of([least, greatest]: [f32; 2]) -> (f32, u8) {
    let (least, greatest) = (least.min(0.0), greatest.max(0.0));
    let scale = (greatest - least) / 255.0;
    if scale <= 0.0 {
        return (1.0, 0);
    }
    (scale, (-least / scale).round_ties_even().clamp(0.0, 255.0) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_weight_is_within_half_a_step_of_its_own_channel() {
        let weights: Vec<f32> = (0..24).map(|i| ((i * 37 % 23) as f32 - 11.0) * 10f32.powi(i % 4 - 2)).collect();
        let columns = Columns::new(&weights, [6, 4]);
        for (at, weight) in weights.iter().enumerate() {
            let scale = columns.scales[at % 4];
            let back = f32::from(columns.values[at]) * scale;
            assert!((back - weight).abs() <= scale * 0.5001, "{weight} became {back} at scale {scale}");
        }
        let rows = Rows::new(&weights, 4);
        let back = |at: usize| f32::from(rows.values[at]) * rows.scales[at / 4];
        assert!((0..24).all(|at| (back(at) - weights[at]).abs() <= rows.scales[at / 4] * 0.5001));
    }

    #[test]
    fn zeros_stay_zeros() {
        assert_eq!(Columns::new(&[0.0; 4], [2, 2]).scales, [1.0, 1.0]);
        for range in [[-1.0, 3.0], [2.0, 5.0], [-7.0, -3.0], [0.0, 0.0], [-1e-3, 8.0]] {
            let (scale, zero) = scale_of(range);
            let quantized = |x: f32| (x / scale + f32::from(zero)).round().clamp(0.0, 255.0);
            assert_eq!(quantized(0.0), f32::from(zero), "{range:?}");
            for x in range {
                let back = (quantized(x) - f32::from(zero)) * scale;
                assert!((back - x).abs() <= scale * 0.51, "{range:?}: {x} became {back}");
            }
        }
    }
}
