//! The charts of an evaluation as SVG text.

use std::ops::Range;

use plotters::{
    chart::{ChartBuilder, ChartContext},
    coord::{Shift, cartesian::Cartesian2d, types::RangedCoordf64},
    drawing::{DrawingArea, IntoDrawingArea},
    element::{Circle, Rectangle},
    prelude::SVGBackend,
    series::LineSeries,
    style::{Color, RGBColor, ShapeStyle, WHITE},
};

use crate::{LearningError, Result};

/// Width and height in units of the SVG; a page scales it.
const SIZE: (u32, u32) = (560, 340);
/// Of everything that is only there to read the chart by.
const FAINT: RGBColor = RGBColor(225, 228, 232);
const TEXT: RGBColor = RGBColor(70, 78, 88);

/// What stands along the edges.
pub(super) struct Axes<'a> {
    pub(super) x: &'a str,
    pub(super) y: &'a str,
    pub(super) x_range: Range<f64>,
    pub(super) y_range: Range<f64>,
}

/// One line.
pub(super) struct Line {
    pub(super) color: RGBColor,
    pub(super) points: Vec<(f64, f64)>,
    pub(super) style: LineStyle,
}

/// How a line is drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum LineStyle {
    /// A curve of many points.
    Solid,
    /// A few figures, each with a dot.
    Dotted,
    /// Something to compare with.
    Faint,
}

/// Lines over one pair of axes, the first at the bottom.
pub(super) fn lines(axes: &Axes<'_>, lines: &[Line]) -> Result<String> {
    let mut svg = String::new();
    draw_lines(&mut svg, axes, lines).map_err(|error| LearningError::Chart(error.to_string()))?;
    Ok(svg)
}

/// Bars of equal width from 0 to 1, each series laid over those before it.
pub(super) fn bars(axes: &Axes<'_>, series: &[(RGBColor, &[f64])]) -> Result<String> {
    let mut svg = String::new();
    draw_bars(&mut svg, axes, series).map_err(|error| LearningError::Chart(error.to_string()))?;
    Ok(svg)
}

type Drawn<T = ()> = Result<T, Box<dyn std::error::Error>>;
type Area<'s> = DrawingArea<SVGBackend<'s>, Shift>;
type Chart<'a, 's> = ChartContext<'a, SVGBackend<'s>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

fn area(svg: &mut String) -> Drawn<Area<'_>> {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    Ok(area)
}

/// Draws the axes and a grid, and gives what draws over them.
fn chart<'a, 's>(area: &'a Area<'s>, axes: &Axes<'_>) -> Drawn<Chart<'a, 's>> {
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .margin_right(18)
        .x_label_area_size(44)
        .y_label_area_size(58)
        .build_cartesian_2d(axes.x_range.clone(), axes.y_range.clone())?;
    chart
        .configure_mesh()
        .x_desc(axes.x)
        .y_desc(axes.y)
        .x_labels(8)
        .y_labels(7)
        .x_label_formatter(&plain)
        .axis_style(FAINT)
        .bold_line_style(FAINT)
        .light_line_style(WHITE)
        .label_style(("sans-serif", 13, &TEXT))
        .axis_desc_style(("sans-serif", 14, &TEXT))
        .draw()?;
    Ok(chart)
}

/// Seeds, epochs and places are whole; shares have one digit.
fn plain(x: &f64) -> String {
    if x.fract() == 0.0 { format!("{x:.0}") } else { format!("{x:.1}") }
}

fn draw_lines(svg: &mut String, axes: &Axes<'_>, lines: &[Line]) -> Drawn {
    let area = area(svg)?;
    let mut chart = chart(&area, axes)?;
    for line in lines {
        let width = if line.style == LineStyle::Faint { 1 } else { 2 };
        let stroke = line.color.stroke_width(width);
        chart.draw_series(LineSeries::new(line.points.iter().copied(), stroke))?;
        if line.style == LineStyle::Dotted {
            let dot = |&point: &(f64, f64)| Circle::new(point, 3, line.color.filled());
            chart.draw_series(line.points.iter().map(dot))?;
        }
    }
    Ok(area.present()?)
}

fn draw_bars(svg: &mut String, axes: &Axes<'_>, series: &[(RGBColor, &[f64])]) -> Drawn {
    let area = area(svg)?;
    let mut chart = chart(&area, axes)?;
    for (color, shares) in series {
        let width = 1.0 / shares.len().max(1) as f64;
        let bar = |(bin, share): (usize, &f64)| {
            let corners = [(bin as f64 * width, 0.0), ((bin + 1) as f64 * width, *share)];
            Rectangle::new(corners, ShapeStyle::from(&color.mix(0.55)).filled())
        };
        chart.draw_series(shares.iter().enumerate().filter(|(_, share)| **share > 0.0).map(bar))?;
    }
    Ok(area.present()?)
}
