//! Which values of a gene the good candidates have more often than all: a pair of bars for each.

use crate::data::{GeneValue, StageReport};
use crate::format::finite;
use crate::markup::{Markup, Px};

const WIDTH: f64 = 440.0;
/// Where bars begin and how long one of 100% is.
const LEFT: f64 = 130.0;
const LENGTH: f64 = 250.0;
const ROW: f64 = 30.0;
const BAR: f64 = 9.0;

/// Of fewer candidates a part says nothing.
const FEWEST: u64 = 8;

/// A picture with its heading for every gene that has more than one value; none of a stage with fewer than eight scored candidates.
pub(crate) fn pictures(stage: &StageReport) -> Vec<(String, Markup)> {
    if stage.counted[0] < FEWEST {
        return Vec::new();
    }
    let mut genes: Vec<&[GeneValue]> = stage.genes.chunk_by(|a, b| a.gene == b.gene).collect();
    genes.retain(|values| values.len() > 1);
    genes.into_iter().map(|values| (title(&values[0].gene), picture(values))).collect()
}

/// In words.
fn title(gene: &str) -> String {
    match gene {
        "hidden" => "hidden width",
        "embed" => "width of the word table",
        "layers" => "number of layers",
        "heads" => "attention heads of a layer",
        "attention" => "attention width of a layer",
        "feed_forward" => "feed-forward width of a layer, all stacks together",
        "stacks" => "stacked feed-forwards of a layer",
        "ratio" => "inner width of a feed-forward, of the base width",
        "function" => "layers whose feed-forward has the function",
        other => other,
    }
    .to_owned()
}

fn picture(values: &[GeneValue]) -> Markup {
    let mut svg = Markup::default();
    let view = format!("0 0 {WIDTH} {}", Px(values.len() as f64 * ROW));
    let label = format!("how often {} has each value, of all candidates and of the best", values[0].gene);
    svg.open("svg", &[("class", &"genes"), ("viewBox", &view), ("role", &"img"), ("aria-label", &label)]);
    for (row, value) in values.iter().enumerate() {
        let top = row as f64 * ROW + 3.0;
        let name: [(&str, &dyn std::fmt::Display); 3] =
            [("x", &Px(LEFT - 8.0)), ("y", &Px(top + 15.0)), ("text-anchor", &"end")];
        svg.element("text", &name, &value.value);
        for (line, (class, part)) in [("all", value.all), ("good", value.good)].into_iter().enumerate() {
            let part = finite(Some(part)).unwrap_or(0.0).clamp(0.0, 1.0);
            let (y, length) = (top + line as f64 * (BAR + 2.0), part * LENGTH);
            let bar: [(&str, &dyn std::fmt::Display); 5] =
                [("class", &class), ("x", &Px(LEFT)), ("y", &Px(y)), ("width", &Px(length)), ("height", &Px(BAR))];
            svg.open("rect", &bar).close("rect");
            let number: [(&str, &dyn std::fmt::Display); 3] =
                [("class", &"tick"), ("x", &Px(LEFT + length + 5.0)), ("y", &Px(y + BAR - 0.5))];
            svg.element("text", &number, format!("{:.0}%", part * 100.0));
        }
    }
    svg.close("svg");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(genes: &[(&str, &str, f64, f64)], counted: [u64; 2]) -> StageReport {
        let genes = genes
            .iter()
            .map(|&(gene, value, all, good)| GeneValue { gene: gene.into(), value: value.into(), all, good })
            .collect();
        StageReport { genes, counted, ..StageReport::default() }
    }

    #[test]
    fn genes_that_vary_have_a_picture_with_two_bars_a_value() {
        let rows = [("hidden", "264", 0.5, 1.0), ("hidden", "312", 0.5, 0.0), ("layers", "6", 1.0, 1.0)];
        let mut found = pictures(&stage(&rows, [8, 2]));
        assert_eq!(found.len(), 1, "the number of layers does not vary");
        let (title, picture) = found.remove(0);
        let svg = picture.finish();
        assert_eq!((title.as_str(), svg.matches("<rect").count()), ("hidden width", 4));
        assert!(svg.contains("width=\"250.0\"") && svg.contains("width=\"125.0\"") && svg.contains(">100%<"), "{svg}");
    }

    #[test]
    fn a_few_candidates_are_nothing_to_compare() {
        assert!(pictures(&stage(&[("hidden", "264", 1.0, 1.0), ("hidden", "3", 0.0, 0.0)], [7, 2])).is_empty());
    }
}
