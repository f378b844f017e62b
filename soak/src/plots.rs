//! The plots of the report, as SVG.

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use crate::{
    ledger::QUIET,
    report::{FaultFigures, Point},
};

/// The shortest time that a plot shows, in milliseconds. A gate is asked once a millisecond.
const SHORTEST_MS: f64 = 0.1;
/// Twice the bound.
const LONGEST_MS: f64 = 4_000.0;
/// The most points of the course. A browser has to draw them.
const POINTS_MAX: usize = 5_000;
/// The font of labels.
const FONT: (&str, u32) = ("sans-serif", 14);

/// A line a fault, from the median to the maximum.
pub(crate) fn distribution(faults: &[FaultFigures]) -> Result<String> {
    let mut svg = String::new();
    let height = 60 + 26 * u32::try_from(faults.len())?;
    {
        let area = SVGBackend::with_string(&mut svg, (1_000, height)).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(300)
            .build_cartesian_2d((SHORTEST_MS..LONGEST_MS).log_scale(), 0..faults.len())
            .map_err(failed)?;
        chart
            .configure_mesh()
            .x_desc("milliseconds")
            .y_labels(faults.len() + 1)
            .y_label_formatter(&|row| {
                faults
                    .get(*row)
                    .map_or_else(String::new, |of| of.fault.into())
            })
            .label_style(FONT)
            .draw()
            .map_err(failed)?;
        for (row, figures) in faults.iter().enumerate() {
            let at = |time: f64| (time.max(SHORTEST_MS), row);
            let line = [at(figures.enforced_p50_ms), at(figures.enforced_max_ms)];
            chart
                .draw_series([PathElement::new(line, BLUE.stroke_width(3))])
                .map_err(failed)?;
            let marks = [figures.enforced_p99_ms, figures.enforced_p999_ms];
            chart
                .draw_series(marks.map(|mark| Circle::new(at(mark), 4, BLUE.filled())))
                .map_err(failed)?;
        }
        area.present().map_err(failed)?;
    }
    Ok(svg)
}

/// Every end at every gate over time, or a sample of them.
pub(crate) fn course(points: &[Point]) -> Result<String> {
    let mut svg = String::new();
    let last = points.iter().map(|point| point.second).fold(1.0, f64::max);
    let every = points.len().div_ceil(POINTS_MAX).max(1);
    {
        let area = SVGBackend::with_string(&mut svg, (1_000, 360)).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..last, (SHORTEST_MS..LONGEST_MS).log_scale())
            .map_err(failed)?;
        chart
            .configure_mesh()
            .x_desc("seconds")
            .y_desc("milliseconds")
            .label_style(FONT)
            .draw()
            .map_err(failed)?;
        let drawn = points.iter().step_by(every).map(|point| {
            let color = if point.during == QUIET { BLUE } else { RED };
            let at = (point.second, point.milliseconds.max(SHORTEST_MS));
            Circle::new(at, 1, color.filled())
        });
        chart.draw_series(drawn).map_err(failed)?;
        area.present().map_err(failed)?;
    }
    Ok(svg)
}

/// The errors of plotters borrow the plot.
fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("drawing a plot: {error}")
}
