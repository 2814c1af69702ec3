//! The chart of registrations per day: an SVG of the width of the page, and the same as a table.

use jiff::Timestamp;
use maud::{Markup, html};
use pages::table;

use super::cells::{count, counted};
use crate::store::DayCounts;

/// The height of the bars and that of the labels below them, in pixels. The width is in percent, so
/// that the labels have the same size on a phone.
const BARS: f64 = 160.0;
const LABELS: f64 = 24.0;
/// The room above the highest line, for half of its label.
const TOP: f64 = 8.0;
/// Days from one label to the next.
const LABEL_DAYS: usize = 7;

/// The outcomes, in the order of the layers from below, with their classes in the stylesheet.
const LAYERS: [(&str, &str); 3] = [
    ("issued", "Issued"),
    ("repeated", "Repeated"),
    ("refused", "Refused"),
];

/// The numbers of a day, as in [`LAYERS`].
fn layers(day: &DayCounts) -> [u64; 3] {
    [day.issued, day.repeated, day.refused]
}

fn sum(day: &DayCounts) -> u64 {
    layers(day).iter().sum()
}

/// The day, as `2026-11-25`.
fn date(day: &DayCounts) -> String {
    let time = Timestamp::from_second(day.day).unwrap_or_default();
    time.strftime("%Y-%m-%d").to_string()
}

fn text(day: &DayCounts) -> String {
    let parts = LAYERS.iter().zip(layers(day));
    let parts: Vec<_> = parts
        .map(|((class, _), number)| format!("{} {class}", count(number)))
        .collect();
    format!("{}: {}", date(day), parts.join(", "))
}

/// The days, oldest first; not empty.
pub(super) fn chart(days: &[DayCounts]) -> Markup {
    let highest = days.iter().map(sum).max().unwrap_or_default();
    let total = days.iter().map(sum).sum();
    let top = round_up(highest);
    html! {
        figure.sheet {
            ul.legend { @for (class, name) in LAYERS { li.(class) { (name) } } }
            svg role="img" aria-labelledby="chart-title chart-text" height=(TOP + BARS + LABELS) {
                title #chart-title { "Registrations per day" }
                desc #chart-text {
                    (counted(total, ["registration", "registrations"])) " in " (days.len()) " days, at most " (count(highest)) " in a day. A table with all numbers follows."
                }
                @for line in lines(top) { (grid_line(line, top)) }
                @for (index, day) in days.iter().enumerate() { (bar(index, days.len(), day, top)) }
            }
            details {
                summary { "The numbers as a table" }
                (table(&html! { "Registrations per day, newest first" }, ["Day", "Issued", "Repeated", "Refused"], days.iter().rev().map(cells)))
            }
        }
    }
}

fn grid_line(number: u64, top: u64) -> Markup {
    let y = height_at(number, top);
    html! {
        line.axis x1="0" x2="100%" y1=(y) y2=(y) {}
        text x="-8" y=(y + 4.0) text-anchor="end" { (count(number)) }
    }
}

fn bar(index: usize, days: usize, day: &DayCounts, top: u64) -> Markup {
    let step = 100.0 / days as f64;
    let (left, width) = (step * (index as f64 + 0.15), step * 0.7);
    let middle = format!("{:.2}%", left + width / 2.0);
    let labelled = (days - 1 - index).is_multiple_of(LABEL_DAYS);
    let mut below = 0;
    html! {
        g {
            title { (text(day)) }
            @for ((class, _), number) in LAYERS.iter().zip(layers(day)) {
                @if number > 0 {
                    @let y = height_at(below + number, top);
                    @let height = height_at(below, top) - y;
                    rect.(class) x=(format!("{left:.2}%")) width=(format!("{width:.2}%")) y=(format!("{y:.1}")) height=(format!("{height:.1}")) {}
                    @let () = below += number;
                }
            }
            @if labelled {
                text x=(middle) y=(TOP + BARS + 18.0) text-anchor="middle" { (date(day).get(5..).unwrap_or_default()) }
            }
        }
    }
}

fn cells(day: &DayCounts) -> [Markup; 4] {
    let [issued, repeated, refused] = layers(day).map(|number| html! { (count(number)) });
    [html! { (date(day)) }, issued, repeated, refused]
}

/// The place of a number, in pixels from above.
fn height_at(number: u64, top: u64) -> f64 {
    TOP + BARS - BARS * number as f64 / top as f64
}

/// The numbers at which lines are drawn.
fn lines(top: u64) -> Vec<u64> {
    match top.is_multiple_of(2) {
        true => vec![0, top / 2, top],
        false => vec![0, top],
    }
}

/// The next number of the form 1, 2 or 5 times a power of ten; at least 1.
fn round_up(number: u64) -> u64 {
    let mut power = 1_u64;
    loop {
        for factor in [1, 2, 5] {
            let candidate = power.saturating_mul(factor);
            if candidate >= number {
                return candidate;
            }
        }
        power = power.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_has_round_numbers() {
        let rounded = [0, 1, 2, 3, 6, 11, 4999, 5001, u64::MAX].map(round_up);
        assert_eq!(rounded, [1, 1, 2, 5, 10, 20, 5000, 10_000, u64::MAX]);
    }
}
