//! Small charts beside each other, both axes logarithmic, as one SVG file.

use plotters::prelude::{
    BLACK, ChartBuilder, Circle, Color as _, DrawingAreaErrorKind, IntoDrawingArea as _, IntoLogRange as _, LineSeries,
    RGBColor, SVGBackend, WHITE,
};
use std::path::Path;

const WIDTH: u32 = 380;
const HEIGHT: u32 = 260;
const COLUMNS: usize = 3;
const LINE: RGBColor = RGBColor(0x0b, 0x60, 0x9c);

/// One of them.
pub(crate) struct Panel {
    pub(crate) title: &'static str,
    /// Nodes, and what is shown of them.
    pub(crate) points: Vec<(f64, f64)>,
}

/// Draws `panels` into `file`.
pub(crate) fn draw(file: &Path, panels: &[Panel]) -> Result<(), String> {
    let rows = panels.len().div_ceil(COLUMNS);
    let root = SVGBackend::new(file, (WIDTH * COLUMNS as u32, HEIGHT * rows as u32)).into_drawing_area();
    let drawn = root.fill(&WHITE).and_then(|()| {
        let areas = root.split_evenly((rows, COLUMNS));
        panels.iter().zip(&areas).try_for_each(|(panel, area)| draw_one(panel, area))
    });
    drawn.and_then(|()| root.present()).map_err(|error| format!("{}: {error}", file.display()))
}

type Area<'a> = plotters::drawing::DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Failed<'a> = DrawingAreaErrorKind<<SVGBackend<'a> as plotters::backend::DrawingBackend>::ErrorType>;

fn draw_one<'a>(panel: &Panel, area: &Area<'a>) -> Result<(), Failed<'a>> {
    let bounds = |of: fn(&(f64, f64)) -> f64| {
        let all = panel.points.iter().map(of).filter(|value| *value > 0.0);
        let (least, most) =
            all.fold((f64::INFINITY, 0.0_f64), |(least, most), value| (least.min(value), most.max(value)));
        // Whole decades, so that slopes can be compared.
        if most > 0.0 { 10_f64.powf(least.log10().floor())..10_f64.powf(most.log10().ceil()) } else { 0.1..1.0 }
    };
    let (x, y) = (bounds(|point| point.0), bounds(|point| point.1));
    let mut chart = ChartBuilder::on(area)
        .caption(panel.title, ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(32)
        .y_label_area_size(56)
        .build_cartesian_2d(x.log_scale(), y.log_scale())?;
    chart.configure_mesh().x_desc("nodes").bold_line_style(BLACK.mix(0.15)).light_line_style(BLACK.mix(0.05)).draw()?;
    chart.draw_series(LineSeries::new(panel.points.iter().copied(), &LINE))?;
    chart.draw_series(panel.points.iter().map(|point| Circle::new(*point, 3, LINE)))?;
    Ok(())
}
