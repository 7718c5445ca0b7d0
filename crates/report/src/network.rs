//! The found network as a picture: one row per layer, its attention, then its feed-forward networks, drawn as wide as they are.

use crate::data::{LayerReport, StudentReport};
use crate::format::count;
use crate::markup::{Markup, Px};

const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 98.0;
const MIDDLE: f64 = 47.0;
/// Height of the widest tensor of the whole network; the others are in proportion.
const TALLEST: f64 = 62.0;
const ATTENTION: f64 = 84.0;
const GAP: f64 = 12.0;
/// More stacked networks than this are drawn as one with a multiplier.
const MOST_DRAWN: u64 = 6;

/// Every layer with its picture, expression and sizes, from the embeddings up.
pub(crate) fn layers(student: &StudentReport) -> Markup {
    let widest =
        student.layers.iter().flat_map(|l| [l.inner, l.attention]).chain([student.hidden, 1]).max().unwrap_or(1) as f64;
    let mut out = Markup::default();
    out.raw("<ol class=\"layers\">");
    for (i, layer) in student.layers.iter().enumerate() {
        out.raw("<li><h4>Layer ").text(i + 1).raw("</h4><p class=\"sizes\">");
        out.text(count(layer.params)).raw(" parameters, ").text(count(layer.macs)).raw(" multiply-adds</p>");
        out.append(&picture(student, layer, i + 1, widest));
        out.raw("<p class=\"expression\"><code>").text(&layer.expression).raw("</code></p><p class=\"sizes\">");
        match layer.inner {
            0 => out.raw("no feed-forward"),
            inner => {
                out.text(layer.stacks).raw(" stacked, ratio ").text(crate::format::text_or_missing(&layer.ratio));
                out.raw(": ").text(inner).raw(" inner of ").text(student.hidden).raw(" channels")
            }
        };
        out.raw("</p></li>");
    }
    out.raw("</ol>");
    out
}

fn picture(student: &StudentReport, layer: &LayerReport, number: usize, widest: f64) -> Markup {
    let height = |channels: u64| (channels as f64 / widest * TALLEST).max(2.0);
    let (hidden, inner) = (height(student.hidden), height(layer.inner));
    let mut svg = Markup::default();
    let view = format!("0 0 {WIDTH} {HEIGHT}");
    let stacks = if layer.inner == 0 { 0 } else { layer.stacks };
    let label = match (layer.heads, stacks) {
        (0, _) => format!("layer {number}: {stacks} feed-forward networks of inner width {}", layer.inner),
        (_, 0) => format!("layer {number}: attention alone"),
        _ => format!("layer {number}: attention, then {stacks} feed-forward networks of inner width {}", layer.inner),
    };
    svg.open("svg", &[("class", &"layer"), ("viewBox", &view), ("role", &"img"), ("aria-label", &label)]);
    let drawn = if stacks > MOST_DRAWN { 1 } else { stacks };
    let left = 6.0 + ATTENTION + GAP;
    // As wide as if four were there, so that layers can be compared by eye.
    let each = (WIDTH - left - 6.0) / drawn.max(4) as f64 - GAP;
    let end = (left + drawn as f64 * (each + GAP)).min(WIDTH);
    let wire: [(&str, &dyn std::fmt::Display); 5] =
        [("class", &"wire"), ("x1", &0), ("y1", &Px(MIDDLE)), ("x2", &Px(end)), ("y2", &Px(MIDDLE))];
    svg.open("line", &wire).close("line");

    if layer.heads > 0 {
        let wide = height(layer.attention);
        let rect: [(&str, &dyn std::fmt::Display); 6] = [
            ("class", &"attention"),
            ("x", &6),
            ("y", &Px(MIDDLE - wide / 2.0)),
            ("width", &Px(ATTENTION)),
            ("height", &Px(wide)),
            ("rx", &4),
        ];
        svg.open("rect", &rect).close("rect");
        let center = 6.0 + ATTENTION / 2.0;
        let heads = if layer.heads == 1 { "1 head".into() } else { format!("{} heads", layer.heads) };
        write(&mut svg, "box", center, MIDDLE - 2.0, "attention");
        write(&mut svg, "box", center, MIDDLE + 12.0, &heads);
        write(&mut svg, "tick", center, 11.0, &layer.attention.to_string());
    }

    for i in 0..drawn {
        let x = left + i as f64 * (each + GAP);
        svg.open("polygon", &[("class", &"ffn"), ("points", &waist(x, each, hidden, inner))]).close("polygon");
        write(&mut svg, "tick", x + each / 2.0, 11.0, &layer.inner.to_string());
        let name = if drawn == stacks { format!("FFN {}", i + 1) } else { format!("FFN × {stacks}") };
        write(&mut svg, "box", x + each / 2.0, HEIGHT - 4.0, &name);
    }
    svg.close("svg");
    svg
}

/// Outline of one feed-forward network: hidden width, inner width, hidden width.
fn waist(x: f64, width: f64, hidden: f64, inner: f64) -> String {
    let (a, b) = (hidden / 2.0, inner / 2.0);
    let profile = [(0.0, a), (0.12, a), (0.3, b), (0.7, b), (0.88, a), (1.0, a)];
    let upper = profile.iter().map(|(t, h)| (x + t * width, MIDDLE - h));
    let lower = profile.iter().rev().map(|(t, h)| (x + t * width, MIDDLE + h));
    upper.chain(lower).map(|(x, y)| format!("{},{}", Px(x), Px(y))).collect::<Vec<_>>().join(" ")
}

fn write(svg: &mut Markup, class: &'static str, x: f64, y: f64, text: &str) {
    svg.element("text", &[("class", &class), ("x", &Px(x)), ("y", &Px(y)), ("text-anchor", &"middle")], text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(stacks: u64, inner: u64) -> String {
        let layer =
            LayerReport { expression: "gelu(x)".into(), stacks, ratio: "1/2".into(), inner, ..LayerReport::default() };
        let layer = LayerReport { heads: 12, attention: 540, ..layer };
        network(vec![layer])
    }

    fn network(all: Vec<LayerReport>) -> String {
        layers(&StudentReport { hidden: 540, layers: all, ..StudentReport::default() }).finish()
    }

    #[test]
    fn what_a_layer_lacks_is_not_drawn_and_narrow_attention_is_drawn_narrow() {
        let attention = LayerReport { heads: 4, attention: 270, ..LayerReport::default() };
        let page = network(vec![attention.clone()]);
        assert!(page.contains("4 heads") && page.contains("no feed-forward") && !page.contains("FFN"), "{page}");
        assert!(page.contains("height=\"31.0\""), "half of the tallest: {page}");
        let feed_forward = LayerReport { stacks: 1, inner: 540, ..LayerReport::default() };
        let page = network(vec![feed_forward]);
        assert!(!page.contains("class=\"attention\"") && page.contains("FFN 1"), "{page}");
    }

    #[test]
    fn every_stacked_network_is_drawn() {
        assert_eq!(drawn(3, 270).matches("class=\"ffn\"").count(), 3);
        assert!(drawn(3, 270).contains("FFN 3"));
    }

    #[test]
    fn very_many_networks_are_drawn_as_one_with_a_multiplier() {
        let page = drawn(40, 270);
        assert_eq!(page.matches("class=\"ffn\"").count(), 1);
        assert!(page.contains("FFN × 40"));
    }

    #[test]
    fn the_waist_is_in_proportion_to_the_channels() {
        assert!(waist(0.0, 100.0, 60.0, 30.0).starts_with("0.0,17.0 12.0,17.0 30.0,32.0 "));
    }

    #[test]
    fn widths_of_zero_do_not_divide_by_zero() {
        let page = layers(&StudentReport { layers: vec![LayerReport::default()], ..StudentReport::default() }).finish();
        assert!(!page.contains("NaN") && !page.contains("inf"));
    }
}
