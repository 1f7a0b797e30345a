//! Plots of medians and of one run's distribution, as SVG.

use super::groups::Group;
use plotters::coord::Shift;
use plotters::prelude::*;

const SIZE: (u32, u32) = (860, 420);
/// Told apart by most eyes, on white.
const COLORS: [RGBColor; 12] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(90, 90, 90),
    RGBColor(150, 110, 50),
    RGBColor(120, 70, 200),
    RGBColor(0, 0, 0),
    RGBColor(200, 0, 60),
    RGBColor(110, 140, 0),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// CPU seconds per GiB against delay: nearer to the corner is better.
///
/// # Errors
/// What could not be drawn.
pub fn frontier(groups: &[Group<'_>]) -> Result<String, String> {
    let points: Vec<_> = groups
        .iter()
        .enumerate()
        .map(|(at, group)| (at, group.label(), group.median.delay_p99.max(0.1), group.median.cpu_per_gib))
        .filter(|(_, _, _, cpu)| cpu.is_finite())
        .collect();
    let most_ms = points.iter().fold(10.0, |most: f64, point| most.max(point.2)) * 4.0;
    let most_cpu = points.iter().fold(0.1, |most: f64, point| most.max(point.3)) * 1.15;
    draw(|area| {
        let mut chart = ChartBuilder::on(area)
            .caption("CPU per GiB against delay", ("sans-serif", 16))
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d((1.0..most_ms).log_scale(), 0.0..most_cpu)?;
        chart
            .configure_mesh()
            .max_light_lines(1)
            .x_desc("added delay, p99, ms")
            .y_desc("CPU seconds per GiB")
            .draw()?;
        for (at, label, ms, cpu) in &points {
            let style = color(*at);
            chart.draw_series([Circle::new((*ms, *cpu), 5, style.filled())])?;
            let text =
                Text::new(label.clone(), (*ms * 1.06, *cpu), ("sans-serif", 12).into_font().color(&style));
            chart.draw_series([text])?;
        }
        Ok(())
    })
}

/// Share of packets that came within a time.
///
/// # Errors
/// What could not be drawn.
pub fn delays(groups: &[Group<'_>]) -> Result<String, String> {
    let curve =
        |group: &Group<'_>| group.first().map(|run| run.viewers.delay_curve.clone()).unwrap_or_default();
    let last = groups.iter().flat_map(curve).fold(10.0, |most: f64, point| most.max(point.0)) * 1.2;
    draw(|area| {
        let mut chart = ChartBuilder::on(area)
            .caption("Added delay: share of packets at or below", ("sans-serif", 16))
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d((0.1..last).log_scale(), 0.0..1.0)?;
        chart.configure_mesh().max_light_lines(1).x_desc("ms").y_desc("share of packets").draw()?;
        for (at, group) in groups.iter().enumerate() {
            let style = color(at);
            let points: Vec<_> = curve(group).into_iter().map(|(ms, share)| (ms.max(0.1), share)).collect();
            if points.is_empty() {
                continue;
            }
            let line = chart.draw_series(LineSeries::new(points, style.stroke_width(2)))?;
            line.label(group.label())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()?;
        Ok(())
    })
}

/// Resident memory for each viewer, a bar a server.
///
/// # Errors
/// What could not be drawn.
pub fn memory(groups: &[Group<'_>]) -> Result<String, String> {
    let bars: Vec<_> = groups
        .iter()
        .enumerate()
        .map(|(at, group)| (at, group.label(), group.median.kib_per_viewer))
        .filter(|(_, _, kib)| kib.is_finite())
        .collect();
    let most = bars.iter().fold(1.0, |most: f64, bar| most.max(bar.2)) * 1.5;
    let count = bars.len().max(1) as f64;
    draw(|area| {
        let mut chart = ChartBuilder::on(area)
            .caption("Resident memory above the idle server, KiB a viewer", ("sans-serif", 16))
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(10)
            .build_cartesian_2d(0.0..most, 0.0..count)?;
        chart.configure_mesh().disable_y_mesh().max_light_lines(1).y_labels(0).x_desc("KiB").draw()?;
        for (line, (at, label, kib)) in bars.iter().rev().enumerate() {
            let (low, high) = (line as f64 + 0.15, line as f64 + 0.85);
            chart.draw_series([Rectangle::new([(0.0, low), (*kib, high)], color(*at).filled())])?;
            let text = format!("{label}: {kib:.1}");
            let font = ("sans-serif", 12).into_font().color(&BLACK);
            chart.draw_series([Text::new(text, (kib + most * 0.01, line as f64 + 0.6), font)])?;
        }
        Ok(())
    })
}

fn draw(plot: impl FnOnce(&Area<'_>) -> Drawn) -> Result<String, String> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        let drawn = area.fill(&WHITE).map_err(Into::into).and_then(|()| plot(&area));
        drawn.and_then(|()| area.present().map_err(Into::into)).map_err(|error| format!("plot: {error}"))?;
    }
    Ok(text)
}

fn color(at: usize) -> RGBColor {
    COLORS.get(at % COLORS.len()).copied().unwrap_or(BLACK)
}
