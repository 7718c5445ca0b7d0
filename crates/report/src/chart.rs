//! Draws points, lines and marks into one SVG picture with two axes. Colors come from classes, so light and dark need no second picture.

use std::collections::HashSet;

use crate::axis::{Axis, placeable};
use crate::data::Role;
use crate::markup::{Markup, Px};

const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 270.0;
const LEFT: f64 = 50.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 44.0;

/// Above this many dots, those that fall into one cell of [`CELL`] are drawn once, so that huge studies give pages that open.
const MANY: usize = 1500;
const CELL: f64 = 4.0;

/// A line of more points than this is drawn through the lowest and highest point of each of `MOST_IN_LINE / 2` columns.
const MOST_IN_LINE: usize = 600;

/// A point with the text that appears when it is pointed at.
pub(crate) struct Dot {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) hint: String,
}

pub(crate) struct Chart {
    x: Axis,
    y: Axis,
    svg: Markup,
    /// Boxes of the labels so far: x range and baseline.
    labels: Vec<(f64, f64, f64)>,
}

impl Chart {
    /// An empty chart with its axes; `title` is read out to those who cannot see it.
    pub(crate) fn new(title: &str, x: Axis, x_label: &str, y: Axis, y_label: &str) -> Self {
        let mut svg = Markup::default();
        let view = format!("0 0 {WIDTH} {HEIGHT}");
        svg.open("svg", &[("class", &"chart"), ("viewBox", &view), ("role", &"img"), ("aria-label", &title)]);
        let mut chart = Self { x, y, svg, labels: Vec::new() };
        chart.frame(x_label, y_label);
        chart
    }

    fn frame(&mut self, x_label: &str, y_label: &str) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (v, label) in self.y.ticks.clone() {
            let y = self.y_px(v);
            self.line("grid", LEFT, y, right, y);
            self.label_at("tick", LEFT - 6.0, y + 4.0, "end", &label);
        }
        let mut free_from = f64::MIN;
        for (v, label) in self.x.ticks.clone() {
            let x = self.x_px(v);
            self.line("grid", x, bottom, x, bottom + 4.0);
            let half = width_of(&label) / 2.0;
            if x - half > free_from {
                self.label_at("tick", x.min(WIDTH - half), bottom + 17.0, "middle", &label);
                free_from = x + half + 6.0;
            }
        }
        self.line("axis", LEFT, bottom, right, bottom);
        let x_label = if self.x.is_log() { format!("{x_label} (log scale)") } else { x_label.to_owned() };
        self.label_at("label", right, HEIGHT - 8.0, "end", &x_label);
        self.label_at("label", 4.0, 16.0, "start", y_label);
    }

    /// Draws dots of one class.
    pub(crate) fn dots(&mut self, class: &'static str, radius: f64, dots: &[Dot]) {
        let mut taken = HashSet::new();
        for dot in dots.iter().filter(|d| placeable(d.x) && placeable(d.y)) {
            let (x, y) = (self.x_px(dot.x), self.y_px(dot.y));
            if dots.len() > MANY && !taken.insert(((x / CELL) as i64, (y / CELL) as i64)) {
                continue;
            }
            self.svg.open("circle", &[("class", &class), ("cx", &Px(x)), ("cy", &Px(y)), ("r", &Px(radius))]);
            self.svg.element("title", &[], &dot.hint).close("circle");
        }
    }

    /// Draws short strokes on the horizontal axis, for what has no y value.
    pub(crate) fn strokes(&mut self, class: &'static str, xs: impl IntoIterator<Item = f64>) {
        let bottom = HEIGHT - BOTTOM;
        let mut taken = HashSet::new();
        for x in xs.into_iter().filter(|x| placeable(*x)) {
            let x = self.x_px(x);
            if taken.insert(x.round() as i64) {
                self.line(class, x, bottom - 7.0, x, bottom - 1.0);
            }
        }
    }

    /// Draws a line through the points in their order; with `steps` it keeps its height until the next point.
    pub(crate) fn path(&mut self, class: &'static str, points: &[(f64, f64)], steps: bool) {
        let placed = points.iter().filter(|(x, y)| placeable(*x) && placeable(*y));
        let places: Vec<(f64, f64)> = placed.map(|(x, y)| (self.x_px(*x), self.y_px(*y))).collect();
        let mut line = String::new();
        let mut last_y = None;
        for (x, y) in thin(places) {
            if let (true, Some(last)) = (steps, last_y) {
                line.push_str(&format!("{},{} ", Px(x), Px(last)));
            }
            line.push_str(&format!("{},{} ", Px(x), Px(y)));
            last_y = Some(y);
        }
        if !line.is_empty() {
            self.svg.open("polyline", &[("class", &class), ("points", &line.trim_end())]).close("polyline");
        }
    }

    /// Marks a model by its role's shape, with its name beside it.
    pub(crate) fn mark(&mut self, role: Role, x: f64, y: f64, name: &str, hint: &str) {
        if !placeable(x) || !placeable(y) {
            return;
        }
        let (x, y) = (self.x_px(x), self.y_px(y));
        let at = |dx: f64, dy: f64| format!("{},{}", Px(x + dx), Px(y + dy));
        let (class, shape) = match role {
            Role::Teacher => ("mark teacher", vec![at(-5.5, -5.5), at(5.5, -5.5), at(5.5, 5.5), at(-5.5, 5.5)]),
            Role::Baseline | Role::Majority => ("mark baseline", vec![at(0.0, -6.5), at(6.5, 5.0), at(-6.5, 5.0)]),
            Role::Student => ("mark student", star().iter().map(|(dx, dy)| at(*dx, *dy)).collect()),
        };
        self.svg.open("polygon", &[("class", &class), ("points", &shape.join(" "))]);
        self.svg.element("title", &[], hint).close("polygon");
        self.name_beside(x, y, name);
    }

    /// Draws a dashed line across at one height, with its name above it at the right end.
    pub(crate) fn level(&mut self, y: f64, name: &str) {
        if placeable(y) {
            let y = self.y_px(y);
            self.line("level", LEFT, y, WIDTH - RIGHT, y);
            self.label_at("name level-name", WIDTH - RIGHT, y - 5.0, "end", name);
            self.labels.push((WIDTH - RIGHT - width_of(name), WIDTH, y - 5.0));
        }
    }

    pub(crate) fn finish(mut self) -> Markup {
        self.svg.close("svg");
        self.svg
    }

    fn name_beside(&mut self, x: f64, y: f64, name: &str) {
        let name = crate::table::shortened(name, 30);
        let width = width_of(&name);
        // To the right where there is room.
        let (start, anchor, at) =
            if x + 10.0 + width < WIDTH { (x + 10.0, "start", x + 10.0) } else { (x - 10.0 - width, "end", x - 10.0) };
        let covered = |line: f64| {
            self.labels
                .iter()
                .any(|(from, to, other)| start < *to && start + width > *from && (line - other).abs() < 13.0)
        };
        // Above or below a line that passes through the mark, then further away while it would cover another name.
        let lines = (0..40).flat_map(|i| [y - 6.0 - 13.0 * f64::from(i), y + 14.0 + 13.0 * f64::from(i)]);
        let mut inside = lines.filter(|line| (TOP - 2.0..=HEIGHT - BOTTOM - 3.0).contains(line));
        let baseline = inside.find(|line| !covered(*line)).unwrap_or(y + 4.0);
        self.labels.push((start, start + width, baseline));
        self.label_at("name", at, baseline.min(HEIGHT - BOTTOM - 3.0), anchor, &name);
    }

    fn x_px(&self, v: f64) -> f64 {
        LEFT + self.x.place(v) * (WIDTH - LEFT - RIGHT)
    }

    fn y_px(&self, v: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.place(v) * (HEIGHT - TOP - BOTTOM)
    }

    fn line(&mut self, class: &'static str, x1: f64, y1: f64, x2: f64, y2: f64) {
        self.svg.open("line", &[("class", &class), ("x1", &Px(x1)), ("y1", &Px(y1)), ("x2", &Px(x2)), ("y2", &Px(y2))]);
        self.svg.close("line");
    }

    fn label_at(&mut self, class: &'static str, x: f64, y: f64, anchor: &'static str, text: &str) {
        self.svg.element("text", &[("class", &class), ("x", &Px(x)), ("y", &Px(y)), ("text-anchor", &anchor)], text);
    }
}

/// Width of a text in the charts' 12-pixel type, estimated from its length: close enough to keep labels apart.
fn width_of(text: &str) -> f64 {
    text.chars().count() as f64 * 6.4
}

fn star() -> Vec<(f64, f64)> {
    (0..10)
        .map(|i| {
            let (radius, angle) = (if i % 2 == 0 { 9.0 } else { 3.9 }, f64::from(i) * std::f64::consts::PI / 5.0);
            (radius * angle.sin(), -radius * angle.cos())
        })
        .collect()
}

/// Keeps the first, lowest, highest and last place of every run of places, so that spikes survive.
fn thin(places: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    if places.len() <= MOST_IN_LINE {
        return places;
    }
    let mut kept = vec![places[0]];
    for column in places.chunks(places.len().div_ceil(MOST_IN_LINE / 2)) {
        let at = |better: fn(f64, f64) -> bool| {
            (1..column.len()).fold(0, |best, i| if better(column[i].1, column[best].1) { i } else { best })
        };
        let (low, high) = (at(|a, b| a < b), at(|a, b| a > b));
        kept.push(column[low.min(high)]);
        if low != high {
            kept.push(column[low.max(high)]);
        }
    }
    kept.extend(places.last());
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis() -> Axis {
        Axis::linear([0.0, 1.0]).unwrap()
    }

    #[test]
    fn a_long_line_is_thinned_but_keeps_its_spike() {
        let mut points: Vec<(f64, f64)> = (0..100_000).map(|i| (f64::from(i), 1.0)).collect();
        points[54_321].1 = 9.0;
        let kept = thin(points);
        assert!(kept.len() <= MOST_IN_LINE + 2, "{}", kept.len());
        assert!(kept.iter().any(|p| p.1 == 9.0));
        assert!(kept.windows(2).all(|w| w[0].0 <= w[1].0), "order is kept");
    }

    #[test]
    fn dots_that_cannot_be_placed_are_not_drawn() {
        let mut chart = Chart::new("t", axis(), "x", axis(), "y");
        let dot = |y| Dot { x: 0.5, y, hint: String::new() };
        chart.dots("dot", 3.0, &[dot(0.5), dot(f64::NAN), dot(f64::INFINITY)]);
        let svg = chart.finish().finish();
        assert_eq!(svg.matches("<circle").count(), 1);
        assert!(!svg.contains("NaN"));
    }

    #[test]
    fn names_of_marks_at_one_place_do_not_cover_each_other() {
        let mut chart = Chart::new("t", axis(), "x", axis(), "y");
        for name in ["first", "second", "third"] {
            chart.mark(Role::Baseline, 0.5, 0.9, name, "");
        }
        let mut lines: Vec<i64> = chart.labels.iter().map(|l| l.2 as i64).collect();
        lines.dedup();
        assert_eq!(lines.len(), 3, "{lines:?}");
    }
}
